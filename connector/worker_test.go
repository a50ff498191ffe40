package connector

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestASnapshotAndTheChangesAfterItArePublishedOnce(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 1, Rows: 230}, func(h *harness) {
		h.start()
		h.settle()
		if n := len(h.check("invoices")); n != 230 {
			t.Errorf("%d records after the snapshot of 230 rows", n)
		}
		for i := range 20 {
			h.tenant.Update("invoices", int64(1+i%7))
			h.tenant.Create("suppliers")
			h.pass(700 * time.Millisecond)
		}
		h.tenant.Tie("invoices", 120)
		h.settle()
		h.check("invoices")
		h.check("suppliers")
	})
}

func TestAWorkerGoesOnWhereTheLastOneStopped(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 2, Rows: 60}, func(h *harness) {
		h.start()
		h.settle()
		h.stop()
		h.tenant.Update("invoices", 3)
		h.tenant.Create("invoices")
		h.start()
		h.settle()
		if n := len(h.check("invoices")); n != 62 {
			t.Errorf("%d records, want 60 and 2 changes", n)
		}
	})
}

func TestRowsThatAppearLateAreFoundInTheOverlap(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 3, Rows: 10}, func(h *harness) {
		h.start()
		h.settle()
		for range 5 {
			h.tenant.CreateLate("invoices", 20*time.Second)
			h.pass(3 * time.Second)
		}
		h.settle()
		h.check("invoices")
	})
}

func TestAnIdlePollCostsOneRequestAndOneMoreForLinesAndNoTransaction(t *testing.T) {
	for object, cost := range map[string]int{"users": 1, "invoices": 2} {
		t.Run(object, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 4, Rows: 60, Objects: []string{object}}, func(h *harness) {
				h.keys["lookback.ms"] = "0"
				r := h.start()
				h.pass(3 * time.Minute) // the changes have left the overlap
				requests, polls := len(h.tenant.Requests()), r.Connectors()[0].Tasks[0].Polls
				seq := r.Connectors()[0].Tasks[0].Committed.Seq
				h.pass(50 * time.Second)
				more, polled := len(h.tenant.Requests())-requests, int(r.Connectors()[0].Tasks[0].Polls-polls)
				if polled < 45 || more != cost*polled {
					t.Errorf("%d requests for %d polls, want %d each", more, polled, cost)
				}
				if n := r.Connectors()[0].Tasks[0].Committed.Seq - seq; n > 1 {
					t.Errorf("%d commits in 50 s of nothing", n)
				}
			})
		})
	}
}

func TestABadRowStopsItsObjectAloneAndSaysWhere(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 5, Rows: 120}, func(h *harness) {
		row := h.tenant.Rows("invoices")[76]
		h.tenant.SetRaw("invoices", row.ID, regexp.MustCompile(`"gross-total":"[^"]*"`).ReplaceAll(row.JSON, []byte(`"gross-total":"twelve"`)))
		r := h.start()
		h.settle()
		tasks := r.Connectors()[0].Tasks
		if tasks[0].State != status.Failed || !strings.Contains(tasks[0].Trace, fmt.Sprintf("id %d:", row.ID)) || !strings.Contains(tasks[0].Trace, "gross-total") {
			t.Errorf("invoices: %s %q, want FAILED with the row's id and the field", tasks[0].State, tasks[0].Trace)
		}
		if strings.Contains(h.log.String(), "twelve") {
			t.Error("the value is in the log")
		}
		if n := len(h.records("coupa.invoices")); n != 76 {
			t.Errorf("%d records before the bad row, want 76", n)
		}
		if tasks[1].State != status.Running {
			t.Errorf("suppliers: %s %q", tasks[1].State, tasks[1].Trace)
		}
		h.check("suppliers")
		h.tenant.SetMember("invoices", row.ID, "gross-total", `"12.00"`)
		h.pass(20 * time.Minute)
		h.check("invoices")
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
			t.Errorf("invoices after the row was mended: %s %q", s.State, s.Trace)
		}
	})
}
