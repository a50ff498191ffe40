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

// next is what has to happen after a step has failed.
type next string

const (
	readAgain next = "the page is read again, the shard stays"
	rebuilt   next = "the shard is rebuilt from the checkpoint topic"
)

// TestEachOfTheTenStepsFailsBothWays fails each step as "not applied" and as "applied,
// but the answer was lost", while the history is read and while changes follow. Each
// row says what must happen next; after each, the topics are compared with the history.
func TestEachOfTheTenStepsFailsBothWays(t *testing.T) {
	steps := []struct {
		point failpoint.Point
		next  next
	}{
		{failpoint.Fetch, readAgain},
		{failpoint.Decode, readAgain},
		{failpoint.Decide, readAgain},
		{failpoint.Encode, readAgain},
		{failpoint.Begin, rebuilt},   // nothing has left the process
		{failpoint.Produce, rebuilt}, // an open transaction with records: the next InitProducerID aborts it
		{failpoint.Mark, rebuilt},    // and with the checkpoint's
		{failpoint.Commit, rebuilt},  // nobody guesses whether it happened
		{failpoint.Apply, rebuilt},   // it happened, and the file is behind or not
		{failpoint.Restore, rebuilt},
	}
	if len(steps) != len(failpoint.Points()) {
		t.Fatalf("%d steps of %d", len(steps), len(failpoint.Points()))
	}
	for _, step := range steps {
		for _, side := range []string{"before", "after"} {
			for _, nth := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s/%s/%d", step.point, side, nth), func(t *testing.T) { failOnce(t, step.point, side, nth, step.next) })
			}
		}
	}
}

// TestEachStepOfAMarkFailsBothWays does the same with what follows where exported.mode is mark: nothing is
// rebuilt, and each row is marked, after it was published, though an answer was lost.
func TestEachStepOfAMarkFailsBothWays(t *testing.T) {
	for _, point := range failpoint.Marks() {
		for _, side := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("%s/%s", point, side), func(t *testing.T) {
				simulateAlone(t, coupatest.Config{Seed: 42, Rows: 30, Objects: []string{"purchase_orders"}}, func(h *harness) {
					defer failpoint.Clear()
					h.keys["exported.mode"] = "mark"
					hit := failpoint.Set(point, side, 2, failpoint.Error)
					h.start()
					for i := range 8 {
						h.tenant.Update("purchase_orders", int64(30-i))
						h.pass(7 * time.Second)
						if i == 4 { // what is left of it is what the checkpoint says
							h.stop()
							h.state = h.t.TempDir()
							h.start()
						}
					}
					h.pass(2 * time.Minute)
					select {
					case <-hit:
					default:
						t.Error("the step was never passed")
					}
					if strings.Contains(h.log.String(), "rebuilt from the checkpoint topic") {
						t.Error("the shard was rebuilt")
					}
					if left := h.unmarked("purchase_orders"); len(left) > 0 {
						t.Errorf("without the flag: %v", left)
					}
					h.checkExported("purchase_orders")
				})
			})
		}
	}
}

func failOnce(t *testing.T, point failpoint.Point, side string, nth int, want next) {
	simulateAlone(t, coupatest.Config{Seed: 41, Rows: 132, PageCap: 20, Objects: []string{"purchase_orders", "users"}}, func(h *harness) {
		defer failpoint.Clear()
		if nth > 1 {
			h.keys["object.purchase_orders.lines"] = config.LinesBoth
		}
		hit := failpoint.Set(point, side, nth, failpoint.Error)
		h.start()
		for i := range 12 { // the first of them while the history is read
			h.tenant.Update("purchase_orders", int64(132-i))
			h.tenant.UpdateLine("purchase_orders", int64(3+i%2))
			h.tenant.Update("users", 7)
			h.pass(1500 * time.Millisecond)
			if point == failpoint.Restore && i%3 == 2 { // it is passed once per ownership
				h.stop()
				h.start()
			}
		}
		h.pass(2 * time.Minute)
		select {
		case <-hit:
		default:
			t.Error("the step was never passed")
		}
		if was := strings.Contains(h.log.String(), "rebuilt from the checkpoint topic"); was != (want == rebuilt) {
			t.Errorf("rebuilt: %v, want: %s", was, want)
		}
		h.check("purchase_orders")
		h.check("users")
		if nth > 1 {
			h.linesFitRows("purchase_orders")
		}
	})
}
