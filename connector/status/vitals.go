package status

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/coupa"
)

// vitals are what a task's condition, progress and readings follow from.
type vitals struct {
	began, proved, moved time.Time // see facts
	took                 time.Duration
	noScope, vanished    bool
	throttled, troubled  bool // the object's last request failed; Coupa refused it for the pace of requests
	// until when a broker holds the records of the shard back
	held time.Time
	// TaskStatus.Published as the last poll left it, which published nothing; -1: it published something
	quiet int64
	speed Speed
	pages int64
	// what the object's topics were found to be, and when that was first so
	slow    time.Time // since when the budget of polls does not allow the longest interval; zero: it does
	found   []checkpoint.Topic
	foundAt time.Time
	warning *Trouble // see Task.Warn

	poll, commit, batch, rows, running, paused Measure
}

// fullPage is how many rows a page of Coupa's holds at most,
// and fillPages of how many pages about their share is told.
const (
	fullPage  = 50
	fillPages = 20
)

// Take is called when this worker begins to read the stream. Of one that was never
// read, time counts from there on: what is older is a backfill's.
func (t *Task) Take() {
	t.note(func(s *TaskStatus, v *vitals) {
		v.began, v.proved, v.moved, v.took = time.Now(), time.Time{}, time.Time{}, 0
		v.noScope, v.vanished, v.throttled, v.troubled = false, false, false, false
		v.quiet, v.speed = s.Published, Speed{}
		s.Marking.Trouble = nil
		s.Progress, s.Restarts = Progress{}, 0
		switch mark := clock.Later(s.Mark, s.Committed.Mark); {
		case !mark.IsZero():
			s.Proven = t.past(mark, v.began)
		case s.Proven.IsZero():
			s.Proven = v.began.UTC()
		}
	})
}

// Paced is called when the next poll is decided on; interval is the present time between two.
func (t *Task) Paced(interval time.Duration) {
	t.note(func(s *TaskStatus, v *vitals) {
		s.Interval = interval
		if slow := t.object.PollAuto && interval > t.object.PollInterval; slow != !v.slow.IsZero() {
			v.slow = time.Time{}
			if slow {
				v.slow = time.Now()
			}
		}
	})
}

// Rung is called when a doorbell rings for the object.
func (t *Task) Rung() { t.note(func(s *TaskStatus, _ *vitals) { s.Doorbells++ }) }

// PolledEarly is called when a poll begins out of turn, because a doorbell rang.
func (t *Task) PolledEarly() { t.note(func(s *TaskStatus, _ *vitals) { s.EarlyPolls++ }) }

// past is a mark, or where it lies in the future the latest that can be proven now.
func (t *Task) past(mark, now time.Time) time.Time {
	if latest := now.Add(-t.settle).UTC(); mark.After(latest) {
		return latest
	}
	return mark
}

// Failed is called for each error that holds the stream up or stops it.
func (t *Task) Failed(err error) {
	passes := IsTemporary(err)
	kind, fromCoupa := kindOf(err)
	t.note(func(s *TaskStatus, v *vitals) {
		s.Errors = remember(s.Errors, TroubleOf(err, time.Now()))
		if passes {
			s.Retries++
		} else {
			s.Failures++
		}
		v.troubled, v.throttled = true, fromCoupa && kind == coupa.Throttled
		v.noScope = fromCoupa && kind == coupa.Scope
	})
}

// Answered is called when Coupa has answered as it should.
func (t *Task) Answered() {
	t.note(func(_ *TaskStatus, v *vitals) { v.troubled, v.throttled, v.noScope = false, false, false })
	if t.instance != nil {
		t.instance.answered(t.s.Object, time.Now())
	}
}

// AnswersOthers tells whether since a time Coupa has answered as
// it should for another object of the connector.
func (t *Task) AnswersOthers(since time.Time) bool {
	return t.instance != nil && t.instance.answersOthers(t.s.Object, since)
}

// throttledByKafka is said while it is so.
const throttledByKafka = "Kafka throttles this worker: its quota takes less than there is to publish"

// ThrottledByKafka is called when a broker has said that it holds the shard's producer back for so long.
func (t *Task) ThrottledByKafka(by time.Duration) {
	now := time.Now()
	t.note(func(s *TaskStatus, v *vitals) {
		v.held = clock.Later(v.held, now.Add(by))
		s.Errors = remember(s.Errors, Trouble{
			At: now, Message: throttledByKafka,
			Remedy: "raise producer_byte_rate of this worker's user or client id (kafka-configs.sh --describe --entity-type clients, and users), or let it take its time",
		})
	})
}

// heldBack tells whether a broker holds records back, or did so of late.
func (v *vitals) heldBack(now time.Time) bool { return now.Sub(v.held) < slowedFor }

// Proved is called when a poll has published all that was changed before mark, which it began at
// a time when so many records were published. Of rows that have vanished nothing can be proven.
func (t *Task) Proved(began time.Time, published int64, mark time.Time, vanished bool) {
	now := time.Now()
	t.note(func(s *TaskStatus, v *vitals) {
		v.proved, v.took, v.vanished, v.quiet = now, now.Sub(began), vanished, -1
		if s.Published == published {
			v.quiet = published
		}
		if !vanished {
			s.Proven = t.past(mark, now)
			return
		}
		s.Errors = remember(s.Errors, Trouble{
			At: now, Message: "Coupa shows no " + s.Object + " at all, and there were some",
			Remedy: "see what the API client's user may see in Coupa (content groups, account groups, business groups), and whether the instance was refreshed from another one",
		})
	})
}

// IsBlind tells whether rows have vanished.
func (t *Task) IsBlind() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.v.vanished
}

// Published is how many records are committed.
func (t *Task) Published() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.s.Published
}

// Polls is how many polls have ended.
func (t *Task) Polls() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.s.Polls
}

// Page takes in a page that was read; changes: of the walk that publishes them, not of one beside it.
func (t *Task) Page(p coupa.Page, changes bool) {
	now := time.Now()
	t.note(func(s *TaskStatus, v *vitals) {
		if changes {
			v.moved = now
		}
		v.poll.Note(now, float64(p.Latency)/float64(time.Millisecond))
		v.rows.Note(now, float64(p.Rows))
		v.pages++
		s.Fill += (float64(p.Rows)/fullPage - s.Fill) / float64(min(v.pages, fillPages))
	})
}

// Committed takes in a transaction with something of the task.
func (t *Task) Committed(records int, took time.Duration) {
	now := time.Now()
	t.note(func(_ *TaskStatus, v *vitals) {
		v.commit.Note(now, float64(took)/float64(time.Millisecond))
		v.batch.Note(now, float64(records))
	})
}

// Progress takes in how far a backfill is.
func (t *Task) Progress(done, total int64) {
	now := time.Now()
	t.note(func(s *TaskStatus, v *vitals) {
		v.speed.Note(now, done)
		s.Progress = Progress{Done: done, Total: total, Left: v.speed.Left(total - done)}
	})
}

// Sample notes the state, for the shares of time that it lasted.
func (t *Task) Sample(now time.Time) {
	is := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	t.note(func(s *TaskStatus, v *vitals) {
		v.running.Note(now, is(s.State == Running))
		v.paused.Note(now, is(s.State == Paused))
	})
}

// addTo adds the task to what its instance is like.
func (t *Task) addTo(p *Point) {
	t.note(func(s *TaskStatus, _ *vitals) {
		p.Published += s.Published + s.Lines
		p.Lateness, s.LatenessNow = max(p.Lateness, s.LatenessNow), 0
		if s.State != Running && s.State != Failed || s.Proven.IsZero() {
			return
		}
		if p.Proven.IsZero() || s.Proven.Before(p.Proven) {
			p.Proven = s.Proven
		}
	})
}

// maxSchemaVersions is how many of the versions of its schema a task remembers, the last ones.
const maxSchemaVersions = 50

// Unfit notes how many values of custom fields stayed in unmapped, by field.
func (t *Task) Unfit(counts map[string]int64) {
	t.Update(func(s *TaskStatus) { s.Unfit = counts })
}

// CountUnreadable counts values that can't be read as their fields' types
// and went to unmapped. It takes the field of each.
func (s *TaskStatus) CountUnreadable(fields []string) { s.Unreadable = counted(s.Unreadable, fields) }

// CountLeftOut counts values that stand nowhere, since records have no unmapped. It takes the field of each.
func (s *TaskStatus) CountLeftOut(fields []string) { s.LeftOut = counted(s.LeftOut, fields) }

// maxCounted is how many fields have a count of their own; the others, which are more than any
// description of Coupa's has, share that of otherFields.
const (
	maxCounted  = 500
	otherFields = "others"
)

func counted(last map[string]int64, fields []string) map[string]int64 {
	if len(fields) == 0 {
		return last
	}
	counts := make(map[string]int64, len(last)+1)
	maps.Copy(counts, last)
	for _, f := range fields {
		if counts[f] == 0 && len(counts) >= maxCounted {
			f = otherFields
		}
		counts[f]++
	}
	return counts
}

// Carries notes that the task's records have a schema. The first one of a subject that is seen since the
// start is no change of it.
func (t *Task) Carries(subject string, id int) {
	t.Update(func(s *TaskStatus) {
		if slices.ContainsFunc(s.SchemaVersions, func(v SchemaVersion) bool { return v.Subject == subject && v.ID == id }) {
			return
		}
		kept := s.SchemaVersions[max(0, len(s.SchemaVersions)-maxSchemaVersions+1):]
		if slices.ContainsFunc(s.SchemaVersions, func(v SchemaVersion) bool { return v.Subject == subject }) {
			s.Schemas++
		}
		s.SchemaVersions = append(slices.Clone(kept), SchemaVersion{At: time.Now(), Subject: subject, ID: id})
	})
}

// Status returns a copy, with what follows from the time.
func (t *Task) Status() TaskStatus {
	var pace coupa.LimiterStats
	var answers map[string]uint64
	var ahead time.Duration
	if t.instance != nil {
		pace, answers, ahead = t.instance.source.Pace(), t.instance.source.Answers(t.s.Object), t.instance.Ahead()
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	v, s := &t.v, t.s
	var incomplete bool
	s.Notices, incomplete = v.noticesOf(&s, t.object)
	f := facts{
		incomplete: incomplete, waiting: s.Deletes.waits(), unmarked: s.Marking.Trouble != nil, state: s.State, began: v.began, proved: v.proved, moved: v.moved, period: s.Interval, took: v.took, noScope: v.noScope, vanished: v.vanished,
		slowed: v.throttled || !v.troubled && now.Sub(pace.Throttled) < slowedFor || v.heldBack(now), snapshot: s.Snapshot, news: v.quiet != s.Published,
	}
	s.Condition, s.Answers = f.condition(now), answers
	if s.State == Running && s.Trace == "" {
		s.Trace = strings.Join(slices.DeleteFunc([]string{t.waitsFor(s.Condition, now), clocksApart(ahead)}, isEmpty), "; ")
	}
	if s.State == Running && v.heldBack(now) {
		s.Trace = strings.TrimSuffix(throttledByKafka+"; "+s.Trace, "; ")
	}
	s.Readings = Readings{
		Poll: v.poll.Read(now), Commit: v.commit.Read(now), Batch: v.batch.Read(now), Rows: v.rows.Read(now), Running: v.running.Read(now), Paused: v.paused.Read(now),
	}
	return s
}

// Renumbered notes that a schema of the task's records got another id. It stops nothing.
func (t *Task) Renumbered(err error) {
	t.Update(func(s *TaskStatus) {
		s.Errors = remember(s.Errors, TroubleOf(err, time.Now()))
		s.Renumbered++
	})
}
