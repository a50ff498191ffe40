package connector

import (
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

// inUse is what `make bench` measures by a clock that is simulated: the time from when Coupa shows a change
// until it is committed, the requests that this takes, and how fast a backfill is. It prints in the form of
// Go's benchmarks, which need a real clock, and judges nothing.
func inUse(t *testing.T, rows int, objects []string, keys map[string]string, f func(*harness)) {
	if os.Getenv("FIGURES") == "" {
		t.Skip("make bench sets FIGURES")
	}
	simulate(t, coupatest.Config{Seed: 950, Rows: rows, Latency: 80 * time.Millisecond, Objects: objects}, func(h *harness) {
		h.keys = keys // else the defaults
		f(h)
	})
}

// report prints figures as a benchmark's: values, each with its unit.
func report(name string, figures ...any) {
	line := "Benchmark" + name + "\t1"
	for i := 0; i < len(figures); i += 2 {
		line += fmt.Sprintf("\t%.4g %s", figures[i], figures[i+1])
	}
	fmt.Println(line)
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

func TestFiguresOfFreshness(t *testing.T) {
	for interval, learning := range map[string]time.Duration{"auto": time.Hour, "1000": 5 * time.Minute} {
		t.Run(interval, func(t *testing.T) {
			inUse(t, 400, objects(), map[string]string{"poll.interval.ms": interval}, func(h *harness) { h.measureFreshness(interval, learning) })
		})
	}
}

// countRequests counts the requests to Coupa from now on, by kind.
func (h *harness) countRequests(kind func(coupatest.Request) string) func() map[string]int {
	var mu sync.Mutex
	counts := map[string]int{}
	h.tenant.OnRequest(func(r coupatest.Request) {
		mu.Lock()
		defer mu.Unlock()
		counts[kind(r)]++
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
		return "lookbacks"
	case fields == `["id"]` && r.Query.Get("dir") == "desc":
		return "highest-id"
	case strings.HasPrefix(fields, `["id"`) && len(fields) < 30:
		return "searches"
	case r.Query.Has("id[in]") && fields != "":
		return "repairs"
	case dated:
		return "polls"
	}
	return "samples"
}

// measureFreshness changes a row a second on average, and after
// some time to learn measures what comes of 20 minutes.
func (h *harness) measureFreshness(interval string, learning time.Duration) {
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
		kinds := []string{"all", "rows", p.Stream.Object}
		if c.lines {
			kinds = []string{"all", "lines"}
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
	requests := h.countRequests(kindOfRequest)
	const span = 20 * time.Minute
	began := time.Now()
	changeFor(span)
	counts, seconds := requests(), time.Since(began).Seconds()
	intervals := map[string]time.Duration{}
	for _, c := range objectsInUse {
		intervals[c.object] = h.condition(c.object).Interval
	}
	h.pass(2 * time.Minute)
	mu.Lock()
	defer mu.Unlock()
	if len(pending) > 0 {
		h.t.Errorf("%d of %d changes are not committed after two minutes", len(pending), len(pending)+len(took["all"]))
	}
	for kind, all := range took {
		slices.Sort(all)
		figures := []any{all[len(all)/2].Seconds(), "p50-s", all[len(all)*99/100].Seconds(), "p99-s", float64(len(all)), "changes"}
		if every, ok := intervals[kind]; ok {
			figures = append(figures, every.Seconds(), "interval-s")
		}
		report("Fresh/"+interval+"/"+kind, figures...)
	}
	for kind, n := range counts {
		report("FreshRequests/"+interval+"/"+kind, float64(n)/seconds, "req/s")
	}
}

// TestFiguresAtRest counts the requests of a day in which nothing changes, after a few hours of it.
func TestFiguresAtRest(t *testing.T) {
	for _, interval := range []string{"auto", "1000", "5000", "30000", "60000"} {
		t.Run(interval, func(t *testing.T) {
			inUse(t, 400, objects(), map[string]string{"poll.interval.ms": interval}, func(h *harness) {
				h.start()
				h.pass(3 * time.Hour)
				requests := h.countRequests(func(r coupatest.Request) string { return r.Object })
				span := time.Hour
				if interval == "auto" {
					span = 24 * time.Hour
				}
				h.pass(span)
				for object, n := range requests() {
					report("AtRest/"+interval+"/"+object, float64(n)*float64(24*time.Hour/span), "req/day")
				}
			})
		})
	}
}

// TestFiguresOfBackfills reads many rows of an instance that grants 25 requests a second.
func TestFiguresOfBackfills(t *testing.T) {
	const rows = 60_000
	for _, rate := range []string{"5", "10", "20", "auto"} {
		t.Run(rate, func(t *testing.T) {
			inUse(t, rows, []string{"invoices"}, map[string]string{"coupa.rate.limit": rate, "coupa.objects": "invoices"}, func(h *harness) {
				began := time.Now()
				h.start()
				for h.pass(time.Second); h.condition("invoices").Published < rows; {
					h.pass(time.Second)
				}
				report("Backfill/"+rate, rows/time.Since(began).Seconds(), "rows/s")
			})
		})
	}
}
