package shard

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Memory is a budget of bytes, one for all shards of a worker. Two take of it: encoded records that wait for
// their commit, and, through LargeRow, the buffer of the one row that is larger than 1 MiB while it is read.
//
// Nobody waits for ever. Encoded records wait for the shard alone, which commits without waiting for any
// fetch, so what they hold comes back whatever fetches wait for. The buffer comes back when its row was
// encoded and handed over, for which its own records need memory: neither may take more than half of the
// budget, so that the half which these need is free once others' records are committed. A fetch that waits
// for its turn to read a large row holds nothing of the budget but records that were handed over; and who
// has the turn does not read another large row meanwhile: within it, rows are asked for by their ids alone.
type Memory struct {
	free *semaphore.Weighted
	half int64

	mu  sync.Mutex
	row int64 // bytes of the large row's buffer; those above half are not counted
}

// NewMemory makes a budget of so many bytes.
func NewMemory(bytes int64) *Memory {
	return &Memory{free: semaphore.NewWeighted(bytes), half: bytes / 2}
}

// Acquire waits until there is room for encoded records. An error is ctx's: nothing was taken.
func (m *Memory) Acquire(ctx context.Context, bytes int) error {
	return m.free.Acquire(ctx, min(int64(bytes), m.half))
}

// Release gives back what Acquire took.
func (m *Memory) Release(bytes int) { m.free.Release(min(int64(bytes), m.half)) }

// LargeRow is the account of a row that is large while it is read.
func (m *Memory) LargeRow() LargeRow { return LargeRow{m} }

// LargeRow is what a row takes of a budget while it is read.
type LargeRow struct{ m *Memory }

// Acquire waits until there is room for so many bytes more.
func (l LargeRow) Acquire(ctx context.Context, bytes int64) error {
	more := l.resize(bytes)
	if err := l.m.free.Acquire(ctx, more); err != nil {
		l.resize(-bytes)
		return err
	}
	return nil
}

// Release gives so many bytes back.
func (l LargeRow) Release(bytes int64) { l.m.free.Release(-l.resize(-bytes)) }

// resize makes the row larger, or smaller, and returns by how much more of the budget it counts then.
func (l LargeRow) resize(by int64) (more int64) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	before := min(l.m.row, l.m.half)
	l.m.row += by
	return min(l.m.row, l.m.half) - before
}
