package coupa

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	slowestRate = 0.5  // requests a second below which no throttling pushes
	climbShare  = 0.05 // share of the ceiling that a second of success gives back
	sweepShare  = 0.1  // share of the ceiling that sweeps may use
	patience    = 20   // turns that a priority may be passed over while it waits, before it gets one
	// requests a second that Coupa documents ("Rate Limits");
	// what sweeps have a share of where there is no ceiling
	allowedRate = 25
)

// Priority says whose turn it is when several requests wait for the [Limiter]; the zero value goes first.
type Priority uint8

// The priorities, first to last.
const (
	PriorityPoll     Priority = iota // changes as they come
	PrioritySnapshot                 // rows that somebody asked for
	PriorityBackfill                 // history
	PrioritySweep                    // looking again: a tenth of the ceiling at most
	priorities       = iota
)

var priorityNames = [priorities]string{"poll", "snapshot", "backfill", "sweep"}

// String returns the priority's name in lower case.
func (p Priority) String() string {
	if p < priorities {
		return priorityNames[p]
	}
	return fmt.Sprintf("priority %d", uint8(p))
}

// Limiter paces the requests to one Coupa instance. Below a ceiling that is given, the rate halves when
// Coupa throttles and climbs back by a twentieth of the ceiling for each second of success; one that finds
// its limit ([NewAutoLimiter]) also goes by how long answers take: see seeker. Requests are spaced evenly,
// with no burst, so that no second holds more of them than the ceiling. A turn that is due goes to the
// waiter of the first [Priority], and within one to the waiter that came first; but a priority that was
// passed over twenty times while it waited gets the next turn, so that history is read also where changes
// alone could use up the rate. Safe for concurrent use; it needs no closing.
type Limiter struct {
	ceiling float64       // set once; requests a second, 0: no limit
	sweeps  time.Duration // set once; least time between two turns of sweeps; 0: by the present rate

	mu      sync.Mutex
	seek    *seeker   // nil: the limit is given
	current float64   // requests a second; seek's where there is one
	cut     time.Time // last halving
	raised  time.Time // last climb, or the halving that restarts it
	waiters [priorities][]*waiter
	passed  [priorities]int // turns that others got while one of this priority waited
	last    time.Time       // last turn, whoever's, but for how late it was on purpose
	delay   float64         // how late the next one is, as a share of the most that it may be
	chance  *rand.Rand      // of delay
	swept   time.Time       // last turn of a sweep
	timer   *time.Timer     // runs wake at due; nil: nobody waits
	due     time.Time
	used    minute // turns

	throttledSince, throttledLast time.Time // see LimiterStats
}

// waiter is somebody in want of a turn.
type waiter struct {
	turn chan struct{} // closed when it is there

	// Guarded by Limiter.mu.
	at, lastIs        time.Time // of the turn, and Limiter.last with it; zero until then
	lastWas, sweptWas time.Time // Limiter.last and swept before it
}

// NewLimiter returns a limiter with a ceiling of rps requests a second; 0 or less: no
// limit but for sweeps, which get 2.5 a second, a tenth of what Coupa documents to allow.
func NewLimiter(rps float64) *Limiter {
	if rps <= 0 {
		return &Limiter{sweeps: interval(sweepShare * allowedRate)}
	}
	return &Limiter{ceiling: rps, current: rps, sweeps: interval(sweepShare * rps)}
}

// NewAutoLimiter returns a limiter that finds what an instance leaves over for it, at most a ceiling of
// most requests a second (above 0), by how long answers take and by refusals. It begins at ten a second,
// or at what [Limiter.Remember] says, and climbs while requests wait. Sweeps get a tenth of what it is at.
func NewAutoLimiter(most float64) *Limiter {
	l := &Limiter{ceiling: most, seek: newSeeker(most), chance: rand.New(rand.NewPCG(0, 0))}
	l.current = l.seek.rate
	return l
}

// Found is the rate in requests a second that was last found to be the limit under load, or of which load
// has shown since that it is granted. Time without load does not change it. 0: none was found yet, or the
// limit is given.
func (l *Limiter) Found() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seek == nil {
		return 0
	}
	return l.seek.found
}

// Remember begins at a rate that was [Limiter.Found] before, as by an earlier run of the program. It
// does nothing where this limiter has found one already, where rps is not above 0, or the limit is given.
func (l *Limiter) Remember(rps float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seek != nil {
		l.seek.remember(rps)
		l.follow()
	}
}

// interval returns the time between turns at a rate, rounded up so that no second holds more of them.
func interval(rps float64) time.Duration {
	return time.Duration(math.Ceil(float64(time.Second) / rps))
}

// Wait returns when the next request of this priority may go out, or
// with the context's error when that ends first; then it costs no turn.
func (l *Limiter) Wait(ctx context.Context, p Priority) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.ceiling == 0 && p < PrioritySweep {
		l.mu.Lock()
		l.used.add(time.Now(), 1)
		l.mu.Unlock()
		return nil
	}
	p = min(p, PrioritySweep)
	w := &waiter{turn: make(chan struct{})}
	l.mu.Lock()
	l.waiters[p] = append(l.waiters[p], w)
	l.grant()
	l.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		l.leave(w, p)
		return ctx.Err()
	}
}

// Rate returns the present rate in requests a second; 0: no limit.
func (l *Limiter) Rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// Waiting returns how many requests of each [Priority] wait for a turn.
func (l *Limiter) Waiting() [4]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n [priorities]int
	for p := range l.waiters {
		n[p] = len(l.waiters[p])
	}
	return n
}

// grant gives the turn that is due, if one is, to whoever is next,
// and sees to it that the one after it will be given. mu is held.
func (l *Limiter) grant() {
	now := time.Now()
	p, due, ok := l.next()
	for ok && !due.After(now) {
		w := l.waiters[p][0]
		l.waiters[p][0] = nil
		l.waiters[p] = l.waiters[p][1:]
		w.at, w.lastWas, w.sweptWas = now, l.last, l.swept
		l.last = now.Add(-l.late(now))
		w.lastIs = l.last
		l.used.add(now, 1)
		if l.seek != nil {
			l.seek.turns++
			l.delay = l.chance.Float64()
		}
		if p == PrioritySweep {
			l.swept = now
		}
		l.passOver(p)
		close(w.turn)
		p, due, ok = l.next()
	}
	l.arm(due, ok)
}

// next returns the priority of the next turn and when it is due; false: nobody waits. mu is held.
func (l *Limiter) next() (Priority, time.Time, bool) {
	due := l.last
	if l.current > 0 {
		due = due.Add(interval(l.current) + l.lateBy())
	}
	sweep := len(l.waiters[PrioritySweep]) > 0
	sweepDue := due
	sweeps := l.sweeps
	if l.seek != nil {
		sweeps = interval(sweepShare * l.current)
	}
	if share := l.swept.Add(sweeps); share.After(due) {
		sweepDue = share
	}
	if sweep && l.passed[PrioritySweep] >= patience && !sweepDue.After(due) {
		return PrioritySweep, due, true
	}
	first, found := PrioritySweep, false
	for p := PrioritySweep; p > 0; p-- {
		if waits := len(l.waiters[p-1]) > 0; waits && (!found || l.passed[first] < patience) {
			first, found = p-1, true
		}
	}
	switch {
	case found:
		return first, due, true
	case sweep:
		return PrioritySweep, sweepDue, true
	default:
		return 0, time.Time{}, false
	}
}

// lateBy is how much later than evenly the next turn is due: by chance, so that requests do not fall in
// step with others', but by no more than leaves every second below the ceiling. mu is held.
func (l *Limiter) lateBy() time.Duration {
	if l.seek == nil {
		return 0
	}
	return time.Duration(uneven * min(1, l.ceiling-l.current) * l.delay * float64(interval(l.current)))
}

// late is how much of the time until a turn now is such lateness; 0
// where nobody waited for it when it was due. mu is held.
func (l *Limiter) late(now time.Time) time.Duration {
	by := l.lateBy()
	if by == 0 || now.Sub(l.last) > 2*interval(l.current) {
		return 0
	}
	return by
}

// passOver counts a turn of priority p against those that wait. mu is held.
func (l *Limiter) passOver(p Priority) {
	l.passed[p] = 0
	for q := range l.waiters {
		switch {
		case len(l.waiters[q]) == 0:
			l.passed[q] = 0
		case Priority(q) != p:
			l.passed[q]++
		}
	}
}

// arm sets the timer to when a turn is due, or stops it when nobody waits. mu is held.
func (l *Limiter) arm(due time.Time, somebody bool) {
	if l.timer != nil {
		if somebody && due.Equal(l.due) {
			return
		}
		l.timer.Stop()
		l.timer = nil
	}
	if somebody {
		l.due = due
		l.timer = time.AfterFunc(time.Until(due), l.wake)
	}
}

// wake gives the turn that the timer was set for. One that
// was stopped too late does no harm: nothing is due.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	l.grant()
}

// leave takes a waiter out whose context has ended. A turn that it got meanwhile is taken back.
func (l *Limiter) leave(w *waiter, p Priority) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.at.IsZero() {
		i := slices.Index(l.waiters[p], w)
		l.waiters[p] = slices.Delete(l.waiters[p], i, i+1)
	} else {
		l.takeBack(w)
	}
	l.grant()
}

// takeBack makes a turn that nobody used as if it had not been
// given, unless a later one counts from it already. mu is held.
func (l *Limiter) takeBack(w *waiter) {
	l.used.add(time.Now(), -1)
	if l.last.Equal(w.lastIs) {
		l.last = w.lastWas
	}
	if l.swept.Equal(w.at) {
		l.swept = w.sweptWas
	}
}

// slowed notes that Coupa holds the rate down. mu is held.
func (l *Limiter) slowed(now time.Time) {
	if l.throttledLast = now; l.throttledSince.IsZero() {
		l.throttledSince = now
	}
}

// follow takes over the rate that was found. mu is held.
func (l *Limiter) follow() {
	if l.current != l.seek.rate {
		l.current = l.seek.rate
		l.grant()
	}
}

// throttled halves the rate because Coupa refused a request that went out at sent. Refusals of
// requests that went out before the last halving say nothing about the new rate and change
// nothing. A timer that is set wakes early by the new rate, finds nothing due and is set anew.
func (l *Limiter) throttled(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.seek != nil {
		if l.seek.throttled(now, sent); l.seek.heldDown() {
			l.slowed(now)
		}
		l.follow()
		return
	}
	l.slowed(now)
	if l.ceiling == 0 || sent.Before(l.cut) {
		return
	}
	l.cut, l.raised = now, now
	l.current = max(l.current/2, min(slowestRate, l.ceiling))
}

// succeeded lets the rate climb, for a good answer to a request that went out at sent and whose
// header came behind latency. Time without requests proves nothing, so at most a second counts.
func (l *Limiter) succeeded(sent time.Time, k kind, latency time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seek != nil {
		if l.seek.succeeded(time.Now(), sent, k, latency); !l.seek.heldDown() {
			l.throttledSince, l.throttledLast = time.Time{}, time.Time{}
		}
		l.follow()
		return
	}
	if l.current >= l.ceiling {
		l.throttledSince, l.throttledLast = time.Time{}, time.Time{}
		return
	}
	now := time.Now()
	passed := min(now.Sub(l.raised), time.Second)
	l.raised = now
	l.current = min(l.current+l.ceiling*climbShare*passed.Seconds(), l.ceiling)
	l.grant()
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
