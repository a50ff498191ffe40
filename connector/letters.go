package connector

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/replay"
	"github.com/coupastream/coupastream/connector/status"
)

// Dead letters that wait are counted every lettersEvery, for at most lettersTime.
const (
	lettersEvery = 2 * time.Minute
	lettersTime  = time.Minute
)

// countLetters counts, until ctx ends, the dead letters of connectors that this worker runs. Where that is
// not possible, for rights that it lacks or brokers that are away, nothing is told of them.
func (w *Worker) countLetters(ctx context.Context, admin *kadm.Client) {
	letters, failed := replay.NewLetters(w.settings.GroupID, admin, w.clientOpts()), false
	for clock.Sleep(ctx, lettersEvery) {
		var here []*config.Connector
		for _, m := range w.all() {
			if m.c != nil && w.owner(m).Local {
				here = append(here, m.c)
			}
		}
		counting, cancel := context.WithTimeout(ctx, lettersTime)
		counts, err := letters.Count(counting, here)
		cancel()
		if err != nil && !failed && ctx.Err() == nil {
			w.log.Warn("dead letters that wait can't be counted; it needs READ on their topics and DESCRIBE on the groups of replays, and is tried again", "error", err)
		}
		failed = err != nil
		w.tellLetters(counts)
	}
}

// tellLetters has tasks show what was counted of them, and the others nothing.
func (w *Worker) tellLetters(counts map[checkpoint.Stream]int64) {
	for _, m := range w.all() {
		if m.c == nil {
			continue
		}
		for i, o := range m.c.Objects {
			n, counted := counts[checkpoint.Stream{Tenant: m.c.Tenant, Object: o.Path}]
			if now := (status.Letters{Counted: counted, Waiting: n}); now != m.tasks[i].Status().Letters {
				m.tasks[i].Update(func(s *status.TaskStatus) { s.Letters = now })
			}
		}
	}
}
