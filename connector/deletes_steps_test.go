//go:build failpoints

package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// TestEachStepOfADeleteFailsBothWays fails the steps of a transaction as "not applied" and as "applied, but
// the answer was lost": that which begins a sweep, notes what is missing, has the tombstones, or ends it.
func TestEachStepOfADeleteFailsBothWays(t *testing.T) {
	for _, point := range []failpoint.Point{failpoint.Begin, failpoint.Produce, failpoint.Mark, failpoint.Commit, failpoint.Apply} {
		for _, side := range []string{"before", "after"} {
			nths := []int{3}
			if point == failpoint.Commit || point == failpoint.Apply {
				nths = []int{1, 2, 3, 4}
			}
			for _, nth := range nths {
				t.Run(fmt.Sprintf("%s/%s/%d", point, side, nth), func(t *testing.T) { failDelete(t, point, side, nth) })
			}
		}
	}
}

func failDelete(t *testing.T, point failpoint.Point, side string, nth int) {
	simulateAlone(t, coupatest.Config{Seed: 842, Rows: 60, Objects: []string{"invoices"}}, func(h *harness) {
		defer failpoint.Clear()
		h.sweeping()
		h.keys["lines"] = config.LinesTopics
		h.keys["poll.interval.ms"] = "30000"
		h.start()
		h.pass(2 * time.Minute)
		ids := h.ids("invoices")
		h.tenant.Delete("invoices", ids[4])
		h.tenant.Delete("invoices", ids[50])
		h.pass(9 * time.Minute) // the next thing that is committed is a sweep's, but for marks
		hit := failpoint.Set(point, side, nth, failpoint.Error)
		h.pass(8 * time.Minute)
		select {
		case <-hit:
		default:
			t.Error("the step was never passed")
		}
		if !strings.Contains(h.log.String(), "rebuilt from the checkpoint topic") {
			t.Error("the shard was not rebuilt")
		}
		h.expectDeleted("coupa.invoices", 2, ids[4], ids[50])
		h.tenant.Undelete("invoices", ids[4])
		h.sweeps(1)
		h.expectDeleted("coupa.invoices", 2, ids[50])
		h.check("invoices")
	})
}
