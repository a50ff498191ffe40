package stream

import (
	"log/slog"
	"sync"
	"time"
)

// trouble says once that something is wrong, again at most every 30 s, and once that it is over.
type trouble struct {
	mu    sync.Mutex
	since time.Time
	said  time.Time
	tries int
}

func (t *trouble) report(log *slog.Logger, err error, again time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.tries == 0 {
		t.since = now
	}
	t.tries++
	if t.said.IsZero() || now.Sub(t.said) >= 30*time.Second {
		t.said = now
		log.Warn("reading is held up; it goes on by itself", "error", err, "tries", t.tries, "again_in", again.Round(time.Millisecond))
	}
}

func (t *trouble) over(log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tries > 0 {
		log.Info("reading goes on", "after_tries", t.tries, "held_up", time.Since(t.since).Round(time.Second))
	}
	t.tries, t.said = 0, time.Time{}
}

// steppedOver says, once in a while, that of ids between two nothing was asked for.
func (p *Poller) steppedOver(after, through int64) {
	p.gaps.Do(func() {
		p.log.Warn("Coupa shows nothing of thousands of ids although there are higher ones; they are passed over in steps that grow, and what is hidden between rows there may be missed",
			"after_id", after, "through_id", through)
	})
}
