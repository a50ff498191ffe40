package stream

import (
	"testing"
	"time"
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
