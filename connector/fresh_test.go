package connector

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// freshness is what `make bench` measures of the time from when Coupa shows a change until it is committed,
// and of the requests that this takes, by a clock that is simulated. It prints, and judges nothing.
func freshness(t *testing.T, f func(*harness)) {
	if os.Getenv("FRESH") == "" {
		t.Skip("make bench sets FRESH")
	}
	cfg := coupatest.Config{Seed: 950, Rows: 400, Latency: 80 * time.Millisecond, Objects: objects()}
	simulate(t, cfg, func(h *harness) {
		h.keys = map[string]string{} // the defaults
		f(h)
	})
}

// objectsInUse are those of the defaults, with the share that each has of all changes, in percent.
var objectsInUse = []struct {
	object string
	share  int
}{{"invoices", 40}, {"purchase_orders", 20}, {"requisitions", 15}, {"expense_reports", 12}, {"suppliers", 6}, {"users", 5}, {"contracts", 2}}

func objects() (paths []string) {
	for _, c := range objectsInUse {
		paths = append(paths, c.object)
	}
	return paths
}

// linesAlonePercent of the changes of an object that has lines are of a line, and leave its row's stamp:
// as many as [coupatest.Tenant.Run] makes.
const linesAlonePercent = 15

func TestFreshnessAtTheDefaults(t *testing.T) {
	freshness(t, func(h *harness) { h.measureFreshness(time.Hour) })
}

func TestFreshnessWithPollsEachSecond(t *testing.T) {
	freshness(t, func(h *harness) {
		h.keys["poll.interval.ms"] = "1000"
		h.measureFreshness(5 * time.Minute) // nothing is learned
	})
}

// requestsByKind counts the requests to Coupa from now on.
func (h *harness) requestsByKind() func() map[string]int {
	var mu sync.Mutex
	counts := map[string]int{}
	h.tenant.OnRequest(func(r coupatest.Request) {
		mu.Lock()
		defer mu.Unlock()
		counts[kindOfRequest(r)]++
	})
	return func() map[string]int {
		h.tenant.OnRequest(nil)
		mu.Lock()
		defer mu.Unlock()
		return counts
	}
}

// kindOfRequest is what a request of a stream without requests of its own is for.
func kindOfRequest(r coupatest.Request) string {
	resource, _ := coupa.LookupResource(r.Object)
	fields, dated := r.Query.Get("fields"), r.Query.Has("updated_at[lt]")
	switch {
	case r.Query.Has(resource.Lines + "[updated_at][gt_or_eq]"):
		return "lines"
	case strings.HasPrefix(fields, `["id"`) && len(fields) < 30 && dated:
		return "look-backs"
	case fields == `["id"]` && r.Query.Get("dir") == "desc":
		return "highest id"
	case strings.HasPrefix(fields, `["id"`) && len(fields) < 30:
		return "searches"
	case r.Query.Has("id[in]") && fields != "":
		return "repairs"
	case dated:
		return "polls"
	}
	return "samples"
}

// printRequests prints how many requests of each kind there are in a unit of time.
func (h *harness) printRequests(counts map[string]int, unit string, units float64) {
	total := 0
	var kinds []string
	for kind, n := range counts {
		kinds, total = append(kinds, kind), total+n
	}
	slices.SortFunc(kinds, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	text := fmt.Sprintf("requests a %s: %.5g in all", unit, float64(total)/units)
	for _, kind := range kinds {
		text += fmt.Sprintf("\n  %-12s %8.5g", kind, float64(counts[kind])/units)
	}
	h.t.Log(text)
}

// measureFreshness changes a row a second on average, and after
// some time to learn prints what comes of 20 minutes.
func (h *harness) measureFreshness(learning time.Duration) {
	type row struct {
		object string
		id     int64
	}
	type change struct {
		at    time.Time
		lines bool
	}
	var mu sync.Mutex
	pending, took := map[row]change{}, map[string][]time.Duration{}
	measured := false
	h.published = func(p shard.Publication) {
		mu.Lock()
		defer mu.Unlock()
		r := row{p.Stream.Object, p.ID}
		c, ok := pending[r]
		if !ok || p.Op != record.OpUpsert {
			return
		}
		delete(pending, r)
		if !measured {
			return
		}
		waited := time.Since(c.at)
		kinds := []string{"all", "by rows", p.Stream.Object}
		if c.lines {
			kinds = []string{"all", "by lines"}
		}
		for _, kind := range kinds {
			took[kind] = append(took[kind], waited)
		}
	}
	rng := rand.New(rand.NewPCG(1, 950))
	next := map[string]int64{}
	changeFor := func(d time.Duration) {
		for end := time.Now().Add(d); ; {
			h.pass(time.Duration(rng.ExpFloat64() * float64(time.Second)))
			if time.Now().After(end) {
				return
			}
			at, i := rng.IntN(100), 0
			for ; at >= objectsInUse[i].share; i++ {
				at -= objectsInUse[i].share
			}
			object := objectsInUse[i].object
			r := row{object, next[object]%400 + 1}
			next[object]++
			resource, _ := coupa.LookupResource(object)
			lines := resource.Lines != "" && rng.IntN(100) < linesAlonePercent
			mu.Lock()
			pending[r] = change{time.Now(), lines}
			mu.Unlock()
			save := h.tenant.Update
			if lines {
				save = h.tenant.UpdateLine
			}
			if save(object, r.id).ID == 0 {
				mu.Lock()
				delete(pending, r)
				mu.Unlock()
			}
		}
	}
	h.start()
	h.settle()
	changeFor(learning)
	mu.Lock()
	measured, pending = true, map[row]change{}
	mu.Unlock()
	requests := h.requestsByKind()
	const span = 20 * time.Minute
	began := time.Now()
	changeFor(span)
	counts, seconds := requests(), time.Since(began).Seconds()
	intervals := map[string]string{}
	for _, c := range objectsInUse {
		intervals[c.object] = fmt.Sprintf("  polled every %.1f s", h.condition(c.object).Interval.Seconds())
	}
	h.pass(2 * time.Minute)
	mu.Lock()
	defer mu.Unlock()
	text := fmt.Sprintf("visible → committed of %d changes in %v, after %v; %d not yet", len(took["all"]), span, learning, len(pending))
	for _, kind := range append([]string{"all", "by rows", "by lines"}, objects()...) {
		all := took[kind]
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		text += fmt.Sprintf("\n  %-16s %5d  p50 %6.2f s  p99 %6.2f s%s", kind, len(all), all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds(), intervals[kind])
	}
	h.t.Log(text)
	h.printRequests(counts, "second", seconds)
	h.t.Logf("the rate that was found: %.1f requests/s", h.condition("invoices").Committed.Learned.Rate)
}

// A day in which nothing changes, after a few hours of it.
func TestRequestsOfATenantAtRest(t *testing.T) {
	freshness(t, func(h *harness) {
		h.start()
		h.pass(3 * time.Hour)
		requests := h.requestsByKind()
		h.pass(24 * time.Hour)
		h.printRequests(requests(), "day", 1)
	})
}
