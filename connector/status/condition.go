package status

import (
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// Bounds of conditions.
const (
	// stuckSlack is how long a task may be behind its own
	// pace, above twice of it, before it counts as stuck.
	stuckSlack = time.Minute
	// slowedFor is how long a refusal of Coupa for the pace of requests shows in the tasks of the instance,
	// and a quota of Kafka's, after its end, in those of the shard.
	slowedFor = time.Minute
)

// facts are what the condition of a task follows from.
type facts struct {
	state    State
	began    time.Time     // when this worker took the task over
	proved   time.Time     // when the last window was drained; zero: none yet
	moved    time.Time     // when a page of the walk that publishes changes was last read
	period   time.Duration // from one poll to the next, at present
	took     time.Duration // by the last poll
	noScope  bool          // the API client may not read the object
	vanished bool          // nothing is there where rows used to be
	// a topic of the object was deleted and made again, and not all was published once more
	incomplete bool
	waiting    bool // a sweep for deletes waits for approval
	unmarked   bool // rows can't be marked as exported
	// Coupa refuses requests for their pace, or Kafka holds
	// records back, and nothing else is wrong with the object
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
	case f.incomplete:
		return Incomplete
	case f.waiting:
		return Waiting
	case f.unmarked:
		return Unmarked
	case f.snapshot:
		return Backfilling
	case f.news:
		return Busy
	default:
		return Idle
	}
}
