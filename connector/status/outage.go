package status

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// Outage says once that something is wrong, again at most every 30 s, and once that it is over.
type Outage struct {
	mu    sync.Mutex
	since time.Time
	said  time.Time
	tries int
}

// Report tells of an error, and after what time it is tried again.
func (o *Outage) Report(log *slog.Logger, err error, again time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.tries == 0 {
		o.since = now
	}
	o.tries++
	if o.said.IsZero() || now.Sub(o.said) >= 30*time.Second {
		o.said = now
		log.Warn("reading is held up; it goes on by itself", "error", err, "tries", o.tries, "again_in", again.Round(time.Millisecond))
	}
}

// Over tells that it goes on, if it did not.
func (o *Outage) Over(log *slog.Logger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.tries > 0 {
		log.Info("reading goes on", "after_tries", o.tries, "held_up", time.Since(o.since).Round(time.Second))
	}
	o.tries, o.said = 0, time.Time{}
}

// Complaint is what the log was last told of trouble that stops something. The zero value has told nothing.
type Complaint struct {
	what string
	said time.Time
}

// sayAgain is how long the log is not told of the same failure, be there good polls in between or not.
const sayAgain = 10 * time.Minute

// IsNews tells whether the log is to be told of an error, and takes it to be told then.
func (c *Complaint) IsNews(err error) bool {
	what := err.Error()
	if Passes(err) { // each answer of an incident is wrong in another way
		what = coupa.KindOf(err).String()
	}
	if what == c.what && time.Since(c.said) < sayAgain {
		return false
	}
	*c = Complaint{what, time.Now()}
	return true
}
