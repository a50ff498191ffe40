package sweep

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
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

// A ledger that knows few rows, of a position without a floor, is looked through once.
func TestTheNewestOfALedgerThatKnowsTooFew(t *testing.T) {
	t.Parallel()
	h := &memoryHost{pos: checkpoint.Position{Mark: time.Now()}}
	s := &Sweeper{Config: Config{Object: &config.Object{Path: "invoices"}, Ledger: h, Host: h}}
	if at, err := s.newest(few + 1); err != nil || !at.IsZero() {
		t.Errorf("the newest is of %s (%v)", at, err)
	}
}

// A sweep has missed two rows, which the list of all ids did not show. One of them is there: it was left out
// of that page. Nothing is deleted with other rights than those that the sweep had.
func TestWhatASweepHasMissedIsAskedForAlone(t *testing.T) {
	t.Parallel()
	for granted, want := range map[string][]int64{"as it was": {7}, "less": nil} {
		object := &config.Object{Path: "invoices", DeletesInterval: time.Hour}
		h := &memoryHost{
			pos:  checkpoint.Position{Sweep: &checkpoint.Sweep{Stage: checkpoint.SweepConfirming, Seen: checkpoint.Sight{Scopes: "as it was"}}},
			sets: map[checkpoint.IDSet]map[int64]bool{checkpoint.Missing: {7: true, 8: true}},
		}
		s := &Sweeper{Config: Config{
			Object: object, Source: &shownAlone{granted: granted, id: 8}, Ledger: h, Host: h, Task: status.NewTask(0, object, status.Running, nil, func() {}), Log: slog.New(slog.DiscardHandler),
		}}
		if _, err := s.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(h.buried, want) || h.sets[checkpoint.Missing][8] != (want == nil) {
			t.Errorf("rights %s: rows %v are published as deleted, want %v; missing yet: %v", granted, h.buried, want, h.sets[checkpoint.Missing])
		}
	}
}

// shownAlone is a Coupa that shows one row, and that only to who asks for it alone.
type shownAlone struct {
	Source
	granted string
	id      int64
}

func (s *shownAlone) Now(context.Context) (time.Time, error) { return time.Now(), nil }
func (s *shownAlone) Ready(context.Context) error            { return nil }
func (s *shownAlone) Granted() string                        { return s.granted }

func (s *shownAlone) Fetch(_ context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error) {
	if !slices.Equal(q.IDs, []int64{s.id}) {
		return coupa.Page{Empty: true}, nil
	}
	return coupa.Page{Rows: 1, LastID: s.id}, yield(coupa.Row{ID: s.id})
}

// memoryHost is a position and sets of ids.
type memoryHost struct {
	pos   checkpoint.Position
	known []int64
	sets  map[checkpoint.IDSet]map[int64]bool

	buried []int64
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

func (h *memoryHost) Bury(_ context.Context, ids []int64) error {
	h.buried = append(h.buried, ids...)
	return nil
}

func (h *memoryHost) Revive(context.Context, []int64) error { return nil }

// How far a sweep is goes by the ids that it has passed, and the time that is left by the time that took.
func TestASweepSaysHowFarItIs(t *testing.T) {
	began := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		sweep checkpoint.Sweep
		want  status.Progress
	}{
		"in the middle":    {checkpoint.Sweep{Began: began, After: 250, Top: 1000, Known: 200}, status.Progress{Done: 200, Total: 800, Left: 3 * time.Minute}},
		"at the beginning": {checkpoint.Sweep{Began: began, Top: 1000}, status.Progress{}},
		"at the end":       {checkpoint.Sweep{Began: began, After: 1000, Top: 1000, Known: 800}, status.Progress{Done: 800, Total: 800}},
		"of nothing":       {checkpoint.Sweep{Began: began}, status.Progress{}},
	} {
		if got := progressOf(c.sweep, began.Add(time.Minute)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
