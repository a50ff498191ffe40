package exported

import (
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

const (
	// refusedAgain is how long a row is left alone that Coupa does not take a mark of.
	refusedAgain = 10 * time.Minute
	// movedAgain is how long one is whose stamps have moved, unless it is published before.
	movedAgain = time.Minute
	// unseenAgain is how long one is that Coupa does not show, and goneAfter for how long it must not be
	// shown to count as gone: nothing tells a row that was deleted from one that is hidden from the client.
	unseenAgain = time.Hour
	goneAfter   = 24 * time.Hour
	// mostHeld bounds how many rows are left alone, and remembered for it.
	mostHeld = 10_000
	// passes is how long trouble that passes by itself is not told of in the status.
	passes = 5 * time.Minute
)

// How long a marker rests that has failed: soon where time heals, seldom where a person has to act.
var (
	passingBackoff = clock.Backoff{Base: time.Second, Max: 30 * time.Second}
	lastingBackoff = clock.Backoff{Base: time.Minute, Max: 10 * time.Minute}
)

// trouble is what is wrong with marks, as one turn leaves it to the next.
type trouble struct {
	held map[int64]hold // rows that are left alone for a while
	turn int            // counts turns
	// rows that are not shown: since when
	unseen map[int64]time.Time
	tries  int       // turns in a row that failed
	since  time.Time // when the first of them did; zero: the last one did not
	why    error     // why the last mark failed
}

// hold is a row that is left alone, as long as it is as it was published then.
type hold struct {
	stamps  record.Stamps
	until   time.Time
	refused bool
	met     int // the last turn in which it was in the way
}

// hold leaves a row alone for a while.
func (t *trouble) hold(stamps record.Stamps, long time.Duration, refused bool) {
	if len(t.held) < mostHeld {
		t.held[stamps.ID] = hold{stamps: stamps, until: time.Now().Add(long), refused: refused, met: t.turn}
	}
}

// holds tells whether a row is to be left alone.
func (t *trouble) holds(stamps record.Stamps, now time.Time) bool {
	h, held := t.held[stamps.ID]
	if !held {
		return false
	}
	if h.stamps != stamps || !now.Before(h.until) {
		delete(t.held, stamps.ID)
		return false
	}
	h.met = t.turn
	t.held[stamps.ID] = h
	return true
}

// isGone tells whether a row that is not shown has not been for so long that it counts as gone.
func (t *trouble) isGone(id int64) bool {
	since, known := t.unseen[id]
	if !known && len(t.unseen) < mostHeld {
		t.unseen[id] = time.Now()
	}
	return known && time.Since(since) >= goneAfter
}

// over ends a turn that has met all that waits: a row that it did not meet waits no more.
func (t *trouble) over() {
	for id, h := range t.held {
		if h.met != t.turn {
			delete(t.held, id)
		}
	}
	for id := range t.unseen {
		if _, held := t.held[id]; !held {
			delete(t.unseen, id) // it was shown, or waits no more
		}
	}
	t.works()
}

// works notes that marks succeed.
func (t *trouble) works() { t.tries, t.since = 0, time.Time{} }

// isRefused tells whether a row is left alone that Coupa does not take a mark of.
func (t *trouble) isRefused() bool {
	for _, h := range t.held {
		if h.refused {
			return true
		}
	}
	return false
}

// pause is how long to rest after a turn that has failed.
func (m *Marker) pause(err error) time.Duration {
	if m.why = err; m.tries == 0 {
		m.since = time.Now()
	}
	rest := lastingBackoff.Delay(m.tries, 0)
	if status.IsTemporary(err) {
		rest = passingBackoff.Delay(m.tries, coupa.RetryAfter(err))
	}
	if m.tries++; m.tries == 1 {
		m.Log.Warn("rows can't be marked as exported now; they are published all the same", "error", err, "again_in", rest.Round(time.Millisecond))
	}
	return rest
}

// tell puts into the status what is wrong, but for what has not had the time to pass yet.
func (m *Marker) tell() {
	err := m.why
	if lasts := m.tries > 0 && (!status.IsTemporary(err) || time.Since(m.since) >= passes); !lasts && !m.isRefused() {
		err = nil
	}
	m.Task.CantMark(err)
}
