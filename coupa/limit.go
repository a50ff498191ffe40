package coupa

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	slowestRate = 0.5  // requests a second below which no throttling pushes
	climbShare  = 0.05 // share of the ceiling that a second of success gives back
)

// Limiter paces the requests to one Coupa instance. The rate finds itself below a ceiling: it halves when Coupa throttles and
// climbs back by a twentieth of the ceiling for each second of success. Requests are spaced evenly, with no burst, so that
// no second holds more of them than the ceiling. Safe for concurrent use.
type Limiter struct {
	ceiling float64 // set once; 0: no limit
	bucket  *rate.Limiter

	mu      sync.Mutex
	current float64   // requests a second
	cut     time.Time // last halving
	raised  time.Time // last climb, or the halving that restarts it
}

// NewLimiter returns a limiter with a ceiling of rps requests a second; 0 or less: no limit.
func NewLimiter(rps float64) *Limiter {
	if rps <= 0 {
		return &Limiter{bucket: rate.NewLimiter(rate.Inf, 1)}
	}
	return &Limiter{ceiling: rps, current: rps, bucket: rate.NewLimiter(rate.Limit(rps), 1)}
}

// Wait returns when the next request may go out, or with the context's error when that ends first; the turn is then given back.
func (l *Limiter) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn := l.bucket.Reserve()
	if err := sleep(ctx, turn.Delay()); err != nil {
		turn.Cancel()
		return err
	}
	return nil
}

// Rate returns the present rate in requests a second; 0: no limit.
func (l *Limiter) Rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// throttled halves the rate because Coupa refused a request that went out at sent. Refusals of requests that went out before
// the last halving say nothing about the new rate and change nothing.
func (l *Limiter) throttled(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ceiling == 0 || sent.Before(l.cut) {
		return
	}
	now := time.Now()
	l.cut, l.raised = now, now
	l.set(max(l.current/2, min(slowestRate, l.ceiling)))
}

// succeeded lets the rate climb. Time without requests proves nothing, so at most a second counts.
func (l *Limiter) succeeded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current >= l.ceiling {
		return
	}
	now := time.Now()
	passed := min(now.Sub(l.raised), time.Second)
	l.raised = now
	l.set(min(l.current+l.ceiling*climbShare*passed.Seconds(), l.ceiling))
}

// set changes the rate; mu is held.
func (l *Limiter) set(rps float64) {
	l.current = rps
	l.bucket.SetLimit(rate.Limit(rps))
}

// sleep waits for d, or until the context ends and returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
