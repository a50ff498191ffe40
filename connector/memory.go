package connector

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// memory is a budget of bytes. What is larger than all of it takes all of it.
type memory struct {
	free *semaphore.Weighted
	all  int64
}

func newMemory(bytes int64) *memory { return &memory{semaphore.NewWeighted(bytes), bytes} }

// acquire waits until there is room. An error is ctx's: nothing was taken.
func (m *memory) acquire(ctx context.Context, bytes int) error {
	return m.free.Acquire(ctx, min(int64(bytes), m.all))
}

// release gives back what acquire took.
func (m *memory) release(bytes int) { m.free.Release(min(int64(bytes), m.all)) }
