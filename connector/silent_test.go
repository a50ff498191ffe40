package connector

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestAChangeOfALineAloneIsPublishedOnceHoweverOldItsHeaderIs(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 31, Rows: 130, Objects: []string{"purchase_orders"}}, func(h *harness) {
		r := h.start()
		h.settle()
		for _, id := range []int64{3, 4, 90, 3, 3, 77} {
			h.tenant.UpdateLine("purchase_orders", id)
			h.pass(4 * time.Second)
		}
		h.settle()
		if n := len(h.check("purchase_orders")); n != 136 {
			t.Errorf("%d records, want 130 rows and 6 changes of lines", n)
		}
		if s := r.Connectors()[0].Tasks[0]; s.Silent != 6 || s.Late != 0 {
			t.Errorf("%d silent changes and %d late rows were counted, want 6 and none", s.Silent, s.Late)
		}
	})
}

func TestALineThatIsRemovedStopsNothingAndIsPublishedWithTheNextChange(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 38, Rows: 30, Objects: []string{"purchase_orders"}}, func(h *harness) {
		r := h.start()
		h.pass(3 * time.Minute)
		h.tenant.UpdateLine("purchase_orders", 7)
		h.pass(2 * time.Minute)
		h.tenant.RemoveLine("purchase_orders", 3)
		h.tenant.RemoveLine("purchase_orders", 7)
		h.pass(5 * time.Minute)
		h.tenant.Update("purchase_orders", 3)
		h.tenant.Update("purchase_orders", 7)
		h.settle()
		if n := len(h.check("purchase_orders")); n != 33 {
			t.Errorf("%d records, want 30 rows and 3 changes", n)
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Errorf("%s %s", s.State, s.Trace)
		}
	})
}

func TestAnInstanceThatIgnoresTheConditionOnLinesIsNotAskedAndItsObjectGoesOn(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 39, Rows: 30, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.source = func(s stream.Source) stream.Source { return withoutLines{s} }
		r := h.start()
		h.settle()
		h.tenant.Update("purchase_orders", 3)
		h.settle()
		if n := len(h.check("purchase_orders")); n != 31 {
			t.Errorf("%d records, want 30 rows and a change", n)
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || !strings.Contains(h.log.String(), "can't be asked for rows by the updated-at of their lines") {
			t.Errorf("%s %s", s.State, s.Trace)
		}
	})
}

// withoutLines leaves the condition on lines out.
type withoutLines struct{ stream.Source }

func (w withoutLines) Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	q.Lines, q.LinesFrom = "", time.Time{}
	return w.Source.Fetch(ctx, q, yield)
}

func (w withoutLines) MaxID(ctx context.Context, q coupa.Query) (int64, error) {
	q.Lines, q.LinesFrom = "", time.Time{}
	return w.Source.MaxID(ctx, q)
}

func TestChangesOfLinesMixWithChangesOfHeadersRestartsAndLostState(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 32, Rows: 60, Objects: []string{"purchase_orders", "invoices"}}, func(h *harness) {
		h.keys["lookback.ms"] = "0"
		h.start()
		h.pass(2 * time.Second)
		for i := range 40 {
			h.tenant.UpdateLine("purchase_orders", int64(1+i%9))
			if i%3 == 0 {
				h.tenant.Update("purchase_orders", int64(1+i%7))
			}
			h.tenant.UpdateLine("invoices", int64(1+i%5))
			h.pass(time.Duration(i*i*37%4000) * time.Millisecond)
			if i%8 == 7 {
				h.stop()
				if i%16 == 15 {
					h.state = t.TempDir()
				}
				h.pass(time.Duration(i) * time.Second)
				h.start()
			}
		}
		h.settle()
		h.pass(5 * time.Minute)
		h.check("purchase_orders")
		h.check("invoices")
	})
}

func TestARowThatAppearsAfterTheOverlapIsFoundByALookBackAndCountedWithItsLateness(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 33, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.keys["lookback.ms"] = "86400000"
		r := h.start()
		h.settle()
		h.tenant.CreateLate("users", 5*time.Minute)
		h.tenant.Update("users", 7)
		h.pass(25 * time.Minute)
		if n := len(h.check("users")); n != 62 {
			t.Errorf("%d records, want 60 and 2 changes", n)
		}
		s := r.Connectors()[0].Tasks[0]
		if s.Late != 1 || s.Lateness < 4*time.Minute || s.Lateness > 25*time.Minute {
			t.Errorf("%d late rows, the latest by %v; want one of more than 4 min", s.Late, s.Lateness)
		}
		h.tenant.CreateLate("users", 5*time.Minute)
		h.pass(6 * time.Minute)
		if n := len(h.records("coupa.users")); n != 63 {
			t.Errorf("%d records: the overlap was not stretched", n)
		}
		h.check("users")
	})
}

func TestALookBackFindsARowThatIsADayLateAlsoAfterRestarts(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 34, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
		h.keys["poll.interval.ms"] = "600000"
		h.worker["session.timeout.ms"], h.worker["heartbeat.interval.ms"] = "60000", "20000"
		h.start()
		h.settle()
		h.tenant.CreateLate("users", 20*time.Hour)
		for range 13 {
			h.pass(2 * time.Hour)
			h.tenant.Update("users", 4)
			h.stop()
			h.start()
		}
		h.pass(3 * time.Minute)
		h.check("users")
	})
}

func TestChangesArePublishedWhileTheBackfillGoesOnAndOvertakeIt(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 35, Rows: 6000, Objects: []string{"users"}, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"] = "4"
		r := h.start()
		for i := range 25 {
			h.tenant.Update("users", int64(6000-i*13))
			h.tenant.Update("users", int64(1+i*17))
			h.tenant.Create("users")
			h.pass(time.Second)
		}
		s := r.Connectors()[0].Tasks[0]
		if !s.Snapshot || s.Polls < 5 {
			t.Errorf("snapshot under way: %v, %d polls drained", s.Snapshot, s.Polls)
		}
		changes := 0
		for _, rec := range h.records("coupa.users") {
			if rec.op == record.OpUpsert {
				changes++
			}
		}
		if changes < 30 {
			t.Errorf("%d changes were published beside the backfill", changes)
		}
		h.pass(5 * time.Minute)
		if r.Connectors()[0].Tasks[0].Snapshot {
			t.Error("the backfill does not end")
		}
		h.check("users")
	})
}

func TestABackfillThatIsStoppedAgainAndAgainKeepsTheOrder(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 36, Rows: 3000, Objects: []string{"purchase_orders"}, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"] = "10"
		h.keys["lookback.ms"] = "0"
		for i := range 8 {
			h.start()
			for k := range 8 {
				h.tenant.Update("purchase_orders", int64(1+(i*997+k*311)%3000))
				h.tenant.UpdateLine("purchase_orders", int64(1+(i*577+k*111)%3000))
				h.tenant.CreateLate("purchase_orders", 15*time.Second)
				h.pass(300*time.Millisecond + time.Duration(i*37)*time.Millisecond)
			}
			h.stop()
			if i%3 == 2 {
				h.state = t.TempDir()
			}
		}
		h.start()
		h.pass(4 * time.Minute)
		h.check("purchase_orders")
	})
}

func TestARowThatAppearsLateBeforeTheBordersOfALongBackfillIsFoundAtItsEnd(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 37, Rows: 3000, Objects: []string{"users"}, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"], h.keys["poll.interval.ms"] = "1", "10000"
		h.keys["lookback.ms"] = "0"
		h.keys["settle.ms"] = "0"
		h.keys["object.users.overlap.ms"] = "20000"
		h.tenant.CreateLate("users", 10*time.Second)
		h.start()
		h.pass(6 * time.Minute)
		h.check("users")
	})
}
