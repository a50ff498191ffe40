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

	// of auto
	budget      Budget
	rows, lines walk
	byLines     bool      // polls have walks by lines
	begun       time.Time // the poll
	lined       time.Time // the last one that had a walk by lines
	started     bool      // the first poll is over
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

// Every is the timetable of polls in a fixed interval.
func Every(interval time.Duration, name string) *Timetable {
	return &Timetable{every: interval, phase: xxhash.Sum64String(name)}
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

// Begin is called when a poll begins.
func (t *Timetable) Begin(now time.Time) { t.begun = now }

// ByLines tells whether the poll under way is to ask for rows by the stamps of
// their lines, too: of two polls, the one that is nearer to when that is due.
func (t *Timetable) ByLines() bool {
	if t.every > 0 {
		return true
	}
	t.byLines = true
	rows, lines := t.intervals()
	if t.begun.Before(t.lined.Add(lines - rows/4)) {
		return false
	}
	t.lined = t.begun
	return true
}

// Note takes in a walk: how many changes it has found in the time since
// the one before, and how many requests it took.
func (t *Timetable) Note(byLines bool, changes, requests int, since time.Duration) {
	if byLines {
		t.lines.note(changes, requests, since)
	} else {
		t.rows.note(changes, requests, since)
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

// Wait gives the present time between two polls, and how long it is until the next one.
func (t *Timetable) Wait(now time.Time) (interval, wait time.Duration) {
	if t.every > 0 {
		shift := time.Duration(t.phase % uint64(t.every))
		return t.every, t.every - (time.Duration(now.UnixNano())-shift)%t.every
	}
	interval, _ = t.intervals()
	next := t.begun.Add(interval)
	if !t.started {
		t.started, next = true, t.begun.Add(time.Duration(t.phase%uint64(interval)))
	}
	return interval, max(0, next.Sub(now))
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
