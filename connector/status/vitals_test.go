package status

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/config"
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
