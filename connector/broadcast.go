package connector

import (
	"context"
	"sync"
	"sync/atomic"
)

// broadcast tells any number of watchers that something has changed, and never waits for them.
type broadcast struct {
	n        atomic.Int32 // of watchers
	mu       sync.Mutex
	watchers map[chan struct{}]struct{}
}

func (b *broadcast) tell() {
	if b.n.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.watchers {
		select {
		case ch <- struct{}{}:
		default: // it has a signal that it has not looked at
		}
	}
}

// watch gives a channel with a signal after changes, several of them as one, until ctx ends.
func (b *broadcast) watch(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = map[chan struct{}]struct{}{}
	}
	b.watchers[ch] = struct{}{}
	b.n.Add(1)
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, ch)
		b.n.Add(-1)
	})
	return ch
}
