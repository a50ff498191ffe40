package status

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

func newTask() *Task { return NewTask(0, &config.Object{Path: "users"}, Running, nil, func() {}) }

// An object that was never read is behind from its start on, however often it is taken up, and one that was
// read from its mark on.
func TestFreshnessOfWhatWasNeverReadCountsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		task := newTask()
		began := time.Now().UTC()
		task.Take()
		time.Sleep(time.Minute)
		task.Take()
		if s := task.Status(); !s.Proven.Equal(began) {
			t.Errorf("proven until %v, want its start %v", s.Proven, began)
		}
		mark := began.Add(-time.Hour)
		task.Update(func(s *TaskStatus) { s.Committed.Mark = mark })
		task.Take()
		if s := task.Status(); !s.Proven.Equal(mark) {
			t.Errorf("proven until %v, want the mark %v", s.Proven, mark)
		}
	})
}

// After a restart a worker finds the schemas that are there already: none of them is a change.
func TestTheFirstSchemaOfASubjectIsNoChange(t *testing.T) {
	t.Parallel()
	task := newTask()
	for _, c := range []struct {
		subject string
		id      int
		want    int64
	}{
		{"coupa.users-value", 7, 0}, {"coupa.users-key", 1, 0}, {"coupa.users-value", 7, 0}, {"coupa.users-value", 8, 1}, {"coupa.users-lines-value", 3, 1}, {"coupa.users-value", 9, 2},
	} {
		task.Carries(c.subject, c.id)
		if n := task.Status().Schemas; n != c.want {
			t.Errorf("%d changes after %s %d, want %d", n, c.subject, c.id, c.want)
		}
	}
}

// What has just begun is drawn after seconds; then a point every half minute is enough for an hour.
func TestTheHistoryBeginsAtOnceAndTellsOfAllObjects(t *testing.T) {
	t.Parallel()
	behind, paused := newTask(), newTask()
	in := NewInstance(still{})
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	began := now
	behind.Update(func(s *TaskStatus) {
		s.Proven, s.Published, s.Lines, s.LatenessNow = now.Add(-time.Minute), 4, 3, time.Second
	})
	paused.Update(func(s *TaskStatus) { s.State, s.Proven = Paused, now.Add(-time.Hour) })
	for ; now.Sub(began) < 10*time.Minute; now = now.Add(10 * time.Second) {
		in.Note(now, []*Task{behind, paused})
	}
	all := in.Rate(now).History
	if len(all) < 2 || all[1].At.Sub(all[0].At) != 10*time.Second {
		t.Fatalf("%d points, want one at once and the second after 10 s", len(all))
	}
	if n := len(all); all[n-1].At.Sub(all[n-2].At) != 30*time.Second {
		t.Errorf("%v between the last points, want 30 s", all[n-1].At.Sub(all[n-2].At))
	}
	p := all[0]
	if !p.Proven.Equal(began.Add(-time.Minute)) || p.Published != 7 || p.Lateness != time.Second {
		t.Errorf("%+v, want what the running object is like", p)
	}
	if all[1].Lateness != 0 {
		t.Errorf("%v late at the second point, with no row since the first", all[1].Lateness)
	}
}

// still is an instance that nobody asks anything.
type still struct{}

func (still) Pace() coupa.LimiterStats               { return coupa.LimiterStats{} }
func (still) Token() coupa.TokenStats                { return coupa.TokenStats{} }
func (still) Answers(string) map[string]uint64       { return nil }
func (still) Underway(string) (coupa.Exchange, bool) { return coupa.Exchange{}, false }
func (still) Ahead() time.Duration                   { return 0 }
