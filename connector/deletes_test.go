package connector

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/sweep"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// sweeping lets a harness's connectors look for deletes every ten minutes.
func (h *harness) sweeping() {
	h.keys["deletes"], h.keys["deletes.interval.ms"] = "sweep", "600000"
	h.keys["poll.interval.ms"] = "5000"
}

// sweeps lets so many sweeps pass, with what they confirm.
func (h *harness) sweeps(n int) { h.pass(time.Duration(n)*10*time.Minute + 2*time.Minute) }

// deletes is what the status tells of them.
func (h *harness) deletes() status.Deletes {
	h.t.Helper()
	d := h.running.Connectors()[0].Tasks[0].Deletes
	if d == nil {
		h.t.Fatal("nothing is told of deletes")
	}
	return *d
}

// deleted are the ids whose last record is a tombstone, and how many tombstones there are.
func (h *harness) deleted(topic string) (ids []int64, tombstones int) {
	h.t.Helper()
	last := map[int64]readRecord{}
	for _, r := range h.records(topic) {
		if last[r.id] = r; r.value == nil {
			tombstones++
			if r.op != record.OpDelete || r.updatedAt != "" || r.headers[record.HeaderObject] == "" || r.headers[record.HeaderTenant] != "acme" {
				h.t.Errorf("the tombstone of %d has the headers %v", r.id, r.headers)
			}
		}
	}
	for id, r := range last {
		if r.value == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, tombstones
}

// ids are those of the rows that an object has now, in order.
func (h *harness) ids(object string) (ids []int64) {
	for _, v := range h.tenant.Rows(object) {
		ids = append(ids, v.ID)
	}
	return ids
}

func (h *harness) expectDeleted(topic string, tombstones int, want ...int64) {
	h.t.Helper()
	if got, n := h.deleted(topic); !slices.Equal(got, want) || n != tombstones {
		h.t.Errorf("%v are deleted by %d tombstones, want %v by %d", got, n, want, tombstones)
	}
}

func TestRowsThatAreDeletedGetTombstones(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 801, Rows: 130, Objects: []string{"invoices"}}, func(h *harness) {
		h.sweeping()
		h.start()
		h.settle()
		h.tenant.Update("invoices", 7) // the ledger knows it
		h.settle()
		h.tenant.Delete("invoices", 7)
		h.tenant.Delete("invoices", 130)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 7, 130)
		h.tenant.Undelete("invoices", 7) // as it was: no poll finds it
		h.tenant.Update("invoices", 8)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 130)
		h.tenant.Delete("invoices", 7)
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 3, 7, 130)
		h.tenant.Undelete("invoices", 7)
		h.tenant.Update("invoices", 7) // a poll finds it
		h.pass(20 * time.Second)
		h.expectDeleted("coupa.invoices", 3, 130)
		h.sweeps(2)
		h.check("invoices")
		if d := h.deletes(); d.Deleted != 3 || d.Stage != checkpoint.SweepResting || d.Since.IsZero() || d.Missing != 0 || d.Known != 129 {
			t.Errorf("the status says %+v", d)
		}
	})
}

// The row is there again when it is asked for the last time, between two polls. What such a poll had
// published of it would be behind its tombstone.
func TestARowThatIsThereAgainAtLastIsNotDeleted(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 809, Rows: 130, Objects: []string{"invoices"}}, func(h *harness) {
		h.sweeping()
		h.start()
		h.settle()
		h.tenant.Delete("invoices", 7)
		alone := 0
		h.tenant.OnRequest(func(r coupatest.Request) {
			if r.Query.Get("id[in]") == "7" && r.Rows == 0 {
				if alone++; alone == 1 {
					h.tenant.Undelete("invoices", 7)
				}
			}
		})
		h.sweeps(1)
		if h.expectDeleted("coupa.invoices", 0); alone != 1 {
			t.Errorf("it was asked for alone %d times", alone)
		}
		h.check("invoices")
	})
}

// A stream that runs when the key is switched on learns from its topic what it has published.
func TestDeletesOfAStreamThatRuns(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 802, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		h.sweeping()
		h.tenant.Delete("invoices", 5)
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 1, 5)
		h.stop()
		h.state = t.TempDir()
		h.tenant.Delete("invoices", 6)
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, 5, 6)
		h.stop()
		h.keys["deletes"] = "off"
		h.start()
		h.settle()
		h.tenant.Delete("invoices", 9)
		h.stop()
		h.keys["deletes"] = "sweep"
		h.start()
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 3, 5, 6, 9)
		h.check("invoices")
	})
}

// A row that is deleted takes its lines along, and one that comes back brings them.
func TestLinesOfRowsThatAreDeleted(t *testing.T) {
	for _, where := range []string{config.LinesTopics, config.LinesBoth} {
		t.Run(where, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 803, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
				h.sweeping()
				h.keys["lines"] = where
				h.tenant.SetMember("invoices", 5, "invoice-lines", linesJSON(9001, 9002, 9003))
				h.start()
				h.settle()
				known := h.known(lineTopic)
				h.tenant.Delete("invoices", 5)
				h.sweeps(1)
				gone := h.newer(lineTopic, known)
				if len(gone) != 3 || gone[0].value != nil || gone[0].op != record.OpDelete {
					t.Errorf("%d records of lines, want three tombstones: %+v", len(gone), gone)
				}
				h.expectDeleted("coupa.invoices", 1, 5)
				h.check("invoices")
				known = h.known(lineTopic)
				h.tenant.Undelete("invoices", 5)
				h.sweeps(1)
				if back := h.newer(lineTopic, known); len(back) != 3 {
					t.Errorf("%d records of lines, want three", len(back))
				}
				h.expectDeleted("coupa.invoices", 1)
				h.check("invoices")
			})
		})
	}
}

// In an envelope a record says first that the row is gone, with its id; then comes the tombstone.
func TestADeleteInAnEnvelope(t *testing.T) {
	for format, lines := range map[string]string{config.FormatAvro: config.LinesEmbedded, config.FormatJSON: config.LinesBoth} {
		t.Run(format, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 804, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
				h.sweeping()
				h.keys["envelope"], h.keys["value.format"], h.keys["lines"] = config.EnvelopeDebezium, format, lines
				h.start()
				h.settle()
				h.tenant.Delete("invoices", 5)
				h.sweeps(1)
				var last []*kgo.Record
				h.each("coupa.invoices", func(r *kgo.Record) {
					if headerOf(r, record.HeaderOp) == record.OpDelete {
						last = append(last, r)
					}
				})
				if len(last) != 2 || string(last[0].Key) != string(last[1].Key) || last[0].Partition != last[1].Partition || last[0].Offset >= last[1].Offset || last[1].Value != nil {
					t.Fatalf("%d records: %v", len(last), last)
				}
				if format == config.FormatJSON {
					if v := string(last[0].Value); !strings.HasPrefix(v, `{"before":{"id":5`) || !strings.Contains(v, `"after":null,"source":{`) || !strings.Contains(v, `"op":"d"`) {
						t.Errorf("the value is %s", v)
					}
				}
				if d := h.deletes(); d.Deleted != 1 {
					t.Errorf("the status says %+v", d)
				}
			})
		})
	}
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// What looks like more than deletes waits until somebody approves it.
func TestWhatASweepWaitsFor(t *testing.T) {
	const rows = 100
	hide := func(n int) func(*harness) {
		return func(h *harness) {
			last := h.ids("invoices")[n-1]
			h.tenant.Hide("invoices", func(id int64) bool { return id <= last })
		}
	}
	remove := func(h *harness, from, n int) {
		for _, id := range h.ids("invoices")[from : from+n] {
			h.tenant.Delete("invoices", id)
		}
	}
	for _, c := range []struct {
		name    string
		do      func(*harness)
		missing int64
		why     string
	}{
		{"twenty rows are missing", func(h *harness) { remove(h, 30, 20) }, 20, ""},
		{"more than twenty are, and more than a hundredth", func(h *harness) { remove(h, 30, 21) }, 21, "21 of 100 rows are missing"},
		{"most are hidden", hide(60), 60, "more than half"},
		{"nothing is found", hide(rows), rows, "found no row at all"},
		{"the instance was refreshed", func(h *harness) { h.tenant.Rewind("invoices", h.ids("invoices")[69]) }, 30, "ids have gone backwards"},
		{"those that changed last are", func(h *harness) {
			for _, id := range h.ids("invoices")[:25] {
				h.tenant.Update("invoices", id)
			}
			h.pass(time.Minute)
			remove(h, 0, 25)
		}, 25, "instants have gone backwards"},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 805, Rows: rows, Objects: []string{"invoices"}}, func(h *harness) {
				h.sweeping()
				r := h.start()
				h.pass(time.Minute)
				c.do(h)
				h.sweeps(1)
				d := h.deletes()
				if waits := d.Stage == checkpoint.SweepWaiting; waits != (c.why != "") || !strings.Contains(d.Why, c.why) || d.Missing != map[bool]int64{true: c.missing}[waits] {
					t.Fatalf("the status says %+v", d)
				}
				_, tombstones := h.deleted("coupa.invoices")
				if c.why == "" {
					if tombstones != int(c.missing) {
						t.Errorf("%d tombstones, want %d", tombstones, c.missing)
					}
					if err := r.ApproveDeletes(h.t.Context(), "acme", "invoices"); !errors.Is(err, sweep.ErrNothing) {
						t.Errorf("what does not wait was approved: %v", err)
					}
					return
				}
				if tombstones != 0 || len(d.Examples) != sweep.Examples {
					t.Errorf("%d tombstones before the approval, %d examples", tombstones, len(d.Examples))
				}
				s := r.Connectors()[0].Tasks[0]
				if blind := s.Condition == status.Blind; s.Condition != status.Waiting && !blind || !slices.ContainsFunc(s.Notices, func(n status.Trouble) bool { return strings.Contains(n.Message, d.Why) }) {
					t.Errorf("it is %s, with the notices %v", s.Condition, s.Notices)
				}
				h.tenant.Create("invoices") // the stream goes on
				h.stop()
				h.state = t.TempDir()
				r = h.start()
				h.sweeps(2)
				if d := h.deletes(); d.Stage != checkpoint.SweepWaiting || d.Missing != c.missing {
					t.Errorf("after a restart and another look the status says %+v", d)
				}
				if err := r.ApproveDeletes(h.t.Context(), "acme", "invoices"); err != nil {
					t.Fatal(err)
				}
				h.stop()
				h.state = t.TempDir()
				h.start()
				h.pass(10 * time.Minute)
				if _, n := h.deleted("coupa.invoices"); n != int(c.missing) {
					t.Errorf("%d tombstones after the approval, want %d", n, c.missing)
				}
				h.check("invoices")
			})
		})
	}
}

// What comes back while a sweep waits needs no approval, and is published no second time. What goes
// meanwhile is not of the approval.
func TestRowsThatComeBackWhileASweepWaits(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 806, Rows: 100, Objects: []string{"invoices"}}, func(h *harness) {
		h.sweeping()
		r := h.start()
		h.pass(time.Minute)
		ids := h.ids("invoices")
		h.tenant.Hide("invoices", func(id int64) bool { return id <= ids[59] })
		h.sweeps(1)
		published := len(h.records("coupa.invoices"))
		h.tenant.Hide("invoices", func(id int64) bool { return id <= ids[29] })
		h.sweeps(1)
		if d := h.deletes(); d.Stage != checkpoint.SweepWaiting || d.Missing != 30 {
			t.Errorf("the status says %+v", d)
		}
		h.tenant.Hide("invoices", func(int64) bool { return false })
		h.tenant.Hide("invoices", func(id int64) bool { return id == ids[6] })
		for _, id := range ids[70:95] {
			h.tenant.Delete("invoices", id)
		}
		if err := r.ApproveDeletes(h.t.Context(), "acme", "invoices"); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		h.expectDeleted("coupa.invoices", 1, ids[6])
		if n := len(h.records("coupa.invoices")); n != published+1 {
			t.Errorf("%d records more, want the tombstone", n-published)
		}
		h.sweeps(1)
		if d := h.deletes(); d.Stage != checkpoint.SweepWaiting || d.Missing != 25 {
			t.Errorf("the status says %+v", d)
		}
		h.tenant.Hide("invoices", func(int64) bool { return false })
		for _, id := range ids[70:95] {
			h.tenant.Undelete("invoices", id)
		}
		h.sweeps(2)
		if d := h.deletes(); d.Stage != checkpoint.SweepResting || d.Missing != 0 || d.Deleted != 1 {
			t.Errorf("the status says %+v", d)
		}
		h.check("invoices")
	})
}

// Rows that Coupa's API deletes none of are more likely hidden: whatever is missing waits.
func TestASweepOfRowsThatAreNotDeletedIsAnAudit(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 807, Rows: 30, Objects: []string{"suppliers"}}, func(h *harness) {
		h.sweeping()
		r := h.start()
		h.settle()
		h.tenant.Delete("suppliers", 5)
		h.sweeps(2)
		if d := h.deletes(); d.Stage != checkpoint.SweepWaiting || !d.Audit || !slices.Equal(d.Examples, []int64{5}) {
			t.Errorf("the status says %+v", d)
		}
		if err := r.ApproveDeletes(h.t.Context(), "acme", "suppliers"); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
		h.expectDeleted("coupa.suppliers", 1, 5)
	})
}

// A topic that retention has emptied tells nothing: the first sweep does.
func TestDeletesOfAStreamWhoseTopicWasPurged(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 808, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		h.purge("coupa.invoices")
		h.sweeping()
		h.start()
		h.pass(30 * time.Second)
		if d := h.deletes(); !d.Since.IsZero() && d.Ended.IsZero() {
			t.Errorf("the status says %+v", d)
		}
		h.sweeps(1)
		if d := h.deletes(); d.Since.IsZero() {
			t.Errorf("the status says %+v", d)
		}
		h.tenant.Delete("invoices", 5)
		h.sweeps(1)
		if d := h.deletes(); d.Deleted != 1 || d.Known != 60 {
			t.Errorf("the status says %+v", d)
		}
	})
}

// A gateway that gives up large pages makes a sweep take smaller ones.
func TestASweepBehindAGatewayThatGivesUpLargePages(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 809, Rows: 120, MaxRows: 7, Objects: []string{"invoices"}}, func(h *harness) {
		h.sweeping()
		h.start()
		h.pass(5 * time.Minute)
		gone := h.ids("invoices")[57]
		h.tenant.Delete("invoices", gone)
		h.sweeps(2)
		h.expectDeleted("coupa.invoices", 1, gone)
	})
}

// purge deletes all records of a topic, as retention does.
func (h *harness) purge(topic string) {
	h.t.Helper()
	cl, err := kgo.NewClient(h.kafka()...)
	if err != nil {
		h.t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	ends, err := admin.ListEndOffsets(h.t.Context(), topic)
	if err == nil {
		_, err = admin.DeleteRecords(h.t.Context(), ends.Offsets())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestAnyHistoryOfDeletesIsPublished makes random histories of rows that are deleted, come back, change and
// are hidden for a while, with faults of Coupa and Kafka and restarts between: no tombstone is missed, and
// none goes out for a row that was never gone.
func TestAnyHistoryOfDeletesIsPublished(t *testing.T) {
	for seed := *firstHistory; seed < *firstHistory+random(4, unlessRaced[uint64](3, 1)); seed++ {
		t.Run(fmt.Sprint("history ", seed), func(t *testing.T) { deletesOf(t, seed) })
	}
}

func deletesOf(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 11))
	object := []string{"invoices", "requisitions", "expense_reports"}[rnd.IntN(3)]
	simulate(t, coupatest.Config{Seed: seed, Rows: 40, Objects: []string{object}, PageCap: 5 + rnd.IntN(46)}, func(h *harness) {
		h.sweeping()
		h.keys["deletes.interval.ms"], h.keys["overlap.ms"] = "60000", "20000"
		h.keys["lines"] = []string{config.LinesEmbedded, config.LinesTopics, config.LinesBoth}[rnd.IntN(3)]
		h.keys["lookback.ms"] = []string{"0", "3600000"}[rnd.IntN(2)]
		if rnd.IntN(3) == 0 {
			h.keys["deletes"] = "off"
		}
		var told []string
		tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
		was := map[int64]int{} // how often a row was deleted
		h.start()
		h.settle() // a backfill does not see rows that are hidden
		for range 8 + rnd.IntN(8) {
			id := 1 + rnd.Int64N(40)
			switch rnd.IntN(10) {
			case 0, 1, 2:
				tell("delete %d", id)
				if rnd.IntN(2) == 0 { // so that the ledger knows it
					h.tenant.Update(object, id)
					h.pass(20 * time.Second)
				}
				if h.tenant.Delete(object, id) {
					was[id]++
				}
			case 3, 4:
				tell("undelete %d", id)
				for back := id; back < id+10; back++ {
					h.tenant.Undelete(object, back)
				}
			case 5:
				tell("update %d", id)
				h.tenant.Update(object, id)
				h.tenant.Create(object)
			case 6:
				tell("rights are gone for a while")
				h.tenant.Hide(object, func(id int64) bool { return id > 10 })
				h.pass(time.Duration(rnd.IntN(200)) * time.Second)
				h.tenant.Hide(object, func(int64) bool { return false })
			case 7:
				key, n := []kmsg.Key{kmsg.EndTxn, kmsg.Produce, kmsg.InitProducerID}[rnd.IntN(3)], 1+rnd.IntN(3)
				tell("kafka: %d answers to %s are lost", n, key.Name())
				h.net.Lose(key, n)
			case 8:
				kinds := []coupatest.FaultKind{coupatest.Throttle429, coupatest.HTML503, coupatest.Reset, coupatest.Truncate, coupatest.WrongOrder, coupatest.Unauthorized401}
				f := coupatest.Fault{Kind: kinds[rnd.IntN(len(kinds))], Count: 1 + rnd.IntN(3), After: rnd.IntN(6)}
				tell("coupa: %s, %d after %d", f.Kind, f.Count, f.After)
				h.tenant.Inject(f)
			default:
				h.stop()
				if rnd.IntN(2) == 0 {
					h.state = h.t.TempDir()
				}
				h.keys["deletes"] = "sweep"
				tell("restart")
				h.start()
			}
			h.pass(time.Duration(rnd.IntN(90)) * time.Second)
		}
		if h.keys["deletes"] == "off" {
			h.stop()
			h.keys["deletes"] = "sweep"
			h.start()
		}
		h.tenant.ClearFaults()
		h.net.Lose(kmsg.EndTxn, 0)
		h.pass(time.Minute)
		h.catchUp(5 * time.Second)
		for range 4 {
			h.pass(2 * time.Minute)
			if h.deletes().Stage == checkpoint.SweepWaiting {
				if err := h.running.ApproveDeletes(h.t.Context(), "acme", object); err != nil {
					t.Error(err)
				}
			}
		}
		h.check(object)
		tombstones := map[int64]int{}
		for _, r := range h.records("coupa." + object) {
			if r.value == nil {
				tombstones[r.id]++
			}
		}
		for id, n := range tombstones {
			if n > was[id] {
				t.Errorf("%d tombstones of %d, which was deleted %d times", n, id, was[id])
			}
		}
		if t.Failed() {
			t.Logf("seed %d: keys %v, steps %v", seed, h.keys, told)
		}
	})
}
