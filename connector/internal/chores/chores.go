// Package chores is what a stream does beside its polls, and whose turn it is to begin, to poll or to sweep.
package chores

import (
	"context"
	"sync"
	"time"
)

// List are the chores that an attempt does beside its polls, until one of them fails. One that waits for
// its time has no goroutine, and all of a list have one timer: a worker may have tens of thousands of
// streams, most of which wait, and what waits would be most of what it keeps in memory.
type List struct {
	ctx  context.Context // ends with the first failure, which is its cause
	fail context.CancelCauseFunc

	mu    sync.Mutex  // guards what follows, and that of each chore
	timer *time.Timer // runs wake when the first of all is due; nil: none was added
	all   []*Chore
	ended bool
	wg    sync.WaitGroup // those that work; nothing is added once ended
}

// Chore is one of them. It is done by one goroutine at a time.
type Chore struct {
	of      *List
	do      func(context.Context) (time.Duration, error)
	due     time.Time // zero: it has nothing more to do, or is being done
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
		one.wait(first)
	}
	return one
}

// Once has do called now, and no more.
func (c *List) Once(do func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.wg.Go(func() {
		if err := do(c.ctx); err != nil {
			c.fail(err)
		}
	})
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
		c.wait(0)
	}
}

// wait has the chore done after a time. The lock is held.
func (c *Chore) wait(d time.Duration) {
	c.due = time.Now().Add(d)
	c.of.arm()
}

// arm sets the timer to when the first chore is due. The lock is held.
func (c *List) arm() {
	var first time.Time
	for _, one := range c.all {
		if !one.due.IsZero() && (first.IsZero() || one.due.Before(first)) {
			first = one.due
		}
	}
	switch d := time.Until(first); {
	case first.IsZero():
	case c.timer == nil:
		c.timer = time.AfterFunc(d, c.wake)
	default:
		c.timer.Reset(d)
	}
}

// wake begins what is due. A timer that was set anew meanwhile does no harm.
func (c *List) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	for _, one := range c.all {
		if !one.due.IsZero() && !one.due.After(time.Now()) {
			one.due, one.working = time.Time{}, true
			c.wg.Go(one.work)
		}
	}
	c.arm()
}

func (c *Chore) work() {
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
		c.wait(wait)
	}
}

// End ends them, for err if nothing failed before, waits for those that work, and gives the first failure.
func (c *List) End(err error) error {
	c.fail(err)
	c.mu.Lock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
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
