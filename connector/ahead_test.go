package connector

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// last is the last record of a row.
func (h *harness) last(object string, id int64) (last readRecord, n int) {
	h.t.Helper()
	for _, r := range h.records("coupa." + object) {
		if r.id == id {
			last, n = r, n+1
		}
	}
	return last, n
}

func stampOf(v coupatest.Version) string { return v.UpdatedAt.UTC().Format(time.RFC3339) }

// visible → committed, with polls each second.
func TestAChangeIsCommittedShortlyAfterItIsVisible(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 901, Rows: 120, Objects: []string{"users"}, Latency: 80 * time.Millisecond}, func(h *harness) {
		var mu sync.Mutex
		changed := map[int64]time.Time{}
		var took []time.Duration
		h.published = func(p shard.Publication) {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := changed[p.ID]; ok && p.Op == record.OpUpsert {
				took = append(took, time.Since(at))
				delete(changed, p.ID)
			}
		}
		h.start()
		h.settle()
		rng := rand.New(rand.NewPCG(1, 901))
		for i := range 100 {
			h.pass(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if h.tenant.Update("users", int64(i+1)).ID != 0 {
				mu.Lock()
				changed[int64(i+1)] = time.Now()
				mu.Unlock()
			}
		}
		h.pass(10 * time.Second)
		mu.Lock()
		took, left := slices.Sorted(slices.Values(took)), len(changed)
		mu.Unlock()
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		t.Logf("visible → committed of %d changes: p50 %v, p99 %v, all within %v", len(took), p50, p99, took[len(took)-1])
		if left > 0 || p50 > 700*time.Millisecond || p99 > 1500*time.Millisecond {
			t.Errorf("p50 %v, p99 %v, %d not at all", p50, p99, left)
		}
		h.check("users")
	})
}

// What is read ahead of the mark goes out, and the mark stays settle.ms behind Coupa's clock all the same.
func TestTheMarkStaysBehindWhatPollsReadAhead(t *testing.T) {
	const settled = 2 * time.Second // the default
	simulate(t, coupatest.Config{Seed: 904, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		var soon atomic.Int64 // went out while their second was not settled
		h.published = func(p shard.Publication) {
			at, _ := time.Parse(time.RFC3339, p.UpdatedAt)
			if p.Op == record.OpUpsert && time.Since(at) < settled {
				soon.Add(1)
			}
		}
		r := h.start()
		h.settle()
		for id := range int64(30) {
			h.tenant.Update("users", id+1)
			h.pass(time.Second)
			c, err := r.Connector("acme")
			if err != nil {
				h.t.Fatal(err)
			}
			if mark := c.Tasks[0].Mark; mark.After(time.Now().Add(-settled)) {
				h.t.Errorf("at %s the mark is %s", time.Now(), mark)
			}
		}
		if soon.Load() == 0 {
			h.t.Error("nothing was read ahead")
		}
		h.check("users")
	})
}

// A poll that finds what the overlap holds is one request, but every few seconds.
func TestPollsThatReadAheadTakeFewerRequests(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 902, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.start()
		h.settle()
		h.pass(5 * time.Minute)
		count := func(change bool) int64 {
			before := h.tenant.RequestCounts()["users"]
			for i := range 60 {
				if change && i%5 == 0 {
					h.tenant.Update("users", int64(1+i))
				}
				h.pass(time.Second)
			}
			return h.tenant.RequestCounts()["users"] - before
		}
		if n := count(false); n < 58 || n > 61 {
			t.Errorf("%d requests of 60 polls that find nothing", n)
		}
		if n := count(true); n < 58 || n > 82 {
			t.Errorf("%d requests of 60 polls that find what has changed in the last minute", n)
		}
		if s := h.task("acme", "users"); time.Since(s.Mark) > 7*time.Second {
			t.Errorf("the mark is %v old", time.Since(s.Mark))
		}
		h.check("users")
	})
}

// Servers whose clocks differ by twice settle.ms: what is published in Coupa's order of saves is
// in the order of stamps but for what Coupa itself sets back, and that is counted.
func TestServersWhoseClocksDifferLoseNothing(t *testing.T) {
	for name, clocks := range map[string][]time.Duration{
		"one ahead": {0, 2 * time.Second}, "one behind": {0, -2 * time.Second}, "both wrong": {-2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 903, Rows: 40, Objects: []string{"users", "invoices"}, Clocks: clocks}, func(h *harness) {
				h.start()
				h.settle()
				rng := rand.New(rand.NewPCG(1, 903))
				for i := range 300 {
					h.tenant.Update([]string{"users", "invoices"}[i%2], int64(1+rng.IntN(6)))
					h.pass(time.Duration(rng.IntN(700)) * time.Millisecond)
				}
				h.pass(time.Minute)
				for _, object := range []string{"users", "invoices"} {
					back := int64(0)
					latest := map[int64]string{}
					for _, r := range h.check(object) {
						if r.updatedAt < latest[r.id] {
							back++
						}
						latest[r.id] = max(latest[r.id], r.updatedAt)
					}
					if s := h.task("acme", object); s.SetBack != back {
						t.Errorf("%s: %d rows were set back, and %d counted", object, back, s.SetBack)
					}
				}
			})
		})
	}
}

// back makes a row what it is now, with another text and an older stamp.
func (h *harness) back(object string, id int64, by time.Duration, text string) coupatest.Version {
	h.t.Helper()
	rows := h.tenant.Rows(object)
	row := rows[slices.IndexFunc(rows, func(v coupatest.Version) bool { return v.ID == id })]
	var members map[string]json.RawMessage
	if err := json.Unmarshal(row.JSON, &members); err != nil {
		h.t.Fatal(err)
	}
	members["updated-at"] = json.RawMessage(fmt.Sprintf("%q", row.UpdatedAt.Add(-by).Format(time.RFC3339)))
	members["login"] = json.RawMessage(fmt.Sprintf("%q", text))
	raw, err := json.Marshal(members)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.tenant.SetRaw(object, id, raw)
}

func TestARowThatIsSetBackGoesOutHalfAnOverlapLater(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 904, Rows: 20, Objects: []string{"users"}}, func(h *harness) {
		h.start()
		h.settle()
		v := h.tenant.Update("users", 5)
		h.pass(1500 * time.Millisecond)
		if last, _ := h.last("users", 5); last.updatedAt != stampOf(v) {
			t.Fatalf("1.5 s after a change the last record is of %s", last.updatedAt)
		}
		older := h.back("users", 5, time.Second, "saved by a server whose clock is behind")
		h.pass(20 * time.Second)
		if last, _ := h.last("users", 5); last.updatedAt != stampOf(v) {
			t.Errorf("at once the last record is of %s: a server that lags behind could have shown it", last.updatedAt)
		}
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.pass(25 * time.Second)
		last, n := h.last("users", 5)
		if last.updatedAt != stampOf(older) || h.task("acme", "users").SetBack != 1 || strings.Count(h.log.String(), "an older updated-at than before") != 1 {
			t.Errorf("the last record is of %s, %d were counted", last.updatedAt, h.task("acme", "users").SetBack)
		}
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.pass(2 * time.Minute)
		if _, again := h.last("users", 5); again != n {
			t.Errorf("%d records, then %d", n, again)
		}
		h.check("users")
	})
}

// A server that lags behind shows a version which was never published, after one that was.
func TestAnAnswerThatLagsBehindIsNotPublished(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 905, Rows: 20, Objects: []string{"users"}}, func(h *harness) {
		h.start()
		h.settle()
		h.tenant.Update("users", 5)
		h.pass(1500 * time.Millisecond)
		rows := h.tenant.Rows("users")
		now := rows[slices.IndexFunc(rows, func(v coupatest.Version) bool { return v.ID == 5 })]
		_, n := h.last("users", 5)
		for range 5 {
			h.back("users", 5, time.Second, "not yet")
			h.pass(3 * time.Second)
			h.tenant.SetRaw("users", 5, now.JSON)
			h.pass(3 * time.Second)
		}
		h.pass(2 * time.Minute)
		if last, again := h.last("users", 5); again != n || last.updatedAt != stampOf(now) {
			t.Errorf("%d records, then %d, the last of %s", n, again, last.updatedAt)
		}
		h.check("users")
	})
}

// What is undone within its second must be what is published last, and go out once.
func TestChangesWithinOneSecond(t *testing.T) {
	for name, texts := range map[string][]string{"undone": {"a", "b", "a"}, "three": {"a", "b", "c"}, "undone twice": {"a", "b", "a", "b", "a"}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 906, Rows: 20, Objects: []string{"users"}}, func(h *harness) {
				h.keys["poll.interval.ms"] = "100"
				h.start()
				h.settle()
				h.pass(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 10*time.Millisecond)))
				_, n := h.last("users", 5)
				for i, text := range texts {
					h.tenant.SetMember("users", 5, "login", fmt.Sprintf("%q", text))
					h.pass(190 * time.Millisecond)
					if _, now := h.last("users", 5); now != n+1 {
						t.Errorf("after change %d: %d records, want %d", i+1, now, n+1)
					}
				}
				h.pass(10 * time.Second)
				h.check("users")
			})
		})
	}
}

func TestASnapshotRepeatsWhatWentOutAheadOfTheMark(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 907, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		r := h.start()
		h.settle()
		for i, ask := range []status.SnapshotRequest{{IDs: []int64{5}}, {From: time.Now().Add(-time.Minute)}} {
			v := h.tenant.Update("invoices", 5)
			h.pass(1200 * time.Millisecond)
			last, n := h.last("invoices", 5)
			if last.updatedAt != stampOf(v) {
				t.Fatalf("%d: the last record is of %s, want %s", i, last.updatedAt, stampOf(v))
			}
			h.snapshot(r, ask)
			h.pass(20 * time.Second)
			if last, again := h.last("invoices", 5); again != n+1 || last.op != record.OpSnapshot || last.updatedAt != stampOf(v) {
				t.Errorf("%d: %d records after %d, the last %s of %s", i, again, n, last.op, last.updatedAt)
			}
		}
	})
}

// Lines get topics right after their row went out ahead of the mark.
func TestLinesOfWhatWentOutAheadOfTheMarkGetToTheirTopics(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 908, Rows: 20, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.start()
		h.settle()
		h.tenant.Update("purchase_orders", 5)
		h.pass(1200 * time.Millisecond)
		h.stop()
		h.keys["lines"] = config.LinesBoth
		h.start()
		h.settle()
		h.linesFitRows("purchase_orders")
		h.checkLines("acme", "purchase_orders")
	})
}

// Where lines have topics, a save in steps is read when it is whole: no line is gone in between.
func TestPollsOfLinesStayBehind(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 909, Rows: 20, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.keys["lines"] = config.LinesBoth
		h.start()
		h.settle()
		_, n := h.last("purchase_orders", 5)
		h.tenant.UpdateInSteps("purchase_orders", 5, 900*time.Millisecond)
		h.pass(1800 * time.Millisecond)
		if _, now := h.last("purchase_orders", 5); now != n {
			t.Errorf("%d records more within settle.ms", now-n)
		}
		h.pass(20 * time.Second)
		if _, now := h.last("purchase_orders", 5); now != n+1 {
			t.Errorf("%d records of a save in two steps", now-n)
		}
		h.check("purchase_orders")
		h.linesFitRows("purchase_orders")
	})
}

// The mark speaks for all rows before it, also where a poll that found a short page read no further.
func TestTheMarkPassesNoRowThatAShortPageHides(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 910, Rows: 20, PageCap: 5, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
		var published sync.Map // by id and stamp
		h.published = func(p shard.Publication) { published.Store(fmt.Sprint(p.ID, p.UpdatedAt), true) }
		h.keys["poll.interval.ms"], h.keys["settle.ms"] = "200", "0"
		h.start()
		h.settle()
		early, moved, mark := 0, 0, time.Time{}
		for i := range 160 {
			if i%8 == 0 {
				h.tenant.Tie("users", 12)
			}
			h.pass(250 * time.Millisecond)
			s := h.task("acme", "users")
			for _, v := range h.tenant.Rows("users") {
				_, out := published.Load(fmt.Sprint(v.ID, stampOf(v)))
				if !out && v.UpdatedAt.Before(s.Mark) {
					t.Fatalf("the mark is at %v, and id %d of %v is not published", s.Mark, v.ID, v.UpdatedAt)
				}
				if out && !v.UpdatedAt.Before(s.Mark) {
					early++
				}
			}
			if s.Mark.After(mark) {
				mark, moved = s.Mark, moved+1
			}
		}
		if early == 0 || moved < 10 || moved > 16 {
			t.Errorf("%d rows were seen ahead of the mark, which moved %d times in 40 s", early, moved)
		}
		h.pass(5 * time.Second)
		h.check("users")
	})
}

// The same for lines, whose walks leave to the polls the rows that these read anyway.
func TestTheMarkOfTheLinesPassesNoLineThatAShortPageHides(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 912, Rows: 60, PageCap: 5, RateLimit: -1, Objects: []string{"purchase_orders"}}, func(h *harness) {
		var mu sync.Mutex
		changed := map[int64]time.Time{} // and not published since
		h.published = func(p shard.Publication) {
			mu.Lock()
			defer mu.Unlock()
			delete(changed, p.ID)
		}
		h.keys["overlap.ms"], h.keys["poll.interval.ms"], h.keys["settle.ms"] = "10000", "200", "0"
		h.start()
		h.settle()
		ahead, moved, lines := 0, 0, time.Time{}
		for i := range int64(240) {
			if i%12 == 0 {
				for k := range int64(12) { // half of them with a stamp within the overlap
					id := 1 + (i/12*6+k)%60
					if k%2 == i/12%2 {
						h.tenant.Update("purchase_orders", id)
					}
					if h.tenant.UpdateLine("purchase_orders", id).ID != 0 {
						mu.Lock()
						changed[id] = time.Now()
						mu.Unlock()
					}
				}
			}
			h.pass(250 * time.Millisecond)
			mark := h.task("acme", "purchase_orders").Committed.Lines
			mu.Lock()
			waiting := maps.Clone(changed)
			mu.Unlock()
			for id, at := range waiting {
				if at.Before(mark) {
					t.Fatalf("the mark of the lines is at %v, and the change of id %d at %v is not published", mark, id, at)
				}
			}
			if len(waiting) == 0 {
				ahead++
			}
			if mark.After(lines) {
				lines, moved = mark, moved+1
			}
		}
		if ahead == 0 || moved < 10 {
			t.Errorf("all was published %d times, and the mark moved %d times in a minute", ahead, moved)
		}
		h.settle()
		h.check("purchase_orders")
	})
}

// Rows that the poll before has read are no matter of a walk by lines: they would be read twice each time.
func TestAWalkByLinesLeavesOutWhatThePollHasRead(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 913, Rows: 30, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.start()
		h.settle()
		var from string
		walks, rows := 0, 0
		h.tenant.OnRequest(func(r coupatest.Request) {
			switch {
			case r.Query.Has("order_lines[updated_at][gt_or_eq]"):
				if walks, rows = walks+1, rows+r.Rows; r.Query.Get("updated_at[lt]") != from {
					t.Errorf("rows before %s are asked for by lines behind a poll from %s", r.Query.Get("updated_at[lt]"), from)
				}
			case r.Query.Has("updated_at[gt_or_eq]"):
				from = r.Query.Get("updated_at[gt_or_eq]")
			}
		})
		for id := range int64(10) {
			h.tenant.Update("purchase_orders", 1+id)
			h.pass(2 * time.Second)
		}
		if h.tenant.OnRequest(nil); walks < 15 || rows > 0 {
			t.Errorf("%d walks by lines have read %d rows", walks, rows)
		}
		h.check("purchase_orders")
	})
}

// While an object rests, its polls read as far back as look-backs of an hour would, and these are left out.
func TestALateRowOfAnObjectAtRestIsFoundByItsNextPoll(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 914, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
		h.keys["poll.interval.ms"] = "30000"
		h.start()
		h.pass(2 * time.Hour)
		requests := h.countRequests(kindOfRequest)
		h.pass(time.Hour)
		if n := requests()["lookbacks"]; n > 2 {
			t.Errorf("%d requests of look-backs in an hour of rest", n)
		}
		h.tenant.CreateLate("users", 50*time.Minute)
		h.pass(51 * time.Minute)
		if s := h.task("acme", "users"); len(h.records("coupa.users")) != 31 || s.Late != 1 || s.LookbackFinds != 0 {
			t.Errorf("%d records, %d late, %d found by look-backs", len(h.records("coupa.users")), s.Late, s.LookbackFinds)
		}
		h.tenant.CreateLate("users", 50*time.Minute)
		requests = h.countRequests(kindOfRequest) // the row that was late is within the hour
		h.pass(65 * time.Minute)
		if n := requests()["lookbacks"]; n < 3 {
			t.Errorf("%d requests of look-backs behind a change", n)
		}
		h.check("users")
	})
}

// A snapshot leaves to the polls what they have not
// published yet, also in the stretch where others went out.
func TestASnapshotOvertakesNoPollAheadOfTheMark(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 911, Rows: 20, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["poll.interval.ms"] = "400"
		r := h.start()
		h.settle()
		h.pass(time.Until(time.Now().Truncate(time.Second).Add(time.Second + 10*time.Millisecond)))
		first := h.tenant.Update("invoices", 5)
		for last, _ := h.last("invoices", 5); last.updatedAt != stampOf(first); last, _ = h.last("invoices", 5) {
			h.pass(50 * time.Millisecond)
		}
		second := h.tenant.Update("invoices", 6)
		_, n := h.last("invoices", 6)
		h.snapshot(r, status.SnapshotRequest{From: time.Now().Add(-time.Minute)})
		h.pass(10 * time.Second)
		if last, now := h.last("invoices", 6); stampOf(second) != stampOf(first) || now != n+1 || last.op != record.OpUpsert {
			t.Errorf("%d records more of a row that the polls had not seen, the last %s", now-n, last.op)
		}
	})
}
