package connector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// isExported tells whether a version has the flag.
func isExported(v coupatest.Version) bool { return coupa.Row{JSON: v.JSON}.IsExported() }

// puts counts the marks that the tenant has answered well, by path.
func (h *harness) puts() map[string]int {
	all := map[string]int{}
	for _, r := range h.tenant.Requests() {
		if r.Method == http.MethodPut && r.Status == http.StatusOK {
			all[r.Path]++
		}
	}
	return all
}

// checkExported compares a topic with the history of an object whose rows are marked: nothing is published
// twice or with the flag, no version was marked before it was published, and of rows without the flag the
// last version is there. marked by others are those that the test itself has marked.
func (h *harness) checkExported(object string, byOthers ...int64) {
	h.t.Helper()
	contentOf, encode := h.contents(h.tenant, object), h.rowEncoder(object, schemas.Options{})
	published, last := map[string]bool{}, map[int64]string{}
	for _, r := range h.records("coupa." + object) {
		content := contentOf(r)
		key := fmt.Sprint(r.id, r.updatedAt, content)
		switch {
		case content == "":
			h.t.Errorf("id %d of %s: the record equals no version that there was", r.id, r.updatedAt)
		case published[key]:
			h.t.Errorf("id %d of %s was published twice", r.id, r.updatedAt)
		}
		published[key], last[r.id] = true, content
	}
	before := map[int64]coupatest.Version{}
	for _, v := range h.tenant.Versions(object) {
		was := before[v.ID]
		before[v.ID] = v
		if isExported(v) && published[fmt.Sprint(v.ID, v.UpdatedAt.UTC().Format(time.RFC3339), string(encode(v.JSON)))] {
			h.t.Errorf("id %d was published with the flag", v.ID)
		}
		if was.ID == 0 || isExported(was) || !isExported(v) || slices.Contains(byOthers, v.ID) {
			continue
		}
		if !published[fmt.Sprint(v.ID, was.UpdatedAt.UTC().Format(time.RFC3339), string(encode(was.JSON)))] {
			h.t.Errorf("id %d was marked, and its version of %s was not published", v.ID, was.UpdatedAt)
		}
	}
	for _, v := range h.tenant.Rows(object) {
		if !isExported(v) && last[v.ID] != string(encode(v.JSON)) {
			h.t.Errorf("id %d of %s is without the flag, and not published so", v.ID, v.UpdatedAt)
		}
	}
}

// unmarked are the rows without the flag.
func (h *harness) unmarked(object string) (ids []int64) {
	for _, v := range h.tenant.Rows(object) {
		if !isExported(v) {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// TestRowsAreMarkedOnceTheyArePublished goes through a row's life: read if it has no flag, marked, not read
// again while it has it, read again when a user has taken it back. A mark that moves updated-at changes
// nothing.
func TestRowsAreMarkedOnceTheyArePublished(t *testing.T) {
	for stamps, lines := range map[bool]string{false: config.LinesEmbedded, true: config.LinesBoth} {
		t.Run(fmt.Sprintf("marks move stamps %v, lines %s", stamps, lines), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 91, Rows: 40, Objects: []string{"invoices"}, MarksStamp: stamps}, func(h *harness) {
				h.keys["exported.mode"], h.keys["lines"], h.keys["poll.interval.ms"] = "mark", lines, "5000"
				rows := h.tenant.Rows("invoices")
				var others []int64
				for _, v := range rows[:10] {
					others = append(others, h.tenant.MarkExported("invoices", v.ID).ID)
				}
				h.start()
				h.pass(3 * time.Minute)
				if got := len(h.records("coupa.invoices")); got != 30 || len(h.unmarked("invoices")) > 0 || len(h.puts()) != 30 {
					h.t.Fatalf("%d rows of 30 are published, %d marked, and %v not", got, len(h.puts()), h.unmarked("invoices"))
				}
				for path, n := range h.puts() {
					if n != 1 {
						t.Errorf("%s was marked %d times", path, n)
					}
				}
				// over the API: the flag stays, and so nobody sees it
				h.tenant.Update("invoices", rows[30].ID)
				h.tenant.UpdateLine("invoices", rows[31].ID)
				h.pass(time.Minute)
				if got := len(h.records("coupa.invoices")); got != 30 {
					t.Errorf("%d records after changes of rows that are exported", got)
				}
				h.tenant.Update("invoices", rows[32].ID)
				h.tenant.ResetExported("invoices", rows[32].ID) // as by a user
				created := h.tenant.Create("invoices")
				h.pass(3 * time.Minute)
				if got := len(h.records("coupa.invoices")); got != 32 || len(h.unmarked("invoices")) > 0 {
					t.Errorf("%d records, want those of %d and %d besides; without the flag: %v", got, rows[32].ID, created.ID, h.unmarked("invoices"))
				}
				h.stop() // nothing of it is done again, wherever the state comes from
				h.state = t.TempDir()
				before := len(h.puts())
				h.start()
				h.pass(3 * time.Minute)
				s := h.running.Connectors()[0].Tasks[0]
				if len(h.puts()) != before || s.Marking != (status.Marking{}) || s.Condition != status.Idle {
					t.Errorf("after a restart: %d marks more, %+v, %s", len(h.puts())-before, s.Marking, s.Condition)
				}
				h.checkExported("invoices", others...)
			})
		})
	}
}

// With filter, rows that have the flag are in no walk but those that somebody asks for.
func TestRowsThatAreExportedAreReadOnlyWhereSomebodyAsks(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 92, Rows: 40, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.keys["exported.mode"], h.keys["lookback.ms"], h.keys["poll.interval.ms"] = "filter", "3600000", "20000"
		rows := h.tenant.Rows("purchase_orders")
		for _, v := range rows[:30] {
			h.tenant.MarkExported("purchase_orders", v.ID)
		}
		h.start()
		h.settle()
		h.tenant.UpdateLine("purchase_orders", rows[3].ID)
		h.tenant.SetMember("purchase_orders", rows[4].ID, "note", `"by the API"`)
		h.tenant.SetMember("purchase_orders", rows[35].ID, "note", `"seen"`)
		late := h.tenant.Create("purchase_orders", coupatest.Stamped(time.Now().Add(-40*time.Minute)))
		h.pass(30 * time.Minute) // look-backs
		if got := h.records("coupa.purchase_orders"); len(got) != 12 || len(h.puts()) > 0 {
			t.Errorf("%d records, want those of 10 rows, of a change, and of %d; %v", len(got), late.ID, h.puts())
		}
		if s := h.running.Connectors()[0].Tasks[0]; s.Condition != status.Idle || s.State != status.Running {
			t.Errorf("%s %s", s.State, s.Condition)
		}
		h.tenant.Update("purchase_orders", rows[3].ID) // a new version of an order: the flag is taken back
		h.settle()
		if got := h.records("coupa.purchase_orders"); len(got) != 13 {
			t.Errorf("%d records with an order that is to be sent again", len(got))
		}
		if _, err := h.running.Snapshot(h.t.Context(), "acme", status.SnapshotRequest{Object: "purchase_orders", IDs: []int64{rows[4].ID, rows[35].ID}}); err != nil {
			h.t.Fatal(err)
		}
		h.settle()
		if got := h.records("coupa.purchase_orders"); len(got) != 15 {
			t.Errorf("%d records with those that were asked for", len(got))
		}
	})
}

// answers is a source whose marks fail in a way of the test's.
type answers struct {
	stream.Source
	mark func(id int64, really func() error) error
}

func (a answers) MarkExported(ctx context.Context, path string, id int64) error {
	return a.mark(id, func() error { return a.Source.MarkExported(ctx, path, id) })
}

// TestMarksThatFailStopNothing fails marks as "not applied" and as "applied, but the answer was lost", by
// errors that pass and that do not. Rows are published all the same, and marked in the end, each once.
func TestMarksThatFailStopNothing(t *testing.T) {
	passing := &coupa.Error{Op: "marking", Kind: coupa.Retry, Status: 502}
	lasting := &coupa.Error{Op: "marking", Kind: coupa.Misconfigured, Status: 422, Hint: "mend it"}
	for name, k := range map[string]struct {
		err     error
		applied bool
		times   int64
		of      int64 // the id; 0: any
		within  time.Duration
		told    bool // as a condition
	}{
		"once":                             {err: passing, times: 1, within: time.Minute},
		"once, though applied":             {err: passing, times: 1, applied: true, within: time.Minute},
		"for a while":                      {err: passing, times: 200, within: 30 * time.Minute, told: true},
		"a row that can't be saved":        {err: lasting, times: 3, of: 7, within: 40 * time.Minute, told: true},
		"all rows":                         {err: lasting, times: 10, within: 40 * time.Minute, told: true},
		"a row, though it was saved":       {err: lasting, times: 1, of: 7, applied: true, within: 15 * time.Minute, told: true},
		"an answer that is something else": {err: &coupa.Error{Op: "marking", Kind: coupa.Broken}, times: 2, applied: true, within: 15 * time.Minute, told: true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 93, Rows: 12, Objects: []string{"requisitions"}, RateLimit: -1}, func(h *harness) {
				h.keys["exported.mode"], h.keys["poll.interval.ms"] = "mark", "30000"
				var failed atomic.Int64
				h.source = func(s stream.Source) stream.Source {
					return answers{s, func(id int64, really func() error) error {
						if k.of != 0 && id != k.of || failed.Add(1) > k.times {
							return really()
						}
						if k.applied {
							if err := really(); err != nil {
								t.Error(err)
							}
						}
						return k.err
					}}
				}
				h.start()
				told, marked := false, int64(0)
				for waited := time.Duration(0); waited < k.within && marked < 12; waited += 20 * time.Second {
					h.pass(20 * time.Second)
					s := h.running.Connectors()[0].Tasks[0]
					marked = s.Marking.Marked
					if s.State != status.Running || s.Restarted > 0 {
						h.t.Fatalf("%s %s, restarted %d times", s.State, s.Trace, s.Restarted)
					}
					told = told || s.Condition == status.Unmarked && len(s.Notices) == 1 && strings.Contains(s.Notices[0].Message, "marking")
				}
				if told != k.told {
					t.Errorf("told as a condition: %v", told)
				}
				h.pass(time.Minute)
				s := h.running.Connectors()[0].Tasks[0]
				if s.Condition != status.Idle || len(s.Notices) > 0 || s.Marking.Waiting != 0 || s.Marking.Failed != k.times || s.Marking.Marked != 12 {
					t.Errorf("%s %v %+v, without the flag: %v", s.Condition, s.Notices, s.Marking, h.unmarked("requisitions"))
				}
				for path, n := range h.puts() {
					if n != 1 {
						t.Errorf("%s was marked %d times", path, n)
					}
				}
				h.checkExported("requisitions")
			})
		})
	}
}

// Rights for reading alone: rows are published, the condition says which scope marks take, and few are tried.
func TestMarksWithoutTheRightToThemAreACondition(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 94, Rows: 200, Objects: []string{"invoices", "users"}, Scopes: []string{"core.invoice.read", "core.user.read"}}, func(h *harness) {
		h.keys["object.invoices.exported.mode"], h.keys["poll.interval.ms"] = "mark", "20000"
		h.start()
		h.pass(time.Hour)
		s := h.running.Connectors()[0].Tasks[0]
		if s.State != status.Running || s.Condition != status.Unmarked || len(h.records("coupa.invoices")) != 200 || s.Marking.Waiting != 200 {
			t.Errorf("%s %s, %d records, %+v", s.State, s.Condition, len(h.records("coupa.invoices")), s.Marking)
		}
		if n := s.Notices; len(n) != 1 || !strings.Contains(n[0].Message, "scope core.invoice.write is missing") || !strings.Contains(n[0].Remedy, "grant core.invoice.write") {
			t.Errorf("notices: %v", n)
		}
		if s.Marking.Failed == 0 || s.Marking.Failed > 100 {
			t.Errorf("%d marks were tried in an hour", s.Marking.Failed)
		}
		if other := h.running.Connectors()[0].Tasks[1]; other.Condition != status.Idle {
			t.Errorf("users: %s", other.Condition)
		}
		h.tenant.Create("invoices")
		h.settle()
		if got := len(h.records("coupa.invoices")); got != 201 {
			t.Errorf("%d records with a new row", got)
		}
	})
}

// TestARowThatHasMovedIsPublishedBeforeItIsMarked changes a row when it is published and not marked, and once
// more in the instant between the reading of its stamps and its mark: that change is the one that is lost.
func TestARowThatHasMovedIsPublishedBeforeItIsMarked(t *testing.T) {
	for name, k := range map[string]struct {
		change func(*coupatest.Tenant, int64) coupatest.Version
		within bool // the instant
	}{
		"a row":              {change: func(t *coupatest.Tenant, id int64) coupatest.Version { return t.Update("invoices", id) }},
		"a line":             {change: func(t *coupatest.Tenant, id int64) coupatest.Version { return t.UpdateLine("invoices", id) }},
		"within the instant": {change: func(t *coupatest.Tenant, id int64) coupatest.Version { return t.Update("invoices", id) }, within: true},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 95, Rows: 8, Objects: []string{"invoices"}}, func(h *harness) {
				h.keys["exported.mode"], h.keys["poll.interval.ms"] = "mark", "60000" // a mark is due first
				var id atomic.Int64
				if !k.within {
					id.Store(h.tenant.Rows("invoices")[5].ID)
				}
				var changed atomic.Bool
				var last coupatest.Version
				looks := func(r coupatest.Request) bool {
					return r.Method == http.MethodGet && r.Query.Get("id[in]") != "" && r.Query.Get("exported") == "false"
				}
				h.tenant.OnRequest(func(r coupatest.Request) {
					if looks(r) && k.within && id.Load() != 0 && !changed.Swap(true) {
						last = k.change(h.tenant, id.Load()) // behind the answer: the stamps are those before
					}
				})
				h.published = func(r shard.Publication) {
					if r.ID == id.Load() && !k.within && !changed.Swap(true) { // before a mark
						last = k.change(h.tenant, r.ID)
					}
				}
				h.start()
				if k.within { // a row by itself: the next poll is a minute away when it is marked
					h.pass(2 * time.Minute)
					id.Store(h.tenant.Create("invoices").ID)
				}
				h.pass(10 * time.Minute)
				encode, contentOf := h.rowEncoder("invoices", schemas.Options{}), h.contents(h.tenant, "invoices")
				there := slices.ContainsFunc(h.records("coupa.invoices"), func(r readRecord) bool { return contentOf(r) == string(encode(last.JSON)) })
				if there == k.within {
					t.Errorf("the change of %s is published: %v", last.UpdatedAt, there)
				}
				if left := h.unmarked("invoices"); len(left) > 0 {
					t.Errorf("without the flag: %v", left)
				}
				if !k.within {
					h.checkExported("invoices")
				}
			})
		})
	}
}

// A second save within the second of a stamp is published when the stamp is settled, and no mark comes before
// it.
func TestAMarkWaitsUntilItsSecondIsSettled(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 98, Rows: -1, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"], h.keys["settle.ms"] = "mark", "25000"
		h.start()
		h.pass(15 * time.Second)
		row := h.tenant.Create("invoices")
		h.pass(3 * time.Second)
		if got := len(h.records("coupa.invoices")); got != 1 {
			h.t.Fatalf("%d records of the first save", got)
		}
		h.tenant.SetSilent("invoices", row.ID, "invoice-number", `"second"`)
		h.pass(3 * time.Minute)
		if got := len(h.records("coupa.invoices")); got != 2 || len(h.unmarked("invoices")) > 0 {
			t.Errorf("%d records of two saves, without the flag: %v", got, h.unmarked("invoices"))
		}
		h.checkExported("invoices")
	})
}

// A condition that Coupa ignores stops the object before it publishes what it is not to.
func TestAnInstanceThatIgnoresTheFlagIsFoundOut(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 96, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"] = "filter"
		h.tenant.MarkExported("invoices", h.tenant.Rows("invoices")[3].ID)
		h.source = func(s stream.Source) stream.Source { return deaf{s} }
		h.start()
		h.settle()
		s := h.running.Connectors()[0].Tasks[0]
		if s.State != status.Failed || !strings.Contains(s.Trace, "ignores conditions on it") || len(h.records("coupa.invoices")) > 0 {
			t.Errorf("%s %s, %d records", s.State, s.Trace, len(h.records("coupa.invoices")))
		}
	})
}

// Where a gateway gives up pages of many rows, rows are read and marked as elsewhere.
func TestRowsAreMarkedBehindAGatewayThatGivesUpLongPages(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 97, Rows: 60, MaxRows: 25, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"] = "mark"
		h.start()
		h.pass(3 * time.Minute)
		if got := h.unmarked("invoices"); len(got) > 0 {
			t.Errorf("without the flag: %v", got)
		}
		h.checkExported("invoices")
	})
}

// What somebody asks for is read whatever its flag; of it, rows are marked that have none.
func TestRowsThatAreAskedForAreMarkedIfTheyHaveNoFlag(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 99, Rows: 12, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"], h.keys["initial.from"], h.keys["poll.interval.ms"] = "mark", "latest", "5000"
		rows := h.tenant.Rows("invoices")
		for _, v := range rows[:4] {
			h.tenant.MarkExported("invoices", v.ID)
		}
		h.start()
		h.settle()
		if got := len(h.records("coupa.invoices")); got > 0 || len(h.puts()) > 0 {
			t.Errorf("%d records and %v before anything has changed", got, h.puts())
		}
		if _, err := h.running.Snapshot(h.t.Context(), "acme", status.SnapshotRequest{Object: "invoices"}); err != nil {
			h.t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		if got := len(h.records("coupa.invoices")); got != 12 || len(h.puts()) != 8 || len(h.unmarked("invoices")) > 0 {
			t.Errorf("%d records of 12 rows, %d marks of the 8 without the flag", got, len(h.puts()))
		}
	})
}

// A row that Coupa does not show for a while is marked when it does. One that is gone looks alike.
func TestRowsThatAreNotShownKeepTheirMarks(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 100, Rows: 12, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"], h.keys["poll.interval.ms"] = "mark", "60000"
		rows := h.tenant.Rows("invoices")
		hidden, gone := rows[3].ID, rows[5].ID
		h.published = func(p shard.Publication) { // before their marks
			switch p.ID {
			case hidden:
				h.tenant.LeaveOut("invoices", hidden, -1)
			case gone:
				h.tenant.Delete("invoices", gone)
			}
		}
		h.start()
		h.pass(20 * time.Minute)
		if got := h.unmarked("invoices"); !slices.Equal(got, []int64{hidden}) {
			t.Errorf("without the flag: %v, want %d", got, hidden)
		}
		h.tenant.LeaveOut("invoices", hidden, 0)
		h.pass(time.Hour)
		s := h.running.Connectors()[0].Tasks[0]
		if got := h.unmarked("invoices"); len(got) > 0 || s.Marking.Waiting != 1 || s.Condition != status.Idle {
			t.Errorf("without the flag: %v; %+v", got, s.Marking)
		}
	})
}

// A row that is a dead letter was not published, and nothing tells whether one without
// updated-at has changed: they stay without the flag.
func TestDeadLettersAreNotMarked(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 97, Rows: 6, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["exported.mode"], h.keys["errors.tolerance"], h.keys["errors.deadletterqueue.topic.name"] = "mark", "all", "dead"
		rows := h.tenant.Rows("invoices")
		bad, undated := rows[2].ID, rows[4].ID
		h.tenant.SetMember("invoices", bad, "id-of-nothing", `1`)
		h.tenant.SetMember("invoices", bad, "line-count", `"many"`)
		h.tenant.SetMember("invoices", bad, "paid", `"perhaps"`)
		h.tenant.Undate("invoices", undated)
		h.start()
		h.pass(3 * time.Minute)
		if got := h.unmarked("invoices"); !slices.Equal(got, []int64{bad, undated}) || len(h.records("coupa.invoices")) != 5 {
			t.Errorf("without the flag: %v, want %d and %d; %d records", got, bad, undated, len(h.records("coupa.invoices")))
		}
	})
}

// deaf is an instance that ignores conditions on the flag.
type deaf struct{ stream.Source }

func (d deaf) MaxID(ctx context.Context, q coupa.Query) (int64, error) {
	q.Filter = nil
	return d.Source.MaxID(ctx, q)
}

// TestAnyShortHistoryIsMarkedAfterItIsPublished makes random histories of rows that are changed, marked by
// others and set back, with faults of Coupa and Kafka and restarts with the state kept, lost or old, and with
// marks whose answers are lost. In the end all rows have the flag, and none got it from us before its version
// was published.
func TestAnyShortHistoryIsMarkedAfterItIsPublished(t *testing.T) {
	for seed := range random(3, unlessRaced[uint64](4, 2)) {
		t.Run(fmt.Sprint("history ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 21))
			object := []string{"purchase_orders", "invoices", "requisitions"}[rng.IntN(3)]
			cfg := coupatest.Config{Seed: seed, Rows: 20, Objects: []string{object}, PageCap: 1 + rng.IntN(50), MarksStamp: rng.IntN(2) == 0}
			simulate(t, cfg, func(h *harness) {
				h.keys["exported.mode"] = "mark"
				h.keys["poll.interval.ms"] = []string{"1000", "20000"}[rng.IntN(2)]
				h.keys["lines"] = []string{config.LinesEmbedded, config.LinesTopics, config.LinesBoth}[rng.IntN(3)]
				var lose atomic.Int64 // answers to marks
				h.source = func(s stream.Source) stream.Source {
					return answers{s, func(_ int64, really func() error) error {
						if err := really(); lose.Add(-1) < 0 {
							return err
						}
						return &coupa.Error{Op: "marking", Kind: coupa.Retry}
					}}
				}
				states := []string{h.state}
				var byOthers []int64
				var steps []string
				h.start()
				for range 12 + rng.IntN(12) {
					id := int64(1 + rng.IntN(20))
					step := rng.IntN(10)
					steps = append(steps, fmt.Sprint(step, " ", id))
					switch step {
					case 0, 1:
						h.tenant.Update(object, id)
					case 2:
						h.tenant.UpdateLine(object, id)
					case 3:
						h.tenant.MarkExported(object, id)
						byOthers = append(byOthers, id)
					case 4, 5:
						h.tenant.Update(object, id)
						h.tenant.ResetExported(object, id)
					case 6:
						h.tenant.CreateLate(object, time.Duration(rng.IntN(8))*time.Second)
					case 7:
						lose.Store(1 + rng.Int64N(5))
					case 8:
						h.net.Lose(kmsg.EndTxn, 1+rng.IntN(2))
					default:
						h.stop()
						switch rng.IntN(3) {
						case 0:
							states = append(states, t.TempDir())
							h.state = states[len(states)-1]
						case 1:
							h.state = states[rng.IntN(len(states))]
						}
						h.start()
					}
					h.pass(time.Duration(rng.IntN(20_000)) * time.Millisecond)
				}
				lose.Store(0)
				h.net.Lose(kmsg.EndTxn, 0)
				for waited := 0; waited < 90 && len(h.unmarked(object)) > 0; waited++ {
					h.pass(10 * time.Second)
				}
				if left := h.unmarked(object); len(left) > 0 {
					t.Errorf("without the flag: %v", left)
				}
				// where rows go out without their lines, a content comes again
				if h.keys["lines"] != config.LinesTopics {
					h.checkExported(object, byOthers...)
				}
				if t.Failed() {
					t.Logf("seed %d: %+v, keys %v, steps %v", seed, cfg, h.keys, steps)
				}
			})
		})
	}
}
