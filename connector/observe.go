package connector

import (
	"context"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// observeEvery is how often a worker looks at what its connectors are like.
const observeEvery = 10 * time.Second

// observe notes, until ctx ends, what can only be told from one time to the next: the
// pace of requests, how long tasks are in a state, and what others are to be told of.
func (w *Worker) observe(ctx context.Context) {
	n := newNotices(w)
	defer n.notifier.Close()
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { n.write(ctx) })
	w.noteHistory(time.Now())
	for clock.Sleep(ctx, observeEvery) {
		now := time.Now()
		w.noteHistory(now)
		for _, m := range w.all() {
			for _, t := range m.tasks {
				t.Sample(now)
			}
		}
		n.look(now)
		w.changes.tell() // what follows from the time
	}
}

// noteHistory notes what instances are like now.
func (w *Worker) noteHistory(now time.Time) {
	for _, m := range w.all() {
		if m.instance != nil { // else its configuration can't be used
			m.instance.Note(now, m.tasks)
		}
	}
}
