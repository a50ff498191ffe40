package stream

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

func TestPollsThatFindNothingAreBelievedForAWhile(t *testing.T) {
	type poll struct {
		after   time.Duration // the one before
		rows    int64
		missing bool
		ask     bool
	}
	for _, c := range []struct {
		name  string
		polls []poll
	}{
		{"a quiet object is asked about every ten minutes", []poll{{}, {after: 599 * time.Second}, {after: time.Second, ask: true}, {after: 9 * time.Minute}, {after: time.Minute, ask: true}}},
		{"rows that come are enough", []poll{{}, {after: 9 * time.Minute, rows: 1}, {after: 9 * time.Minute}, {after: time.Minute, ask: true}}},
		{"a row that should be found again is missed at once, then every minute",
			[]poll{{rows: 3}, {after: 30 * time.Second, missing: true, ask: true}, {after: 30 * time.Second, missing: true}, {after: 30 * time.Second, missing: true, ask: true}}},
	} {
		s, now := sight{}, time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
		for i, p := range c.polls {
			now = now.Add(p.after)
			if ask := s.note(now, p.rows, p.missing); ask != p.ask {
				t.Errorf("%s: poll %d: asked %v, want %v", c.name, i, ask, p.ask)
			}
		}
	}
}

func TestAWalksRowsAreEstimatedFromItsIDs(t *testing.T) {
	for _, c := range []struct {
		name  string
		rows  int64
		left  []checkpoint.Range
		maxID int64
		want  int64
	}{
		{"a fourth of the ids in one range that is open above", 250, []checkpoint.Range{{After: 500}}, 2000, 1000},
		{"two ranges, half of each", 100, []checkpoint.Range{{After: 500, Through: 1000}, {After: 1500}}, 2000, 200},
		{"it is drained", 321, nil, 2000, 321},
		{"ids came after the highest that was known", 40, []checkpoint.Range{{After: 2100}}, 2000, 40},
		{"nothing was read yet", 0, []checkpoint.Range{{}}, 2000, 0},
		{"the highest id is not known", 50, []checkpoint.Range{{After: 50}}, 0, 0},
	} {
		if got := estimate(c.rows, c.left, c.maxID); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
