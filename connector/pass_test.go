package connector

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// TestALongWalkUsesTheRateThatCoupaGrants walks 10,000 rows from a tenant
// that takes 100 ms to answer, at 15 requests a second. One reader makes 10.
func TestALongWalkUsesTheRateThatCoupaGrants(t *testing.T) {
	longRaced(t)
	const rows = 10_000
	simulate(t, coupatest.Config{Seed: 12, Rows: rows, Objects: []string{"users"}, Latency: 100 * time.Millisecond}, func(h *harness) {
		h.keys["coupa.rate.limit"], h.keys["poll.interval.ms"] = "15", "3600000"
		r := h.start()
		for r.Connectors()[0].Tasks[0].Backfilled.IsZero() {
			h.pass(100 * time.Millisecond)
		}
		var first, last time.Time
		requests := 0
		for _, q := range h.tenant.Requests() {
			if q.Object != "users" {
				continue
			}
			if requests++; first.IsZero() {
				first = q.Time
			}
			if q.Rows > 0 {
				last = q.Time.Add(100 * time.Millisecond)
			}
		}
		pages := (rows + 49) / 50
		ideal := time.Duration(pages) * time.Second / 15
		took := last.Sub(first)
		t.Logf("%d rows took %v, %.3f of the ideal, in %d requests", rows, took, float64(took)/float64(ideal), requests)
		if took > ideal*105/100 {
			t.Errorf("that is more than 1.05 of %v", ideal)
		}
	})
}
