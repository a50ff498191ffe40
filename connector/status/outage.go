package status

import (
	"log/slog"
	"sync"
	"time"
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
