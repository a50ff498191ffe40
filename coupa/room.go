package coupa

import (
	"context"
	"sync"
)

const (
	firstBuffer = 64 << 10
	keptBuffer  = 1 << 20 // what is larger is asked for, and left to the garbage collector
	// defaultRowBytes is how long a row may be where the configuration does not say.
	defaultRowBytes = 64 << 20
	// mostBlanks is how much white space may stand between two rows, or before the first.
	mostBlanks = 1 << 20
)

// Memory is an account of memory that several users share.
type Memory interface {
	// Acquire returns when bytes more may be used. An error means that they may not, and that ctx has ended.
	Acquire(ctx context.Context, bytes int64) error
	// Release gives back what was acquired, all at once or in parts.
	Release(bytes int64)
}

// LargeRows lets one row at a time outgrow 1 MiB, so that rows without an end cost a process the memory
// of one of them. All clients of a process share it. Safe for concurrent use; it needs no closing.
//
// A buffer is held until the rows that are in it were yielded, so a yield must not wait for a part
// of the account's memory that is only free when the buffer is given back.
type LargeRows struct {
	memory Memory
	turn   chan struct{} // holds one value while some row is large
	small  sync.Pool     // of buffers up to keptBuffer, of all clients: each is in use for a moment
}

// NewLargeRows returns one that counts buffers above 1 MiB in memory; nil: they are not counted.
func NewLargeRows(memory Memory) *LargeRows {
	if memory == nil {
		memory = unlimited{}
	}
	return &LargeRows{memory: memory, turn: make(chan struct{}, 1)}
}

// unlimited is the account of nobody.
type unlimited struct{}

func (unlimited) Acquire(ctx context.Context, _ int64) error { return ctx.Err() }
func (unlimited) Release(int64)                              {}

// grow exchanges a buffer of had bytes, 0 for none of this account, for one of want bytes.
func (l *LargeRows) grow(ctx context.Context, had, want int64) error {
	if had == 0 {
		select {
		case l.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// The former one is in use until it was copied, but waiting for both at once could wait for ever.
	err := l.memory.Acquire(ctx, want-had)
	if err != nil && had == 0 {
		<-l.turn
	}
	return err
}

// shrink ends what grow began.
func (l *LargeRows) shrink(had int64) {
	if had > 0 {
		l.memory.Release(had)
		<-l.turn
	}
}

// room is what the bodies of a client are read into.
type room struct {
	large *LargeRows
}

// buffer returns a small buffer.
func (r *room) buffer() []byte {
	if b, ok := r.large.small.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, firstBuffer)
}

// keep takes a buffer back, for the next body.
func (r *room) keep(buf []byte) {
	if len(buf) <= keptBuffer {
		r.large.small.Put(&buf)
	}
}
