package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// Before a position is moved it is told how many rows go out again, and afterwards the log says who moved it.
func TestMovingAPositionIsWeighedBeforeAndLoggedAfter(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 133, Rows: 700, Objects: []string{"users"}}, func(h *harness) {
		r := h.start()
		h.settle()
		before := time.Now()
		for id := range int64(5) {
			h.tenant.Update("users", 1+id)
		}
		h.settle()
		weigh := func(to status.Offset) status.Weight {
			h.t.Helper()
			to.Tenant, to.Object = "acme", "users"
			all, err := r.WeighOffsets(h.t.Context(), "acme", []status.Offset{to})
			if err != nil || len(all) != 1 {
				h.t.Fatalf("%+v, %v", all, err)
			}
			return all[0]
		}
		if w := weigh(status.Offset{UpdatedAt: before}); w.Again != (status.Count{Rows: 5}) || w.LeftOut != (status.Count{}) {
			h.t.Errorf("%+v for 5 changes", w)
		}
		rows := h.tenant.Rows("users")
		if w := weigh(status.Offset{UpdatedAt: before, ID: rows[len(rows)-11].ID}); w.Again.Rows != 5+10 {
			h.t.Errorf("%+v for 5 changes and ten rows before", w)
		}
		if w := weigh(status.Offset{Reset: true}); !w.Again.About || w.Again.Rows < 600 || w.Again.Rows > 800 {
			h.t.Errorf("%+v for 700 rows, want about as many", w)
		}
		if n := requested(h.records("coupa.users")); n != 0 {
			h.t.Errorf("%d rows went out again by asking", n)
		}
		to := status.Offset{Tenant: "acme", Object: "users", UpdatedAt: before}
		if err := r.MoveOffsets(h.t.Context(), "acme", []status.Offset{to}, status.Asker{Who: "alice", Reason: "a test"}); err != nil {
			h.t.Fatal(err)
		}
		line := ""
		for l := range strings.Lines(h.log.String()) {
			if strings.Contains(l, "a position was moved by a request") {
				line = l
			}
		}
		for _, want := range []string{"connector=acme", "object=users", "from=2", "to=" + before.UTC().Format(time.RFC3339), "by=alice", `reason="a test"`} {
			if !strings.Contains(line, want) {
				h.t.Errorf("%s is not in %q", want, line)
			}
		}
		if s := h.task("acme", "users"); s.Moved != 1 {
			h.t.Errorf("%d times moved", s.Moved)
		}
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.Hang, Object: "users", Count: -1})
		if w := weigh(status.Offset{UpdatedAt: before.Add(-time.Hour)}); w.Again.Unknown == "" {
			h.t.Errorf("%+v, where Coupa does not answer", w)
		}
		h.tenant.ClearFaults()
		h.pass(2 * time.Minute)
		if n := requested(h.records("coupa.users")); n != 5 {
			h.t.Errorf("%d rows went out again, and 5 were told", n)
		}
	})
}
