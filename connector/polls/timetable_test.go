package polls

import (
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestFixedPollsStandOnAGridOfTheirOwn(t *testing.T) {
	t.Parallel()
	phases := map[time.Duration]bool{}
	for i := range 50 {
		tt := Budget{}.Every(30*time.Second, strconv.Itoa(i))
		interval, wait := tt.Wait(epoch)
		if interval != 30*time.Second || wait <= 0 || wait > interval || !tt.ByLines() {
			t.Fatalf("a poll every %v, the next in %v", interval, wait)
		}
		tt.Begin(epoch.Add(wait))
		if _, again := tt.Wait(epoch.Add(wait)); again != interval {
			t.Errorf("behind a poll on the grid the next is in %v", again)
		}
		phases[wait] = true
		tt.Leave()
	}
	if len(phases) < 45 {
		t.Errorf("50 objects are polled at %d times", len(phases))
	}
}

// A thousand streams that begin at once do not poll at once.
func TestPollsByAutoAreSpread(t *testing.T) {
	t.Parallel()
	budget := new(Schedule).Budget("acme", 1, Limit{})
	seconds := map[time.Duration]int{}
	for i := range 500 {
		tt := budget.Auto(strconv.Itoa(i), Learned{Rows: 1e-6})
		tt.Begin(epoch)
		interval, wait := tt.Wait(epoch.Add(time.Millisecond))
		seconds[wait.Truncate(time.Second)]++
		tt.Begin(epoch.Add(wait))
		again, next := tt.Wait(epoch.Add(wait + 100*time.Millisecond))
		if interval != time.Minute || again != interval || next != interval-100*time.Millisecond {
			t.Fatalf("every %v, then %v in %v", interval, again, next)
		}
		tt.Leave()
	}
	for second, n := range seconds {
		if n > 25 {
			t.Errorf("%d of 500 poll %v after their start", n, second)
		}
	}
}

func TestABudgetIsOfItsInstanceAndShare(t *testing.T) {
	t.Parallel()
	s := new(Schedule)
	interval := func(b Budget, name string) (*Timetable, time.Duration) {
		tt := b.Auto(name, Learned{Rows: 1})
		interval, _ := tt.Wait(epoch)
		return tt, interval
	}
	budget := s.Budget("a", 0.2, Limit{Fixed: 2})
	one, alone := interval(budget, "one")
	two, both := interval(budget, "two")
	_, elsewhere := interval(s.Budget("b", 0.2, Limit{Fixed: 2}), "three")
	_, other := interval(s.Budget("a", 0.1, Limit{Fixed: 2}), "four")
	if got := []time.Duration{alone, both, elsewhere, other}; !slices.Equal(got, []time.Duration{2500 * time.Millisecond, 5 * time.Second, 2500 * time.Millisecond, 5 * time.Second}) {
		t.Errorf("intervals %v", got)
	}
	two.Leave()
	if again, _ := one.Wait(epoch); again != alone {
		t.Errorf("alone again it is polled every %v, %v before", again, alone)
	}
	one.Leave()
	if len(s.loads) != 2 {
		t.Errorf("%d budgets have members, want the two others", len(s.loads))
	}
}

func TestTheLimitIsWhatIsKnown(t *testing.T) {
	t.Parallel()
	found, remembered := 0.0, 0.0
	auto := Limit{Found: func() float64 { return found }, Remember: func(rps float64) { remembered = rps }}
	if got := []float64{(Limit{}).rate(), (Limit{Fixed: 7}).rate(), auto.rate()}; !slices.Equal(got, []float64{25, 7, 10}) {
		t.Errorf("rates %v of none, of 7, and of one that is to be found", got)
	}
	synctest.Test(t, func(t *testing.T) {
		tt := new(Schedule).Budget("acme", 0.2, auto).Auto("one", Learned{Rows: 0.5, Rate: 16})
		if found = 18.456; remembered != 16 || auto.rate() != found {
			t.Errorf("%v is remembered, and %v the rate", remembered, auto.rate())
		}
		time.Sleep(keepEvery - 1)
		tt.Note(false, 60, 1, time.Minute)
		if got := tt.Learned(time.Now()); got != (Learned{Rows: 0.5, Rate: 16}) {
			t.Errorf("%v is kept before ten minutes are over", got)
		}
		time.Sleep(time.Nanosecond)
		if got := tt.Learned(time.Now()); got != (Learned{Rows: 0.508, Rate: 18.5}) {
			t.Errorf("%v is kept after ten minutes", got)
		}
	})
}

// Where polls of all objects once in a minute exceed the budget, it wins.
func TestABudgetThatIsTooSmallWins(t *testing.T) {
	t.Parallel()
	budget := new(Schedule).Budget("acme", 0.1, Limit{Fixed: 0.5})
	var all []*Timetable
	for i := range 10 {
		all = append(all, budget.Auto(strconv.Itoa(i), Learned{Rows: float64(i + 1)}))
		all[i].Wait(epoch)
	}
	for i, tt := range all {
		if interval, _ := tt.Wait(epoch); interval != 200*time.Second {
			t.Errorf("%d of ten objects is polled every %v at 0.05 requests a second", i, interval)
		}
	}
}

// Lines of which none changes alone are asked for once in a minute; where more lines
// than rows change, each poll asks for both, as often as both deserve.
func TestLinesAreAskedForWhereTheyChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows, lines float64
		want        int // of 120 polls
	}{{0.5, 0.00001, 0}, {0.2, 0.01, 0}, {0.01, 0.5, 120}} {
		tt := new(Schedule).Budget("acme", 0.2, Limit{Fixed: 10}).Auto("o", Learned{Rows: c.rows, Lines: c.lines})
		asked, now := 0, epoch
		for range 120 {
			tt.Begin(now)
			if tt.ByLines() {
				asked++
			}
			_, wait := tt.Wait(now)
			now = now.Add(wait)
		}
		rows, lines := tt.intervals()
		each := float64(lines) / float64(rows)
		if want := 120 / each; float64(asked) > want*1.3+1 || float64(asked) < want*0.7-1 || c.want > 0 && asked != c.want {
			t.Errorf("rows change %v and lines %v times a second: %d of 120 polls ask for both, every %v and %v", c.rows, c.lines, asked, rows, lines)
		}
		if c.lines < 0.001 && lines != time.Minute {
			t.Errorf("lines that do not change are asked for every %v", lines)
		}
	}
}
