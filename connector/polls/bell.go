package polls

import (
	"sync"
	"time"
)

// Bell asks for a poll out of turn. It may be rung by anybody at any time, and belongs to one object;
// of rings that nobody has heard yet, one is heard.
type Bell struct {
	rung chan struct{}

	mu   sync.Mutex
	last time.Time
}

// NewBell makes a bell that was not rung.
func NewBell() *Bell { return &Bell{rung: make(chan struct{}, 1)} }

// burst is how long a bell is silent before the next ring is told of.
const burst = time.Minute

// Ring rings, and tells whether it is the first ring of a burst.
func (b *Bell) Ring(now time.Time) (first bool) {
	select {
	case b.rung <- struct{}{}:
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	first = b.last.IsZero() || now.Sub(b.last) >= burst
	b.last = now
	return first
}

// Rung gives a ring that nobody has heard yet.
func (b *Bell) Rung() <-chan struct{} { return b.rung }

// rings are the polls out of turn that an object is to have: up to two for what was rung for.
type rings struct {
	soon bool // since the last poll began, somebody rang
	// when what was saved before a ring can be read whole, of the first ring since a poll began after such a
	// time, and of the last; zero: none
	settled, last time.Time
}

// ring takes in a ring at a time, of rows that can be read whole so much later.
func (r *rings) ring(now time.Time, settles time.Duration, soon bool) {
	r.soon, r.last = r.soon || soon, now.Add(settles)
	if r.settled.IsZero() {
		r.settled = r.last
	}
}

// answer takes in a poll that begins, and tells whether it was due by what was rung for.
func (r *rings) answer(now time.Time) (due bool) {
	due, r.soon = r.soon, false
	if r.settled.IsZero() || now.Before(r.settled) {
		return due
	}
	if r.settled = r.last; !now.Before(r.last) {
		r.settled = time.Time{}
	}
	return true
}

// next is when a poll out of turn is due, by what was rung for; false: none is.
func (r *rings) next(now time.Time) (time.Time, bool) {
	if r.soon {
		return now, true
	}
	return r.settled, !r.settled.IsZero()
}
