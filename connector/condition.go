package connector

import (
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// Bounds of conditions.
const (
	// stuckSlack is how long a task may be behind its own
	// pace, above twice of it, before it counts as stuck.
	stuckSlack = time.Minute
	// slowedFor is how long a refusal of Coupa for the pace of requests shows in the tasks of the instance.
	slowedFor = time.Minute
	// sightEvery is how long polls that find no row are believed before Coupa is asked whether there is
	// any row at all, and sightSoon how long where rows are missing that should have been found again.
	sightEvery = 10 * time.Minute
	sightSoon  = time.Minute
)

// facts are what the condition of a task follows from.
type facts struct {
	state    State
	began    time.Time     // when this worker took the task over
	proved   time.Time     // when the last window was drained; zero: none yet
	moved    time.Time     // when a page of the walk that publishes changes was last read
	period   time.Duration // from one poll to the next, as configured
	took     time.Duration // by the last poll
	noScope  bool          // the API client may not read the object
	vanished bool          // nothing is there where rows used to be
	// Coupa refuses requests for their pace, and nothing else is wrong with the object
	slowed   bool
	snapshot bool // what was there before the stream began is read
	news     bool // the last poll published something, or the one under way has
}

// condition says what a task is like. Of several things that
// are so, the one counts that a person has to know first.
func (f facts) condition(now time.Time) Condition {
	switch {
	case f.state != Running && f.state != Failed:
		return ""
	case f.noScope, f.vanished:
		return Blind
	case f.state == Failed:
		return Stuck
	case f.slowed:
		return Throttled
	case now.Sub(clock.Later(clock.Later(f.began, f.proved), f.moved)) > 2*(f.period+f.took)+stuckSlack:
		return Stuck
	case f.snapshot:
		return Backfilling
	case f.news, f.proved.IsZero():
		return Busy
	default:
		return Idle
	}
}

// sight watches whether rows that used to be there can still be seen. An instance that hides rows from the
// API client, because somebody changed what it may see, answers like one in which nothing has changed.
type sight struct {
	seen  time.Time // when a row was last seen, or the object was found to have some
	asked time.Time // when Coupa was last asked
}

// note takes in a drained poll: how many rows it read, and whether rows were published before that
// it should have found again. It tells whether Coupa is to be asked if the object has any row.
func (s *sight) note(now time.Time, rows int64, missing bool) (ask bool) {
	if rows > 0 {
		s.seen = now
		return false
	}
	if s.seen.IsZero() {
		s.seen = now // what was there before is no concern of this worker's; it looks from here on
	}
	wait := sightEvery
	if missing {
		wait = sightSoon
	}
	if now.Sub(clock.Later(s.seen, s.asked)) < wait && !(missing && s.asked.Before(s.seen)) {
		return false
	}
	s.asked = now
	return true
}
