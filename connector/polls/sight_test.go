package polls

import (
	"testing"
	"time"
)

func TestPollsThatFindNothingAreBelievedForAWhile(t *testing.T) {
	type poll struct {
		after   time.Duration // the one before
		rows    int64
		missing bool
		ask     bool
		seen    bool // the answer is that there are rows
	}
	for _, c := range []struct {
		name  string
		polls []poll
	}{
		{"a quiet object is asked about every ten minutes", []poll{{}, {after: 599 * time.Second}, {after: time.Second, ask: true}, {after: 9 * time.Minute}, {after: time.Minute, ask: true}}},
		{"one that was seen to have rows is asked about ever more seldom, up to an hour", []poll{
			{}, {after: 10 * time.Minute, ask: true, seen: true}, {after: 19 * time.Minute}, {after: time.Minute, ask: true, seen: true}, {after: 40 * time.Minute, ask: true, seen: true},
			{after: time.Hour, ask: true, seen: true}, {after: time.Hour, ask: true, seen: true}, {rows: 1}, {after: 10 * time.Minute, ask: true},
		}},
		{"rows that come are enough", []poll{{}, {after: 9 * time.Minute, rows: 1}, {after: 9 * time.Minute}, {after: time.Minute, ask: true}}},
		{"a row that should be found again is missed at once, then every minute",
			[]poll{{rows: 3}, {after: 30 * time.Second, missing: true, ask: true}, {after: 30 * time.Second, missing: true}, {after: 30 * time.Second, missing: true, ask: true}}},
	} {
		s, now := Sight{}, time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
		for i, p := range c.polls {
			now = now.Add(p.after)
			if ask := s.Note(now, p.rows, p.missing); ask != p.ask {
				t.Errorf("%s: poll %d: asked %v, want %v", c.name, i, ask, p.ask)
			}
			if p.seen {
				s.Has(now)
			}
		}
	}
}
