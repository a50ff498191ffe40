package coupa

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoSecondHoldsMoreRequestsThanTheCeiling(t *testing.T) {
	for _, rps := range []float64{1, 15, 25} {
		synctest.Test(t, func(t *testing.T) {
			l := NewLimiter(rps)
			var mu sync.Mutex
			var at []time.Time
			var wg sync.WaitGroup
			for i := range 5 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(1, uint64(i)))
					for range 30 {
						if err := l.Wait(t.Context()); err != nil {
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
		})
	}
}

func TestRateHalvesAndClimbsBack(t *testing.T) {
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
			l.succeeded()
		}
		rate(6, "a second of success gives back a twentieth of the ceiling")
		pass(time.Hour)
		l.succeeded()
		rate(7, "time without requests counts for a second at most")
		for range 100 {
			pass(time.Second)
			l.succeeded()
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
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(1)
		_ = l.Wait(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := l.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := l.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its end: %v", err)
		}
		began := time.Now()
		if err := l.Wait(t.Context()); err != nil || time.Since(began) > 900*time.Millisecond {
			t.Errorf("the next turn came after %s: %v", time.Since(began), err)
		}
	})
}

func TestNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(0)
		began := time.Now()
		for range 1000 {
			_ = l.Wait(t.Context())
			l.throttled(time.Now())
			l.succeeded()
		}
		if time.Since(began) != 0 || l.Rate() != 0 {
			t.Errorf("1000 turns took %s, rate %v", time.Since(began), l.Rate())
		}
	})
}

func TestBackoffDelay(t *testing.T) {
	almost := func() float64 { return 1 }
	tests := []struct {
		name    string
		backoff Backoff
		attempt int
		after   time.Duration
		want    time.Duration
	}{
		{"the first", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 0, 0, time.Second},
		{"the fourth", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 3, 0, 8 * time.Second},
		{"the cap", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 6, 0, time.Minute},
		{"far beyond the cap", Backoff{Base: time.Second, Max: time.Minute, Rand: almost}, 1 << 40, 0, time.Minute},
		{"a cap below the base", Backoff{Base: time.Second, Max: time.Millisecond, Rand: almost}, 0, 0, time.Millisecond},
		{"half the jitter", Backoff{Base: time.Second, Max: time.Minute, Rand: func() float64 { return 0.5 }}, 1, 0, time.Second},
		{"a pause that Coupa asked for", Backoff{Base: time.Second, Max: time.Minute, Rand: func() float64 { return 0.5 }}, 9, 5 * time.Minute, 5*time.Minute + 500*time.Millisecond},
		{"the defaults", Backoff{Rand: almost}, 100, 0, time.Minute},
		{"the default base", Backoff{Rand: almost}, 0, 0, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.backoff.Delay(tt.attempt, tt.after); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	for range 1000 {
		if d := (Backoff{}).Delay(3, 0); d < 0 || d >= 8*time.Second {
			t.Fatalf("the zero value gave %s", d)
		}
	}
}
