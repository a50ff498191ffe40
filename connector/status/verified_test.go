package status

import (
	"testing"
	"time"
)

func TestWhatIsProvenGoesOnWhileComparisonsMeetAndFindNothing(t *testing.T) {
	day := func(n int) time.Time {
		if n == 0 {
			return time.Time{}
		}
		return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)
	}
	for _, c := range []struct {
		what               string
		from, until        int // proven before, as days; 0: the beginning, or nothing
		since, to          int
		differs            bool
		wantFrom, wantThen int
	}{
		{"the first one, of all", 0, 0, 0, 9, false, 0, 9},
		{"the first one, of some days", 0, 0, 2, 9, false, 2, 9},
		{"one that meets what is proven from the beginning", 0, 7, 5, 12, false, 0, 12},
		{"one that just meets it", 3, 7, 7, 12, false, 3, 12},
		{"one that leaves a gap", 3, 7, 8, 12, false, 8, 12},
		{"one of all after one of some days", 3, 7, 0, 12, false, 0, 12},
		{"one of what is proven", 3, 7, 4, 6, false, 3, 7},
		{"one that differs", 0, 7, 5, 12, true, 0, 0},
		{"the next after one that differed", 0, 0, 6, 13, false, 6, 13},
	} {
		v := Verified{Since: day(c.since), Until: day(c.to)}
		if c.differs {
			v.Found = map[string]int64{"stale": 1, "extra": 2}
		}
		got := v.Following(Verified{ProvenFrom: day(c.from), ProvenUntil: day(c.until)})
		if !got.ProvenFrom.Equal(day(c.wantFrom)) || !got.ProvenUntil.Equal(day(c.wantThen)) || c.differs && got.Differences() != 3 {
			t.Errorf("%s: proven from %v until %v, want from day %d until %d", c.what, got.ProvenFrom, got.ProvenUntil, c.wantFrom, c.wantThen)
		}
	}
}
