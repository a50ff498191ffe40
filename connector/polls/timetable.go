package polls

import (
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Timetable says when an object is polled, and with which walks. It belongs to the goroutine that polls.
type Timetable struct {
	every time.Duration // poll.interval.ms; 0: auto
	phase uint64        // by the object's name, so that a thousand do not ask at once

	budget Budget
	due    time.Time // the next poll in its turn; zero: it was not asked when that is
	at     time.Time // the poll under way
	early  bool      // it is out of turn: a doorbell has asked for it
	rings  rings
	aside  finding // by polls out of turn since the last one in its turn

	// of auto
	rows, lines walk
	byLines     bool      // polls have walks by lines
	begun       time.Time // the last poll in its turn
	first       bool      // that is the first one
	lined       time.Time // the last one that had a walk by lines
	known       Learned
	changed     time.Time // known
}

// walk is what a poll has one or two of, over rows by their own stamps and by those of their lines.
type walk struct {
	pace
	requests float64 // that it takes
}

func newWalk(changes float64) walk { return walk{learned(changes), 1} }

func (w *walk) load() load { return load{w.now(), w.requests} }

// A walk moves what is held of its requests by an eighth of the difference, and by one at most.
const costShare, costStep = 0.125, 1

// note takes in what a walk has found in the time since the one before, and the requests it took.
func (w *walk) note(changes, requests int, since time.Duration) {
	w.pace.note(changes, since)
	w.requests += min(costStep, max(-costStep, costShare*(float64(max(1, requests))-w.requests)))
}

// finding is what a walk over rows has found in the time since the one before.
type finding struct {
	changes int
	since   time.Duration
}

// Every is the timetable of polls in a fixed interval. Those out of turn share the budget.
func (b Budget) Every(interval time.Duration, name string) *Timetable {
	return &Timetable{every: interval, phase: xxhash.Sum64String(name), budget: b}
}

// Auto is the timetable of polls that share a budget. It has to be left.
func (b Budget) Auto(name string, known Learned) *Timetable {
	if known.Rate > 0 && b.limit.Remember != nil {
		b.limit.Remember(known.Rate)
	}
	return &Timetable{
		phase: xxhash.Sum64String(name), budget: b, rows: newWalk(known.Rows), lines: newWalk(known.Lines), known: known, changed: time.Now(),
	}
}

// Begin is called when a poll begins. It tells whether that is out of turn.
func (t *Timetable) Begin(now time.Time) (early bool) {
	t.at = now
	if t.early = t.rings.answer(now) && now.Before(t.due); !t.early {
		t.first, t.begun, t.due = t.begun.IsZero(), now, time.Time{}
	}
	return t.early
}

// Ring takes in that somebody rang. The object is polled at once, if soon: what was saved a moment ago may be
// seen already. And it is polled once more when that is read whole and nothing more comes of its second:
// settles after the ring, unless it is its turn between.
func (t *Timetable) Ring(now time.Time, settles time.Duration, soon bool) {
	t.rings.ring(now, settles, soon)
}

// ByLines tells whether the poll under way is to ask for rows by the stamps of their lines, too:
// of two polls in their turn, the one that is nearer to when that is due.
func (t *Timetable) ByLines() bool {
	if t.every > 0 || t.early {
		return !t.early
	}
	t.byLines = true
	rows, lines := t.intervals()
	if t.begun.Before(t.lined.Add(lines - rows/4)) {
		return false
	}
	t.lined = t.begun
	return true
}

// Note takes in a walk: how many changes it has found in the time since the one before, and how many
// requests it took. What one out of turn has found counts as if the next in its turn had found it.
func (t *Timetable) Note(byLines bool, changes, requests int, since time.Duration) {
	switch {
	case t.early:
		t.budget.spend(t.at, requests)
		t.aside = finding{t.aside.changes + changes, t.aside.since + since}
	case byLines:
		t.lines.note(changes, requests, since)
	default:
		t.rows.note(t.aside.changes+changes, requests, t.aside.since+since)
		t.aside = finding{}
	}
}

// intervals are the present times between two polls, and between two that have walks by lines. No
// poll is without a walk over rows; where lines deserve more, both share what both deserve.
func (t *Timetable) intervals() (rows, lines time.Duration) {
	r, l := t.rows.load(), t.lines.load()
	switch {
	case !t.byLines:
		return t.budget.intervals(t, r)[0], 0
	case l.changes*r.requests > r.changes*l.requests:
		both := t.budget.intervals(t, load{r.changes + l.changes, r.requests + l.requests})[0]
		return both, both
	default:
		each := t.budget.intervals(t, r, l)
		return each[0], each[1]
	}
}

// Wait gives the present time between two polls, and how long it is until the next one, in its turn or not.
// It may be asked again and again.
func (t *Timetable) Wait(now time.Time) (interval, wait time.Duration) {
	if interval = t.every; interval > 0 {
		if t.due.IsZero() {
			shift := time.Duration(t.phase % uint64(interval))
			t.due = now.Add(interval - (time.Duration(now.UnixNano())-shift)%interval)
		}
	} else {
		interval, _ = t.intervals()
		after := interval
		if t.first {
			after = time.Duration(t.phase % uint64(interval))
		}
		t.due = t.begun.Add(after)
	}
	next := t.due
	if early, rung := t.rings.next(now); rung {
		next = earlier(next, t.budget.allows(early))
	}
	return interval, max(0, next.Sub(now))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Learned is what is kept of a timetable; 0 is not known.
type Learned struct {
	Rows, Lines float64 // changes a second that either walk finds
	Rate        float64 // of the instance under load, in requests a second
}

// keepEvery is how often what is kept changes, at most.
const keepEvery = 10 * time.Minute

// Learned is what is to be kept, with numbers of three digits.
func (t *Timetable) Learned(now time.Time) Learned {
	if t.every > 0 || now.Sub(t.changed) < keepEvery {
		return t.known
	}
	t.changed, t.known.Rows = now, short(t.rows.usual())
	if t.byLines {
		t.known.Lines = short(t.lines.usual())
	}
	if found := t.budget.limit.Found; found != nil && found() > 0 {
		t.known.Rate = short(found())
	}
	return t.known
}

// short rounds to three digits.
func short(n float64) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(n, 'g', 3, 64), 64)
	return s
}

// Leave gives what the object had of the budget to the others.
func (t *Timetable) Leave() {
	if t.every == 0 {
		t.budget.leave(t)
	}
}
