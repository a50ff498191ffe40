package connector

import (
	"context"
	"slices"
	"time"
)

// observeEvery is how often a worker looks at what its connectors are like.
const observeEvery = 10 * time.Second

// observe notes, until ctx ends, what can only be told from one time to the next: the pace of requests, and how long tasks are in a state.
func (w *Worker) observe(ctx context.Context) {
	for sleep(ctx, observeEvery) {
		now := time.Now()
		for _, g := range w.groups {
			g.instance.note(now)
			for _, t := range g.tasks {
				t.sample(now)
			}
		}
	}
}

// isHere tells whether this worker runs the connector's tasks.
func (c ConnectorStatus) isHere() bool {
	return slices.ContainsFunc(c.Tasks, func(t TaskStatus) bool { return t.State == Running || t.State == Failed })
}
