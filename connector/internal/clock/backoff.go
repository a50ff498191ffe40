package clock

import (
	"math/rand/v2"
	"time"
)

const (
	defaultBackoffBase = time.Second
	defaultBackoffMax  = time.Minute
)

// Backoff spaces repeated attempts: exponential, capped, with full jitter, so that many
// streams that failed together do not come back together. The zero value is ready to use.
type Backoff struct {
	Base time.Duration  // upper bound of the first delay; 0: 1 s
	Max  time.Duration  // cap of the upper bound; 0: 1 min
	Rand func() float64 // in [0, 1); nil: math/rand/v2
}

// Delay returns how long to wait before repeating for the attempt-th time, counted
// from 0: a random duration below Base·2^attempt, at most Max. Where the other side asked
// for a pause (retryAfter > 0), the delay is that pause and up to Base more.
func (b Backoff) Delay(attempt int, retryAfter time.Duration) time.Duration {
	base, ceiling := b.Base, b.Max
	if base <= 0 {
		base = defaultBackoffBase
	}
	if ceiling <= 0 {
		ceiling = defaultBackoffMax
	}
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	if retryAfter > 0 {
		return retryAfter + scale(base, random())
	}
	bound := min(base, ceiling)
	for ; attempt > 0 && bound < ceiling; attempt-- {
		bound = min(2*bound, ceiling)
	}
	return scale(bound, random())
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }
