package coupa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoSecondHoldsMoreRequestsThanTheCeiling(t *testing.T) {
	t.Parallel()
	histories(t, func(t *testing.T, seed uint64) {
		for _, rps := range []float64{1, 15, 25} {
			synctest.Test(t, func(t *testing.T) { noSecondHoldsMore(t, rps, seed) })
		}
	})
}

func noSecondHoldsMore(t *testing.T, rps float64, seed uint64) {
	l := NewLimiter(rps)
	var mu sync.Mutex
	var at []time.Time
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range 30 {
				if err := l.Wait(t.Context(), Priority(i%3)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				at = append(at, time.Now())
				mu.Unlock()
				pass(time.Duration(r.IntN(400)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	for i := range at {
		if j := i + int(rps); j < len(at) && at[j].Sub(at[i]) < time.Second-time.Microsecond {
			t.Fatalf("%v requests a second: %d within %s", rps, int(rps)+1, at[j].Sub(at[i]))
		}
	}
}

func TestRateHalvesAndClimbsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(20)
		rate := func(want float64, why string) {
			if got := l.Rate(); math.Abs(got-want) > 1e-9 {
				t.Errorf("rate %v, want %v: %s", got, want, why)
			}
		}
		sent := time.Now()
		pass(time.Second)
		l.throttled(sent)
		l.throttled(sent)
		rate(10, "requests that went out before the halving do not halve again")
		pass(100 * time.Millisecond)
		l.throttled(time.Now())
		rate(5, "a later one does")
		for range 10 {
			pass(100 * time.Millisecond)
			l.succeeded(time.Now(), kind{}, 0)
		}
		rate(6, "a second of success gives back a twentieth of the ceiling")
		pass(time.Hour)
		l.succeeded(time.Now(), kind{}, 0)
		rate(7, "time without requests counts for a second at most")
		for range 100 {
			pass(time.Second)
			l.succeeded(time.Now(), kind{}, 0)
		}
		rate(20, "the ceiling holds")
		for range 100 {
			pass(time.Millisecond)
			l.throttled(time.Now())
		}
		rate(0.5, "the floor holds")
	})
}

func TestWaitGivesItsTurnBackWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		_ = l.Wait(t.Context(), PriorityPoll)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := l.Wait(ctx, PriorityPoll); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := l.Wait(ctx, PriorityPoll); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its end: %v", err)
		}
		began := time.Now()
		if err := l.Wait(t.Context(), PriorityPoll); err != nil || time.Since(began) > 900*time.Millisecond {
			t.Errorf("the next turn came after %s: %v", time.Since(began), err)
		}
	})
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(0)
		began := time.Now()
		for range 1000 {
			_ = l.Wait(t.Context(), PriorityPoll)
			l.throttled(time.Now())
			l.succeeded(time.Now(), kind{}, 0)
		}
		if time.Since(began) != 0 || l.Rate() != 0 {
			t.Errorf("1000 turns took %s, rate %v", time.Since(began), l.Rate())
		}
	})
}

// turns notes who gets a turn and when.
type turns struct {
	l     *Limiter
	began time.Time
	wg    sync.WaitGroup

	mu    sync.Mutex
	taken []string
}

// newTurns returns turns of a limiter whose first turn is taken, so that whoever comes now has to wait.
func newTurns(t *testing.T, rps float64) *turns {
	t.Helper()
	l := NewLimiter(rps)
	if err := l.Wait(t.Context(), PriorityPoll); err != nil {
		t.Fatal(err)
	}
	return &turns{l: l, began: time.Now()}
}

// wait lets somebody wait for a turn and returns when he does. A wait that fails is noted with its error.
func (s *turns) wait(ctx context.Context, p Priority, name string) {
	s.wg.Go(func() {
		if err := s.l.Wait(ctx, p); err != nil {
			name += " " + err.Error()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken = append(s.taken, fmt.Sprintf("%s %s", name, time.Since(s.began).Round(time.Millisecond)))
	})
	synctest.Wait()
}

// check waits for all and compares.
func (s *turns) check(t *testing.T, want ...string) {
	t.Helper()
	s.wg.Wait()
	if !slices.Equal(s.taken, want) {
		t.Errorf("got %q\nwant %q", s.taken, want)
	}
	if n := s.l.Waiting(); n != [4]int{} || s.l.timer != nil {
		t.Errorf("%v still wait, timer %v", n, s.l.timer)
	}
}

func TestTurnsGoByPriorityAndThenByArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 10)
		for n := range 2 {
			for p := PrioritySweep; p <= PrioritySweep; p-- {
				s.wait(t.Context(), p, fmt.Sprintf("%s%d", p, n))
			}
		}
		if got := s.l.Waiting(); got != [4]int{2, 2, 2, 2} {
			t.Errorf("%v wait", got)
		}
		s.check(t, "poll0 100ms", "poll1 200ms", "snapshot0 300ms", "snapshot1 400ms", "backfill0 500ms", "backfill1 600ms", "sweep0 700ms", "sweep1 1.7s")
	})
}

func TestALatePollGetsTheNextTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 10)
		s.wait(t.Context(), PrioritySweep, "sweep")
		s.wait(t.Context(), PriorityBackfill, "first")
		s.wait(t.Context(), PriorityBackfill, "second")
		pass(150 * time.Millisecond)
		s.wait(t.Context(), PriorityPoll, "poll")
		pass(100 * time.Millisecond)
		s.wait(t.Context(), PrioritySnapshot, "snapshot")
		s.check(t, "first 100ms", "poll 200ms", "snapshot 300ms", "second 400ms", "sweep 500ms")
	})
}

func TestNobodyStarvesAmongHisEquals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 25)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Millisecond)
		defer cancel()
		var got [20]int
		for i := range got {
			s.wg.Go(func() {
				for s.l.Wait(ctx, PriorityBackfill) == nil {
					got[i]++
				}
			})
			synctest.Wait()
		}
		s.wg.Wait()
		for i, n := range got {
			if n != 25 {
				t.Errorf("waiter %d had %d of 500 turns, want 25", i, n)
			}
		}
	})
}

func TestSweepsGetATenthOfTheCeilingAndOneTurnInTwentyBesideOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		rps     float64
		halve   bool
		others  Priority // two of them that never leave a turn unused; PrioritySweep: none
		seconds int
		want    int
	}{
		{"alone", 20, false, PrioritySweep, 10, 20},
		{"below a ceiling of one", 1, false, PrioritySweep, 30, 3},
		{"no ceiling", 0, false, PrioritySweep, 10, 25},
		{"a rate below the ceiling", 20, true, PrioritySweep, 10, 20},
		{"beside a backfill that uses every turn", 20, false, PriorityBackfill, 10, 9},
		{"beside polls that use every turn", 20, false, PriorityPoll, 10, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLimiter(tt.rps)
				if tt.halve {
					l.throttled(time.Now())
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(tt.seconds)*time.Second-time.Millisecond)
				defer cancel()
				var wg sync.WaitGroup
				if tt.others != PrioritySweep {
					for range 2 {
						wg.Go(func() {
							for l.Wait(ctx, tt.others) == nil {
							}
						})
					}
					synctest.Wait()
				}
				got := 0
				for l.Wait(ctx, PrioritySweep) == nil {
					got++
				}
				wg.Wait()
				if got != tt.want {
					t.Errorf("%d turns in %d s, want %d", got, tt.seconds, tt.want)
				}
			})
		})
	}
}

func TestABackfillGetsOneTurnInTwentyBesidePollsThatUseEveryOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(20)
		ctx, cancel := context.WithTimeout(t.Context(), 21*time.Second-time.Millisecond)
		defer cancel()
		var got [2]int
		var wg sync.WaitGroup
		for i, p := range []Priority{PriorityPoll, PriorityPoll, PriorityBackfill} {
			wg.Go(func() {
				for l.Wait(ctx, p) == nil {
					if i != 1 {
						got[i/2]++
					}
				}
			})
		}
		wg.Wait()
		if got[1] < 19 || got[1] > 21 || got[0] < 190 {
			t.Errorf("the backfill had %d turns of 420 and one of two polls %d; want 20 and 200", got[1], got[0])
		}
	})
}

func TestASweepDoesNotSaveUpTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 10)
		pass(time.Minute)
		for n := range 3 {
			s.wait(t.Context(), PrioritySweep, fmt.Sprint("sweep", n))
		}
		s.check(t, "sweep0 1m0s", "sweep1 1m1s", "sweep2 1m2s")
	})
}

func TestAWaiterThatGivesUpCostsNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 10)
		ctx, cancel := context.WithCancel(t.Context())
		for p := range PrioritySweep {
			s.wait(ctx, p, p.String())
		}
		s.wait(t.Context(), PriorityBackfill, "patient")
		s.wait(ctx, PrioritySweep, "sweep")
		pass(50 * time.Millisecond)
		cancel()
		synctest.Wait()
		if got := s.l.Waiting(); got != [4]int{0, 0, 1, 0} {
			t.Errorf("%v wait", got)
		}
		s.mu.Lock()
		if len(s.taken) != 4 {
			t.Errorf("gave up: %q", s.taken)
		}
		s.taken = nil
		s.mu.Unlock()
		s.wait(t.Context(), PrioritySweep, "other sweep")
		s.check(t, "patient 100ms", "other sweep 200ms")
	})
}

func TestATurnThatComesTooLateGoesToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, p := range []Priority{PriorityPoll, PrioritySweep} {
			s := newTurns(t, 10)
			pass(time.Second)
			// What Wait does, but that the context ends between the turn and its taking.
			w := &waiter{turn: make(chan struct{})}
			s.l.waiters[p] = append(s.l.waiters[p], w)
			s.l.grant()
			<-w.turn
			s.wait(t.Context(), p, "next")
			pass(time.Millisecond)
			s.l.leave(w, p)
			s.check(t, "next 1.001s")
		}
	})
}

func TestWaitersFollowTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 10)
		for n := range 4 {
			s.wait(t.Context(), PriorityPoll, strconv.Itoa(n))
		}
		pass(50 * time.Millisecond)
		s.l.throttled(time.Now()) // the turn of 100ms becomes one of 200ms
		pass(200 * time.Millisecond)
		s.l.throttled(time.Now()) // and that of 400ms one of 600ms
		s.check(t, "0 200ms", "1 600ms", "2 1s", "3 1.4s")
	})
	synctest.Test(t, func(t *testing.T) {
		s := newTurns(t, 1)
		s.l.throttled(time.Now())
		s.wait(t.Context(), PriorityPoll, "0") // at 0.5 a second
		pass(time.Second)
		s.l.succeeded(time.Now(), kind{}, 0) // at 0.55 a second
		s.check(t, "0 1.818s")
	})
}

func TestRequestsWaitByTheirPriority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[{"id":1}]`)}
		c := newClient(t, f)
		f.start(t, c)
		pass(tokenHold)
		began := time.Now()
		for _, q := range []Query{{Priority: PrioritySweep}, {Priority: PriorityBackfill}, {}, {Priority: PrioritySweep}} {
			q.Path = "invoices"
			if _, _, err := collect(t.Context(), c, q); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.MaxID(t.Context(), Query{Path: "invoices", Priority: PrioritySweep}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 800*time.Millisecond {
			t.Errorf("three sweeps took %s, want two pauses of 400ms between them", took)
		}
	})
}

func TestPrioritiesHaveNames(t *testing.T) {
	t.Parallel()
	var got []string
	for p := range Priority(5) {
		got = append(got, p.String())
	}
	if want := []string{"poll", "snapshot", "backfill", "sweep", "priority 4"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
