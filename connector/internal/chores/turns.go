package chores

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Turns are what all streams of a worker take to begin, until what was there before is
// read, and to poll, so that work under way costs memory for some of them at a time: of
// twenty thousand that begin at once, each would hold a request that waits, and a deep stack.
// A turn that takes long, because Coupa does not answer, or because there are many rows,
// ends before its work does: who hangs holds up nobody for long.
type Turns struct{ begin, poll turns }

// InstanceTurns are what the streams of one instance take, of the worker's and of their own.
type InstanceTurns struct {
	worker             *Turns
	begin, poll, sweep turns
}

const (
	beginAtOnce = 1024            // streams of a worker
	beginOfOne  = 4               // streams of one instance
	beginAtMost = 5 * time.Second // of a turn
	// polls of a worker; and of one instance, which it has whatever others do
	pollsAtOnce = 1024
	pollsOfOne  = 2
	pollAtMost  = time.Minute // of a turn
	// look-backs and searches of one instance, which share a tenth of its rate
	sweepsOfOne  = 4
	sweepAtMost  = time.Minute     // of a turn
	sweepRetries = 5 * time.Second // how often a sweep that waits looks for a turn
)

// NewTurns makes those of a worker.
func NewTurns() *Turns {
	return &Turns{newTurns(beginAtOnce, beginAtMost), newTurns(pollsAtOnce, pollAtMost)}
}

// Instance makes those of one instance.
func (t *Turns) Instance() *InstanceTurns {
	return &InstanceTurns{t, newTurns(beginOfOne, beginAtMost), newTurns(pollsOfOne, pollAtMost), newTurns(sweepsOfOne, sweepAtMost)}
}

// Begin waits for a turn to begin a stream. The error is ctx's.
func (t *InstanceTurns) Begin(ctx context.Context) (done func(), err error) {
	own, err := t.begin.wait(ctx)
	if err != nil {
		return nil, err
	}
	shared, err := t.worker.begin.wait(ctx)
	if err != nil {
		own()
		return nil, err
	}
	return func() { shared(); own() }, nil
}

// Poll carries out a poll in its turn, on a goroutine of its own (see [Apart]). The
// error is that of the poll, or ctx's. Who waits is next among those of its instance.
func (t *InstanceTurns) Poll(ctx context.Context, poll func() error) error {
	done, ok := t.poll.try()
	if !ok {
		done, ok = t.worker.poll.try()
	}
	if !ok {
		var err error
		if done, err = t.poll.wait(ctx); err != nil {
			return err
		}
	}
	defer done()
	return Apart(poll)
}

// InTurn makes a chore of a sweep wait for its turn, without a goroutine.
func (t *InstanceTurns) InTurn(sweep func(context.Context) (time.Duration, error)) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		done, ok := t.sweep.try()
		if !ok {
			return sweepRetries, nil
		}
		defer done()
		return sweep(ctx)
	}
}

// turns lets some through at once, each for a time.
type turns struct {
	free   *semaphore.Weighted
	atMost time.Duration
}

func newTurns(atOnce int64, atMost time.Duration) turns {
	return turns{semaphore.NewWeighted(atOnce), atMost}
}

func (t turns) wait(ctx context.Context) (done func(), err error) {
	if err := t.free.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return t.taken(), nil
}

// try takes a turn if one is free.
func (t turns) try() (done func(), ok bool) {
	if !t.free.TryAcquire(1) {
		return nil, false
	}
	return t.taken(), true
}

func (t turns) taken() (done func()) {
	give := sync.OnceFunc(func() { t.free.Release(1) })
	early := time.AfterFunc(t.atMost, give)
	return func() {
		early.Stop()
		give()
	}
}
