package connector

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

var orders = []string{"purchase_orders"}

func TestAPauseLongerThanTheLedgerRepeatsNoRowByItsLines(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 501, Rows: 60, Objects: orders}, func(h *harness) {
		h.keys["lookback.ms"] = "0"
		h.start()
		h.settle()
		h.stop()
		for i := range 9 {
			h.tenant.Update("purchase_orders", int64(1+i))
			h.pass(20 * time.Minute)
		}
		h.start()
		h.settle()
		h.check("purchase_orders")
	})
}

func TestAChangeOfALineDuringAPauseIsPublishedThoughTheWorkerEndsBetweenPollAndLines(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 502, Rows: 60, Objects: orders, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["lookback.ms"] = "0"
		h.start()
		h.settle()
		h.stop()
		h.tenant.UpdateLine("purchase_orders", 3)
		h.pass(3 * time.Hour)
		h.tenant.Update("purchase_orders", 4)
		h.pass(5 * time.Second)
		before := h.recordsPublished("purchase_orders")
		h.start()
		for h.recordsPublished("purchase_orders") == before {
			h.pass(10 * time.Millisecond)
		}
		h.stop()
		h.start()
		h.settle()
		h.check("purchase_orders")
	})
}

func (h *harness) recordsPublished(object string) int { return len(h.records("coupa." + object)) }

func TestAChangeOfALineBesideABackfillLongerThanTheLedgerIsPublished(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 503, Rows: 2500, Objects: orders, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["lookback.ms"], h.keys["coupa.rate.limit"], h.keys["poll.interval.ms"] = "0", "0.05", "120000"
		h.worker["session.timeout.ms"], h.worker["heartbeat.interval.ms"] = "60000", "20000"
		h.start()
		h.pass(8 * time.Minute)
		h.tenant.UpdateLine("purchase_orders", 1)
		h.pass(3 * time.Hour)
		if h.running.Connectors()[0].Tasks[0].Snapshot {
			t.Fatal("the backfill does not end")
		}
		h.check("purchase_orders")
	})
}

func TestAChangeOfALineInTheFirstMinuteOfAStreamThatBeginsAtLatestIsPublished(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 504, Rows: 60, Objects: orders}, func(h *harness) {
		h.keys["initial.from"] = "latest"
		h.start()
		h.pass(20 * time.Second)
		h.tenant.UpdateLine("purchase_orders", 3)
		h.pass(10 * time.Minute)
		if n := h.recordsPublished("purchase_orders"); n != 1 {
			t.Errorf("%d records of one change", n)
		}
	})
}

// What changes right after Coupa's clock was an hour ahead lies behind the polls: lines
// without their row, and, where nothing looks back, further than the ledger reaches.
func TestAClockThatRanAheadAnHourAndIsBackLosesNothing(t *testing.T) {
	longRaced(t)
	for _, c := range []struct {
		name, object, lookBack string
		seed                   uint64
		change                 func(*coupatest.Tenant)
	}{
		{"a change of a line", "purchase_orders", "", 505, func(t *coupatest.Tenant) { t.UpdateLine("purchase_orders", 3) }},
		{"a change without look-backs", "users", "0", 506, func(t *coupatest.Tenant) { t.Update("users", 3) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: c.seed, Rows: 60, Objects: []string{c.object}}, func(h *harness) {
				if c.lookBack != "" {
					h.keys["lookback.ms"] = c.lookBack
				}
				var by, mint atomic.Int64
				h.skew(&by, &mint)
				h.start()
				h.settle()
				by.Store(int64(time.Hour))
				h.pass(7 * time.Minute)
				by.Store(0)
				h.pass(time.Minute)
				c.change(h.tenant)
				h.pass(2 * time.Hour)
				h.check(c.object)
			})
		})
	}
}

func TestLookBacksTakeTurnsWhereTheClocksDiffer(t *testing.T) {
	for _, by := range []time.Duration{-20 * time.Minute, -48 * time.Hour} {
		t.Run(fmt.Sprint(by), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 508, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
				var at, mint atomic.Int64
				at.Store(int64(by))
				mint.Store(int64(by))
				h.skew(&at, &mint)
				h.keys["poll.interval.ms"] = "30000"
				h.start()
				h.pass(5 * time.Minute)
				before := h.running.Connectors()[0].Tasks[0].Committed.Seq
				h.pass(20 * time.Minute)
				if n := h.running.Connectors()[0].Tasks[0].Committed.Seq - before; n > 60 {
					t.Errorf("%d commits in 20 minutes without a change", n)
				}
			})
		})
	}
}

func TestLookBacksTakeTurnsWherePollsAreFarApart(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 509, Rows: 60, Objects: []string{"users"}}, func(h *harness) {
		h.keys["poll.interval.ms"], h.keys["initial.from"] = "3600000", "latest"
		h.start()
		h.pass(50 * time.Minute)
		before := h.running.Connectors()[0].Tasks[0].Committed.Seq
		h.pass(10 * time.Minute)
		if n := h.running.Connectors()[0].Tasks[0].Committed.Seq - before; n > 10 {
			t.Errorf("%d commits in 10 minutes without a change", n)
		}
	})
}

func TestALookBackSlowerThanTimeRepeatsNothing(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 510, Rows: 60, Objects: []string{"users"}, RateLimit: -1}, func(h *harness) {
		h.slice = 900
		h.keys["lookback.ms"], h.keys["poll.interval.ms"] = "3600000", "10000"
		h.keys["coupa.rate.limit"] = "1" // look-backs: a page in ten seconds
		h.start()
		h.settle()
		for range 3 * 120 {
			h.tenant.Tie("users", 5)
			h.pass(3 * time.Second)
		}
		h.stop()
		h.pass(125 * time.Minute)
		h.tenant.Tie("users", 5)
		h.start()
		h.pass(2 * time.Hour)
		h.check("users")
	})
}

func TestAPageOfHugeRowsThatIsTooLongRepeatsNoRow(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 513, Rows: 60, RowBytes: 300 << 10, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["fields"], h.keys["custom.fields"] = "schema", "off" // no page is read but those of walks
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.LongPage, Object: "invoices", Count: 2})
		h.start()
		h.pass(30 * time.Minute)
		if n := len(h.records("coupa.invoices")); n != 60 {
			t.Errorf("%d records of 60 rows", n)
		}
	})
}

// A position that can't be written down is no matter of the
// other objects, which share the shard and its transactions.
func TestACheckpointThatCannotBeStopsItsObjectAlone(t *testing.T) {
	bare(t, coupatest.Config{Seed: 504, Rows: 60}, func(h *harness, r *running) {
		if _, err := r.Create(h.t.Context(), "acme", h.submitted("acme", nil), status.Paused); err != nil {
			t.Fatal(err)
		}
		m, err := r.find("acme")
		if err != nil {
			t.Fatal(err)
		}
		// the configuration refuses that
		m.shard.Load().Detach(attached(m.pollers))
		m.c.Objects[1].InitialFrom = config.InitialFrom{At: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
		r.attach(m, nil)
		h.set(r, status.Running)
		h.settle()
		h.tenant.Update("invoices", 5)
		h.settle()
		h.check("invoices")
		h.expect(r, status.Running, status.Running, status.Failed)
		if c, err := r.Connector("acme"); err != nil || !strings.Contains(c.Tasks[1].Trace, "checkpoint of") {
			t.Errorf("%+v, %v", c.Tasks[1], err)
		}
		if n := strings.Count(h.log.String(), "shard restored"); n > len(r.shards) {
			t.Errorf("%d restores of %d shards", n, len(r.shards))
		}
	})
}
