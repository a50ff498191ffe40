// Package chores is what a stream does beside its polls, and whose turn it is to begin or to sweep.
package chores

import (
	"context"
	"sync"
	"time"
)

// List are the chores that an attempt does beside its polls, until one of them fails. One
// that waits for its time has no goroutine: a worker may have tens of thousands of streams,
// most of which wait, and the stacks of what waits would be most of what it keeps in memory.
type List struct {
	ctx  context.Context // ends with the first failure, which is its cause
	fail context.CancelCauseFunc

	mu    sync.Mutex // guards what follows, and that of each chore
	all   []*Chore
	ended bool
	wg    sync.WaitGroup // those that work; nothing is added once ended
}

// Chore is one of them. It is done by one goroutine at a time.
type Chore struct {
	of      *List
	timer   *time.Timer
	do      func(context.Context) (time.Duration, error)
	working bool
	again   bool // Soon was called while it worked
}

// Never is the wait of a chore that has nothing more to do, unless it is asked to.
const Never time.Duration = -1

func New(ctx context.Context) *List {
	c := new(List)
	c.ctx, c.fail = context.WithCancelCause(ctx)
	return c
}

// Context ends with the first failure, which is its cause.
func (c *List) Context() context.Context { return c.ctx }

// Add has do called after a time, and again after each time that it gives. An error ends all chores.
func (c *List) Add(first time.Duration, do func(context.Context) (again time.Duration, err error)) *Chore {
	one := &Chore{of: c, do: do}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.all = append(c.all, one)
		one.timer = time.AfterFunc(first, one.work)
	}
	return one
}

// Once has do called now, and no more.
func (c *List) Once(do func(context.Context) error) {
	c.Add(0, func(ctx context.Context) (time.Duration, error) { return Never, do(ctx) })
}

// Soon has the chore done now; if it is being done, once more.
func (c *Chore) Soon() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	switch {
	case c.of.ended:
	case c.working:
		c.again = true
	default:
		c.timer.Reset(0)
	}
}

// work is what the timer begins.
func (c *Chore) work() {
	if !c.enter() {
		return
	}
	defer c.of.wg.Done()
	wait, err := c.do(c.of.ctx)
	if err != nil {
		c.of.fail(err)
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.working = false
	if c.again {
		c.again, wait = false, 0
	}
	if wait >= 0 && !c.of.ended {
		c.timer.Reset(wait)
	}
}

func (c *Chore) enter() bool {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.ended || c.working {
		return false
	}
	c.working = true
	c.of.wg.Add(1)
	return true
}

// End ends them, for err if nothing failed before, waits for those that work, and gives the first failure.
func (c *List) End(err error) error {
	c.fail(err)
	c.mu.Lock()
	c.ended = true
	for _, one := range c.all {
		one.timer.Stop()
	}
	c.mu.Unlock()
	c.wg.Wait()
	return context.Cause(c.ctx)
}

// Apart does work on a goroutine of its own, which takes its stack along: that of one
// who waits most of the time is to stay small. The goroutine has ended when Apart returns.
func Apart(work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	return <-done
}
