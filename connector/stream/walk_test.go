package stream

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
)

func TestALookBackThatIsAlwaysDueLeavesRoomForTheDeeperOnes(t *testing.T) {
	every := []time.Duration{10 * time.Minute, 4 * time.Hour, 28 * time.Hour}
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	looked := make([]time.Time, 3)
	for i := range looked {
		looked[i] = now
	}
	runs := make([]int, 3)
	for range 2000 { // each takes 15 minutes
		i, wait := nextLookBack(every, looked, now)
		now = now.Add(wait)
		looked[i] = now
		runs[i]++
		now = now.Add(15 * time.Minute)
	}
	if runs[1] == 0 || runs[2] == 0 {
		t.Errorf("look-backs every %v were made %v times in 20 days", every, runs)
	}
}

// Each window begins an overlap before what was read, and ends settle.ms behind Coupa's clock.
func TestWindowsOverlapAndAreSettled(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 400_000_000, time.UTC)
	o := &config.Object{Settle: 3 * time.Second, Overlap: time.Minute}
	to := windowEnd(now, o)
	if want := time.Date(2026, 1, 31, 11, 59, 57, 0, time.UTC); !to.Equal(want) {
		t.Errorf("at %v windows end at %v, want %v", now, to, want)
	}
	mark, floor := to.Add(-10*time.Second), to.Add(-time.Hour)
	for name, w := range map[string]*checkpoint.Walk{
		"a poll":               nextPoll(mark, floor, to, 0, o.Overlap),
		"a poll that is ahead": nextPoll(mark, floor, to, reach(o), o.Overlap),
		"a walk by lines":      nextLines(mark, floor, to, o.Overlap),
		"a closing walk":       closing(checkpoint.Walk{To: mark}, floor, o.Overlap),
	} {
		if w == nil || !w.From.Equal(mark.Add(-time.Minute)) {
			t.Errorf("%s reads %+v, want from a minute before %v on", name, w, mark)
		}
	}
}

func TestAStampOfLinesInTheFutureGoesBack(t *testing.T) {
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	w := nextLines(now.Add(time.Hour), now.Add(-24*time.Hour), now, time.Minute)
	if w == nil || !w.From.Equal(now.Add(-time.Minute)) || !w.To.Equal(now) {
		t.Errorf("the walk is %+v, want the overlap behind the clock as it is", w)
	}
	if w := nextLines(now.Add(time.Second), now.Add(-24*time.Hour), now, time.Minute); w != nil {
		t.Errorf("the walk is %+v although no second has passed", w)
	}
}

// By a lower bound of Coupa's clock, which is up to a second behind it.
func TestAPollThatReadsAheadEndsBehindTheSecondThatRuns(t *testing.T) {
	second := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, settle := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond} {
		o := &config.Object{Settle: settle, Overlap: time.Minute}
		for at := time.Duration(0); at < time.Second; at += 100 * time.Millisecond {
			now := second.Add(at)
			to := windowEnd(now, o)
			w := nextPoll(to, second.Add(-time.Hour), to, reach(o), time.Minute)
			if w == nil || w.To.Before(second.Add(2*time.Second)) || w.To.After(second.Add(3*time.Second)) {
				t.Errorf("settle %v, %v: the window is %+v", settle, now, w)
			}
			if plain := nextPoll(to, second.Add(-time.Hour), to, 0, time.Minute); plain != nil {
				t.Errorf("settle %v, %v: a poll that stays behind reads %+v although no second has passed", settle, now, plain)
			}
		}
	}
}
