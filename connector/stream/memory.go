package stream

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Memory is a budget of bytes. What is larger than all of it takes all of it.
type Memory struct {
	free *semaphore.Weighted
	all  int64
}

// NewMemory makes a budget of so many bytes.
func NewMemory(bytes int64) *Memory { return &Memory{semaphore.NewWeighted(bytes), bytes} }

// acquire waits until there is room. An error is ctx's: nothing was taken.
func (m *Memory) acquire(ctx context.Context, bytes int) error {
	return m.free.Acquire(ctx, min(int64(bytes), m.all))
}

// release gives back what acquire took.
func (m *Memory) release(bytes int) { m.free.Release(min(int64(bytes), m.all)) }
