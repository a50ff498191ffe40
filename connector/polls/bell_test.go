package polls

import (
	"slices"
	"testing"
	"time"
)

// polled plays an object from the epoch on: rings at the given times, each poll at once when it is due,
// with so many requests. It gives the times at which polls were out of turn and in their turn.
func polled(t *Timetable, until time.Duration, soon bool, requests int, rings ...time.Duration) (early, turns []time.Duration) {
	t.Begin(epoch)
	for now := time.Duration(0); ; {
		_, wait := t.Wait(epoch.Add(now))
		if len(rings) > 0 && rings[0] < now+wait {
			now = max(now, rings[0])
			rings = rings[1:]
			t.Ring(epoch.Add(now), 4*time.Second, soon)
			continue
		}
		if now += wait; now >= until {
			return early, turns
		}
		if t.Begin(epoch.Add(now)) {
			early = append(early, now)
		} else {
			turns = append(turns, now)
		}
		t.Note(false, 0, requests, time.Second)
	}
}

const ms = time.Millisecond

func TestPollsOutOfTurn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		soon     bool
		requests int
		rings    []time.Duration
		want     []time.Duration
	}{
		"none":                     {true, 1, nil, nil},
		"a ring":                   {true, 1, []time.Duration{1500 * ms}, []time.Duration{1500 * ms, 5500 * ms}},
		"that can't be read soon":  {false, 1, []time.Duration{1500 * ms}, []time.Duration{5500 * ms}},
		"two, and one more":        {true, 1, []time.Duration{1 * time.Second, 1 * time.Second, 2 * time.Second}, []time.Duration{1 * time.Second, 1 * time.Second, 2 * time.Second, 5 * time.Second, 6 * time.Second}},
		"a series":                 {false, 1, []time.Duration{1 * time.Second, 2 * time.Second, 4500 * ms}, []time.Duration{5 * time.Second, 8500 * ms}},
		"one just before the turn": {true, 1, []time.Duration{19 * time.Second}, []time.Duration{19 * time.Second}},
		"more than the budget has": {true, 30, []time.Duration{1 * time.Second, 2 * time.Second}, []time.Duration{1 * time.Second, 3 * time.Second, 9 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := new(Schedule).Budget("acme", 0.2, Limit{Fixed: 25}).Every(20*time.Second, "o")
			tt.phase = uint64(epoch.UnixNano()) % uint64(20*time.Second)
			early, turns := polled(tt, 20*time.Second+1, c.soon, c.requests, c.rings...)
			if !slices.Equal(early, c.want) || !slices.Equal(turns, []time.Duration{20 * time.Second}) {
				t.Errorf("polls out of turn at %v, want %v; in turn at %v", early, c.want, turns)
			}
		})
	}
}

// A bell that rings all the time leaves what is learned, and when it is the object's turn, as they are.
func TestPollsOutOfTurnTeachNothing(t *testing.T) {
	t.Parallel()
	learn := func(rings bool) (Learned, []time.Duration) {
		tt := new(Schedule).Budget("acme", 0.2, Limit{Fixed: 25}).Auto("o", Learned{})
		defer tt.Leave()
		tt.changed = epoch
		var turns []time.Duration
		changes, read := 0, time.Duration(0)
		tt.Begin(epoch)
		for now := time.Duration(0); now < 30*time.Minute; now += 500 * ms {
			if now%(7*time.Second) == 0 {
				changes++
			}
			if rings {
				tt.Ring(epoch.Add(now), 4*time.Second, true)
			}
			if _, wait := tt.Wait(epoch.Add(now)); wait > 0 {
				continue
			}
			if !tt.Begin(epoch.Add(now)) {
				turns = append(turns, now)
			}
			whole := now.Truncate(time.Second) // polls end with a whole second
			tt.Note(false, changes, 1, whole-read)
			changes, read = 0, whole
		}
		return tt.Learned(epoch.Add(time.Hour)), turns
	}
	without, turns := learn(false)
	with, too := learn(true)
	if without != with || !slices.Equal(turns, too) || len(turns) < 60 {
		t.Errorf("learned %+v, with rings %+v; polled in turn at %v, with rings at %v", without, with, turns, too)
	}
}

func TestABellIsHeardOnceAndToldOfOnceABurst(t *testing.T) {
	t.Parallel()
	b, told := NewBell(), 0
	for i := range 100 {
		if b.Ring(epoch.Add(time.Duration(i) * time.Second)) {
			told++
		}
	}
	<-b.Rung()
	select {
	case <-b.Rung():
		t.Error("a second ring is heard")
	default:
	}
	if again := b.Ring(epoch.Add(10 * time.Minute)); told != 1 || !again {
		t.Errorf("of a burst %d rings are told of; of the next one the first is: %v", told, again)
	}
}
