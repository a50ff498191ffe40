package polls

import (
	"math"
	"testing"
	"time"
)

// found lets polls find so many changes each, for a time.
func (p *pace) found(changes int, every, d time.Duration) {
	for ; d > 0; d -= every {
		p.note(changes, every)
	}
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestAPaceIsLearnedInAnHour(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{5 * time.Second, 20 * time.Second, time.Minute} {
		p := learned(0)
		p.found(int(every/(5*time.Second)), every, time.Hour)
		near(t, "a change in 5 s, after an hour", p.now(), 0.2, 0.2)
		p.found(int(every/(5*time.Second)), every, 24*time.Hour)
		near(t, "after a day", p.now(), 0.2, 0.03)
	}
}

// A window of days, as after an outage, teaches the same as polls of its hours would.
func TestALongWindowIsLearnedAsItsPolls(t *testing.T) {
	t.Parallel()
	one, many := learned(0.01), learned(0.01)
	one.note(17280, 48*time.Hour)
	many.found(1, 10*time.Second, 48*time.Hour)
	near(t, "in one window", one.usual(), many.usual(), 0.01)
}

func TestAnObjectThatIsSilentRests(t *testing.T) {
	t.Parallel()
	p := learned(0)
	p.found(1, 2*time.Second, 12*time.Hour)
	usual := p.usual()
	p.found(0, 2*time.Second, 9*time.Second)
	if p.now() < usual*0.99 {
		t.Errorf("after four gaps without a change it is taken to change %v times a second, and %v before", p.now(), usual)
	}
	p.found(0, 10*time.Second, 51*time.Minute)
	if got := perChange * p.now(); got > least {
		t.Errorf("after 51 minutes of silence it gets %v polls a second", got)
	}
	// a weekend later it knows its pace, and has it with the first change
	p.found(0, time.Minute, 62*time.Hour)
	p.note(1, time.Minute)
	near(t, "after a weekend", p.now(), usual, 0.25)
	// what is silent for weeks forgets
	p.found(0, time.Minute, 60*24*time.Hour)
	if p.usual() > usual/20 {
		t.Errorf("after two months of silence it is known to change %v times a second", p.usual())
	}
}

// An import of ten thousand rows in a second counts no more changes than seconds have passed, and is
// over with 50 minutes of silence.
func TestAnImportDoesNotPin(t *testing.T) {
	t.Parallel()
	p := learned(0.001)
	p.note(10_000, time.Minute)
	near(t, "behind an import", p.usual(), 0.001+60.0/3660, 0.05)
	p.found(0, 10*time.Second, 51*time.Minute)
	if got := perChange * p.now(); got > least {
		t.Errorf("51 minutes after an import it gets %v polls a second", got)
	}
}

// What a walk costs is learned over some polls, and a page of an import moves it little.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWalk(0)
	for range 60 {
		w.note(1, 4, time.Second)
	}
	near(t, "requests of a walk", w.requests, 4, 0.02)
	w.note(10_000, 201, time.Second)
	if w.requests > 5.01 {
		t.Errorf("after an import a walk is held to take %v requests", w.requests)
	}
	w.note(0, 0, time.Second) // there was none
	if w.requests > 4.7 || w.requests < 4 {
		t.Errorf("after a walk without a request it is held to take %v", w.requests)
	}
}

func TestTimeThatDoesNotPassTeachesNothing(t *testing.T) {
	t.Parallel()
	p := learned(0.3)
	was := p
	p.note(5, 0)
	p.note(5, -time.Second)
	if p != was {
		t.Errorf("%v, was %v", p, was)
	}
}
