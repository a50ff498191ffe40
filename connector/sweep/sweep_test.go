package sweep

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestASetOfIDsHoldsWhatWentIn(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	set, want := idSet{}, map[int64]bool{}
	for range 60_000 {
		id := rnd.Int64N(1 << 17) // two spans that become dense
		if rnd.IntN(10) == 0 {
			id = rnd.Int64N(1 << 40)
		}
		if rnd.IntN(5) == 0 {
			set.remove(id)
			delete(want, id)
		} else {
			set.add(id)
			want[id] = true
		}
	}
	if got := slices.Collect(set.all()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("%d ids, want %d", len(got), len(want))
	}
	n := 0
	for part := range chunks(set, 1000) {
		if n += len(part); len(part) > 1000 {
			t.Errorf("a part of %d ids", len(part))
		}
	}
	if n != len(want) {
		t.Errorf("%d ids in parts, want %d", n, len(want))
	}
}

func TestWhatAPersonHasToLookAt(t *testing.T) {
	t.Parallel()
	oldest := make([]int64, oldestKept)
	for i := range oldest {
		oldest[i] = int64(i)
	}
	usual := facts{
		Sweep: checkpoint.Sweep{
			Known: 10_000, Lost: 100, Top: 9_000, Seen: checkpoint.Sight{Rows: 9_900, Highest: 9_000, Oldest: oldest, Scopes: "a"}, Last: checkpoint.Sight{Oldest: oldest, Scopes: "a"},
		},
		ratio: 0.01, instant: true,
	}
	for name, c := range map[string]struct {
		change func(*facts)
		why    int
	}{
		"as many as are deleted by themselves":         {func(*facts) {}, 0},
		"one more":                                     {func(f *facts) { f.Lost++ }, 1},
		"twenty, of few":                               {func(f *facts) { f.Lost, f.Known = 20, 50 }, 0},
		"twenty-one, of few":                           {func(f *facts) { f.Lost, f.Known = 21, 50 }, 1},
		"one of two":                                   {func(f *facts) { f.Lost, f.Known = 1, 2 }, 0},
		"two of three":                                 {func(f *facts) { f.Lost, f.Known = 2, 3 }, 1},
		"the only one":                                 {func(f *facts) { f.Lost, f.Known, f.Seen.Rows = 1, 1, 0 }, 2},
		"none of an object that has none":              {func(f *facts) { f.Lost, f.Known, f.Seen.Rows = 0, 0, 0 }, 0},
		"the newest, one by one":                       {func(f *facts) { f.above = 20 }, 0},
		"the newest, many":                             {func(f *facts) { f.above = 21 }, 1},
		"those that changed last":                      {func(f *facts) { f.instant = false }, 1},
		"the oldest, some":                             {func(f *facts) { f.Seen.Oldest = oldest[10:] }, 0},
		"the oldest, most":                             {func(f *facts) { f.Seen.Oldest = oldest[11:] }, 1},
		"the oldest, most, and none is missing":        {func(f *facts) { f.Seen.Oldest, f.Lost = oldest[11:], 0 }, 0},
		"with other scopes":                            {func(f *facts) { f.Seen.Scopes = "a b" }, 1},
		"with other scopes, and none is missing":       {func(f *facts) { f.Seen.Scopes, f.Lost = "a b", 0 }, 0},
		"while it is BLIND":                            {func(f *facts) { f.Seen.Blind = true }, 1},
		"when it was BLIND":                            {func(f *facts) { f.Last.Blind = true }, 1},
		"of an object whose rows the API can't delete": {func(f *facts) { f.audit, f.Lost = true, 1 }, 1},
	} {
		f := usual
		c.change(&f)
		if why := reasons(f); len(why) != c.why {
			t.Errorf("%s: %q", name, why)
		}
	}
}

// memoryHost is a position and sets of ids.
type memoryHost struct {
	pos   checkpoint.Position
	known []int64
	sets  map[checkpoint.IDSet]map[int64]bool
}

func (h *memoryHost) SweepPosition() checkpoint.Position { return h.pos.Clone() }

func (h *memoryHost) IDs(_ checkpoint.Stream, set checkpoint.IDSet, after int64, limit int) ([]int64, error) {
	all := h.known
	if set != checkpoint.Known {
		all = slices.Sorted(maps.Keys(h.sets[set]))
	}
	i, there := slices.BinarySearch(all, after)
	if there {
		i++
	}
	return slices.Clone(all[i:min(len(all), i+limit)]), nil
}

func (h *memoryHost) Unreadable(err error) error { return err }

func (h *memoryHost) Range(checkpoint.Stream, int64, int64, func(checkpoint.Entry) bool) error {
	return nil
}

func (h *memoryHost) Note(_ context.Context, ids []checkpoint.IDChange, move func(*checkpoint.Position)) error {
	for _, c := range ids {
		if h.sets[c.Set] == nil {
			h.sets[c.Set] = map[int64]bool{}
		}
		for _, id := range c.Add {
			h.sets[c.Set][id] = true
		}
		for _, id := range c.Remove {
			delete(h.sets[c.Set], id)
		}
	}
	move(&h.pos)
	return nil
}

func (h *memoryHost) Bury(context.Context, []int64) error   { return nil }
func (h *memoryHost) Revive(context.Context, []int64) error { return nil }

// BenchmarkSweep sweeps the ids of a simulated tenant, at any rate: SWEEP_IDS of them, 100,000 if that is
// not set. The tenant, which makes the answers, is in the CPU that it tells.
func BenchmarkSweep(b *testing.B) {
	rows := 100_000
	if n, err := strconv.Atoi(os.Getenv("SWEEP_IDS")); err == nil {
		rows = n
	}
	tenant := coupatest.New(coupatest.Config{Seed: 1, Rows: rows, Objects: []string{"invoices"}, ClientID: "id", ClientSecret: "secret"})
	client, err := coupa.New(coupa.Config{URL: "http://127.0.0.1", ClientID: "id", ClientSecret: "secret", Transport: tenant.Transport(), Limiter: coupa.NewLimiter(1e9)})
	if err != nil {
		b.Fatal(err)
	}
	h := &memoryHost{sets: map[checkpoint.IDSet]map[int64]bool{}, pos: checkpoint.Position{Mark: time.Now(), Sweep: &checkpoint.Sweep{Stage: checkpoint.SweepReading}}}
	all := listing.List{Query: coupa.Query{Path: "invoices", Fields: `["id"]`}, Source: client}
	for !all.Done {
		if err := all.Page(b.Context(), func(r coupa.Row) { h.known = append(h.known, r.ID) }); err != nil {
			b.Fatal(err)
		}
	}
	missing := map[int64]bool{}
	for i := 7; i < len(h.known); i += 1000 {
		tenant.Delete("invoices", h.known[i])
		missing[h.known[i]] = true
	}
	h.pos.Sweep.Top = h.known[len(h.known)-1]
	object := &config.Object{Path: "invoices", DeletesRatio: 0.01, DeletesInterval: time.Hour}
	s := &Sweeper{Config: Config{
		Object: object, Source: client, Ledger: h, Host: h, Task: status.NewTask(0, object, status.Running, nil, func() {}), Log: slog.New(slog.DiscardHandler), Gap: func(int64, int64) {},
	}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				runtime.ReadMemStats(&after)
				most = max(most, after.HeapAlloc)
			}
		}
	}()
	var used syscall.Rusage
	began := cpu(&used)
	for b.Loop() {
		if _, err := s.Turn(b.Context()); err != nil {
			b.Fatal(err)
		}
		if sw := h.pos.Sweep; sw.Known != int64(len(h.known)) || sw.Lost != int64(len(missing)) || len(h.sets[checkpoint.Missing]) != len(missing) {
			b.Fatalf("%+v, want %d missing", sw, len(missing))
		}
		h.pos.Sweep.Stage, h.pos.Sweep.Known, h.pos.Sweep.Lost = checkpoint.SweepReading, 0, 0
	}
	close(stop)
	b.ReportMetric(float64(cpu(&used)-began)/float64(b.N)/float64(len(h.known))/1000, "cpu-µs/id")
	b.ReportMetric(float64(most-min(most, before.HeapAlloc))/(1<<20), "MiB-more")
}

func cpu(used *syscall.Rusage) time.Duration {
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
