package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// Polls go to the object that changes, what was learned outlives the worker,
// and both objects rest when nothing changes.
func TestPollsAreWhereChangesAre(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 77, Rows: 60, Objects: []string{"users", "departments"}}, func(h *harness) {
		h.keys["poll.interval.ms"], h.keys["coupa.rate.limit"] = "auto", "2"
		h.start()
		h.settle()
		rows := h.tenant.Rows("users")
		change := func(d time.Duration) {
			for n := range d / (5 * time.Second) {
				h.tenant.Update("users", rows[int(n)%len(rows)].ID)
				h.pass(5 * time.Second)
			}
		}
		expect := func(when, object string, least, most time.Duration) {
			t.Helper()
			if got := h.condition(object).Interval; got < least || got > most {
				t.Errorf("%s %s are polled every %v, want %v to %v", when, object, got, least, most)
			}
		}
		learned := func() checkpoint.Learned { return h.condition("users").Committed.Learned }
		expect("at first", "users", 15*time.Second, 25*time.Second)
		change(5 * time.Minute)
		if got := learned(); got != (checkpoint.Learned{}) {
			t.Errorf("%v stands in the position before ten minutes are over", got)
		}
		change(10 * time.Minute)
		expect("while they change", "users", 2*time.Second, 8*time.Second)
		expect("while users change", "departments", 20*time.Second, time.Minute)
		if got := learned(); got.Rows < 0.08 || got.Rows > 0.3 || got.Rate != 0 {
			t.Errorf("%v is learned of a change in five seconds", got)
		}
		h.stop()
		h.start()
		h.pass(time.Minute)
		expect("after a restart", "users", 2*time.Second, 15*time.Second)
		h.pass(55 * time.Minute)
		expect("after 55 minutes of silence", "users", time.Minute, time.Minute)
		h.tenant.Update("users", rows[0].ID)
		h.pass(time.Minute)
		expect("behind the next change", "users", 2*time.Second, 20*time.Second)
		if n := len(h.condition("users").Notices); n > 0 {
			t.Errorf("%d notices", n)
		}
		h.check("users")
	})
}

// Where a minute for each object is more than the budget allows, that wins, and health says so.
func TestABudgetThatIsTooSmallIsTold(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 78, Rows: 60, Objects: []string{"users", "departments"}}, func(h *harness) {
		h.keys["poll.interval.ms"], h.keys["coupa.rate.limit"], h.keys["poll.rate.share"] = "auto", "2", "0.005"
		h.start()
		h.pass(10 * time.Minute)
		s := h.condition("users")
		if s.Interval < 180*time.Second || s.Interval > 250*time.Second || len(s.Notices) != 1 || !strings.Contains(s.Notices[0].Message, "polled every 3m") ||
			!strings.Contains(s.Notices[0].Remedy, "poll.rate.share") {
			t.Errorf("polled every %v, with notices %v", s.Interval, s.Notices)
		}
	})
}
