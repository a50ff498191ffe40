package status

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

func TestTheConditionIsWhatAPersonHasToKnowFirst(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	well := facts{state: Running, began: ago(time.Hour), proved: ago(10 * time.Second), period: 30 * time.Second, took: time.Second}
	for _, c := range []struct {
		name string
		set  func(*facts)
		want Condition
	}{
		{"a poll found nothing new", func(*facts) {}, Idle},
		{"a poll published something", func(f *facts) { f.news = true }, Busy},
		{"nothing was polled yet", func(f *facts) { f.proved, f.began = time.Time{}, ago(time.Second) }, Idle},
		{"nothing was polled yet, but published", func(f *facts) { f.proved, f.began, f.news = time.Time{}, ago(time.Second), true }, Busy},
		{"the backfill runs", func(f *facts) { f.snapshot, f.news = true, true }, Backfilling},
		{"a poll is late, but not by much", func(f *facts) { f.proved = ago(122 * time.Second) }, Idle},
		{"no poll ended for much longer than polls take", func(f *facts) { f.proved = ago(123 * time.Second) }, Stuck},
		{"the same while a backfill reads on", func(f *facts) { f.proved, f.snapshot = ago(5*time.Minute), true }, Stuck},
		{"a long poll that reads on", func(f *facts) { f.proved, f.moved, f.news = ago(time.Hour), ago(time.Second), true }, Busy},
		{"polls that take long may be late for longer", func(f *facts) { f.proved, f.took = ago(10*time.Minute), 5*time.Minute }, Idle},
		{"nothing at all was proven since the start", func(f *facts) { f.proved = time.Time{} }, Stuck},
		{"Coupa slows the instance down", func(f *facts) { f.slowed, f.snapshot = true, true }, Throttled},
		{"it is stuck because Coupa slows it down", func(f *facts) { f.slowed, f.proved = true, ago(time.Hour) }, Throttled},
		{"the scope is missing", func(f *facts) { f.state, f.noScope = Failed, true }, Blind},
		{"rows have vanished, and polls go well", func(f *facts) { f.vanished = true }, Blind},
		{"it has failed for another reason", func(f *facts) { f.state = Failed }, Stuck},
		{"it has failed while Coupa was slow", func(f *facts) { f.state, f.slowed = Failed, true }, Stuck},
		{"a topic lacks rows, and polls go well", func(f *facts) { f.incomplete, f.news = true, true }, Incomplete},
		{"a sweep waits, and polls go well", func(f *facts) { f.waiting, f.news = true, true }, Waiting},
		{"a sweep waits, and a topic lacks rows", func(f *facts) { f.waiting, f.incomplete = true, true }, Incomplete},
		{"a topic lacks rows, which are being published", func(f *facts) { f.incomplete, f.snapshot = true, true }, Incomplete},
		{"a topic lacks rows, and nothing advances", func(f *facts) { f.incomplete, f.proved = true, ago(time.Hour) }, Stuck},
		{"rows can't be marked, and polls go well", func(f *facts) { f.unmarked, f.news, f.snapshot = true, true, true }, Unmarked},
		{"rows can't be marked, and nothing advances", func(f *facts) { f.unmarked, f.proved = true, ago(time.Hour) }, Stuck},
		{"a topic lacks rows, and some can't be marked", func(f *facts) { f.incomplete, f.unmarked = true, true }, Incomplete},
		{"it is paused", func(f *facts) { f.state, f.vanished = Paused, true }, ""},
		{"it is another worker's", func(f *facts) { f.state = Unassigned }, ""},
	} {
		f := well
		c.set(&f)
		if got := f.condition(now); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTheTimeLeftGoesByTheSpeedOfLate(t *testing.T) {
	var s Speed
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	if got := s.Left(100); got != 0 {
		t.Errorf("%v left before anything was read", got)
	}
	n := int64(0)
	for range 1000 { // 100 a second, for longer than is remembered
		now, n = now.Add(time.Second), n+100
		s.Note(now, n)
	}
	if got := s.Left(6000); got != time.Minute {
		t.Errorf("%v left for 6000 rows at 100 a second", got)
	}
	for range 1000 { // then 10 a second
		now, n = now.Add(time.Second), n+10
		s.Note(now, n)
	}
	if got := s.Left(6000); got != 10*time.Minute {
		t.Errorf("%v left for 6000 rows at 10 a second of late", got)
	}
	if len(s.points) > speedSteps {
		t.Errorf("%d points are kept", len(s.points))
	}
	s.Note(now.Add(time.Second), 5)
	if got := s.Left(6000); got != 0 {
		t.Errorf("%v left right after it began anew", got)
	}
}

func TestMeasuresAreOfTheLastMinuteAtMost(t *testing.T) {
	var m Measure
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	if r := m.Read(now); !math.IsNaN(r.Average) || !math.IsNaN(r.Highest) || r.Rate != 0 {
		t.Errorf("%+v of nothing", r)
	}
	m.Note(now, 10)
	m.Note(now, 20)
	if r := m.Read(now); r.Average != 15 || r.Highest != 20 || r.Rate != 1 {
		t.Errorf("%+v of 10 and 20, want 30 in 30 s", r)
	}
	now = now.Add(40 * time.Second)
	m.Note(now, -30)
	if r := m.Read(now); r.Average != 0 || r.Highest != 20 {
		t.Errorf("%+v with one more of the next sample", r)
	}
	now = now.Add(25 * time.Second)
	if r := m.Read(now); r.Average != -30 || r.Highest != -30 {
		t.Errorf("%+v when the first sample is over", r)
	}
	now = now.Add(time.Hour)
	if r := m.Read(now); !math.IsNaN(r.Average) {
		t.Errorf("%+v after an hour", r)
	}
}

func TestATroubleThatIsMetAgainIsOne(t *testing.T) {
	var kept []Trouble
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for i := range 2 * maxTroubles {
		at = at.Add(time.Second)
		kept = remember(kept, TroubleOf(fmt.Errorf("row %d: %w", i, errors.New("no")), at))
	}
	if len(kept) != maxTroubles || kept[0].Message != "row 19: no" || kept[maxTroubles-1].Message != "row 10: no" {
		t.Errorf("%d kept, from %v to %v; want the last ten, newest first", len(kept), kept[0], kept[len(kept)-1])
	}
	before := kept
	at = at.Add(time.Second)
	kept = remember(kept, TroubleOf(errors.New("row 15: no"), at))
	if len(kept) != maxTroubles || kept[0].Message != "row 15: no" || !kept[0].At.Equal(at) || before[0].Message != "row 19: no" {
		t.Errorf("%v; want row 15 in front with the newer time, and what was copied before as it was", kept)
	}
	scope := &coupa.Error{Op: "reading invoices", Kind: coupa.Scope, Status: 403, Hint: "grant core.invoice.read"}
	if tr := TroubleOf(fmt.Errorf("polling: %w", scope), at); tr.Remedy != "grant core.invoice.read" || tr.Message != "polling: reading invoices: 403 Forbidden" {
		t.Errorf("%+v; want the remedy apart from what happened", tr)
	}
}

func TestATokenThatCantBeRenewedIsNoTroubleWhileItLasts(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	refused := errors.New("refused")
	for _, c := range []struct {
		name    string
		stats   coupa.TokenStats
		trouble string
	}{
		{"none was asked for", coupa.TokenStats{}, ""},
		{"there is one", coupa.TokenStats{Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour)}, ""},
		{"there is none", coupa.TokenStats{Failed: refused}, "refused"},
		{"it lasts", coupa.TokenStats{Issued: now.Add(-time.Hour), Expires: now.Add(2 * time.Hour), Failed: refused}, ""},
		{"it is about to end", coupa.TokenStats{Issued: now.Add(-time.Hour), Expires: now.Add(time.Minute), Failed: refused}, "refused"},
	} {
		if got := tokenStatus(c.stats, now); got.Trouble != c.trouble {
			t.Errorf("%s: %q, want %q", c.name, got.Trouble, c.trouble)
		}
	}
}
