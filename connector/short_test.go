package connector

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// missing are the ids that the tenant has and the object's topic lacks, in the
// version that the tenant has now.
func (h *harness) missing(object string) []int64 {
	h.t.Helper()
	last := map[int64]string{}
	for _, r := range h.records("coupa." + object) {
		last[r.id] = r.updatedAt
	}
	ids := []int64{}
	for _, v := range h.tenant.Rows(object) {
		if last[v.ID] != v.UpdatedAt.UTC().Format(time.RFC3339) {
			ids = append(ids, v.ID)
		}
	}
	return ids
}

// A row that is left out after the limit was applied makes a page short, and nothing more.
func TestARowThatIsLeftOutEndsNothing(t *testing.T) {
	for name, times := range map[string]int{"once": 1, "always": -1} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 601, Rows: 130, Objects: []string{"suppliers"}}, func(h *harness) {
				ids := rowIDs(h, "suppliers")
				h.tenant.LeaveOut("suppliers", ids[59], times)
				h.start()
				h.settle()
				if got := h.missing("suppliers"); !slices.Equal(got, ids[59:60]) {
					t.Errorf("missing after the backfill: %v, want row %d alone", got, ids[59])
				}
				for _, id := range ids {
					h.tenant.Update("suppliers", id)
				}
				h.pass(20 * time.Second)
				want := []int64{}
				if times < 0 {
					want = ids[59:60]
				}
				if got := h.missing("suppliers"); !slices.Equal(got, want) {
					t.Errorf("missing of what has changed: %v, want %v", got, want)
				}
			})
		})
	}
}

// Fifty rows and more in a row that are left out end no walk that is to be complete.
func TestHiddenRowsInARowEndNoBackfill(t *testing.T) {
	for _, hidden := range []int{50, 120, 1000} {
		t.Run(fmt.Sprint(hidden), func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 602, Rows: 1300, Objects: []string{"suppliers"}}, func(h *harness) {
				ids := rowIDs(h, "suppliers")
				for _, id := range ids[60 : 60+hidden] {
					h.tenant.LeaveOut("suppliers", id, -1)
				}
				h.start()
				h.settle()
				if got := h.missing("suppliers"); !slices.Equal(got, ids[60:60+hidden]) {
					t.Errorf("%d rows are missing, of which %d are hidden", len(got), hidden)
				}
			})
		})
	}
}

// A condition on lines counts joined rows against the limit, so that pages have few rows each.
func TestJoinedLinesThatCountAgainstTheLimitEndNothing(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 603, Rows: 60, CollapseParents: true, Objects: []string{"purchase_orders"}}, func(h *harness) {
		h.start()
		h.settle()
		h.pass(time.Minute)
		before := map[int64]int{}
		for _, r := range h.records("coupa.purchase_orders") {
			before[r.id]++
		}
		changed := map[int64]bool{}
		for _, id := range rowIDs(h, "purchase_orders") {
			if v := h.tenant.UpdateLine("purchase_orders", id); v.ID != 0 {
				changed[id] = true
			}
		}
		h.pass(20 * time.Second)
		for _, r := range h.records("coupa.purchase_orders") {
			if before[r.id]--; before[r.id] < 0 {
				delete(changed, r.id)
			}
		}
		if len(changed) > 0 {
			t.Errorf("rows whose lines have changed and that were not published again: %v", slices.Sorted(maps.Keys(changed)))
		}
		h.check("purchase_orders")
	})
}

// Whatever ends a walk, polls that find nothing cost a request, and one more where there are lines.
func TestAnIdlePollCostsOneRequest(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 604, Rows: 120, Objects: []string{"users", "purchase_orders"}}, func(h *harness) {
		h.keys["poll.interval.ms"], h.keys["lookback.ms"], h.keys["custom.fields"] = "10000", "0", "off"
		r := h.start()
		h.settle()
		h.pass(3 * time.Minute)
		asked, polls := h.tenant.RequestCounts(), []int64{r.Connectors()[0].Tasks[0].Polls, r.Connectors()[0].Tasks[1].Polls}
		h.pass(5 * time.Minute)
		for i, object := range []string{"users", "purchase_orders"} {
			n := h.tenant.RequestCounts()[object] - asked[object]
			polls := r.Connectors()[0].Tasks[i].Polls - polls[i]
			if want := polls * int64(1+i); n > want+1 || polls < 25 {
				t.Errorf("%s: %d requests of %d polls", object, n, polls)
			}
		}
	})
}

// A backfill costs hardly more requests than its rows have pages.
func TestABackfillCostsOnePercentMoreThanItsPages(t *testing.T) {
	longRaced(t)
	const rows = 20_000
	simulate(t, coupatest.Config{Seed: 605, Rows: rows, RateLimit: -1, Objects: []string{"users"}}, func(h *harness) {
		h.keys["custom.fields"], h.keys["poll.interval.ms"] = "off", "3600000"
		r := h.start()
		for r.Connectors()[0].Tasks[0].Backfilled.IsZero() {
			h.pass(time.Second)
		}
		n := 0
		for _, q := range h.tenant.Requests() { // but for those of the search for rows without updated-at
			if q.Object == "users" && q.Query.Get("fields") != `["id","updated_at"]` {
				n++
			}
		}
		if t.Logf("%d requests for %d rows", n, rows); n > rows/50*101/100+10 { // and what a start takes
			t.Errorf("more than one percent above %d pages", rows/50)
		}
	})
}

func rowIDs(h *harness, object string) []int64 {
	var ids []int64
	for _, v := range h.tenant.Rows(object) {
		ids = append(ids, v.ID)
	}
	return ids
}
