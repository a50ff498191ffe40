package chores

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestAChoreIsDoneAfterEachOfItsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := New(t.Context()), time.Now()
		var at []time.Duration
		c.Add(time.Hour, func(context.Context) (time.Duration, error) {
			at = append(at, time.Since(began))
			return time.Duration(len(at)) * time.Minute, nil
		})
		time.Sleep(time.Hour + 4*time.Minute)
		synctest.Wait()
		if want := []time.Duration{time.Hour, time.Hour + time.Minute, time.Hour + 3*time.Minute}; len(at) != 3 || at[0] != want[0] || at[1] != want[1] || at[2] != want[2] {
			t.Errorf("done at %v, want %v", at, want)
		}
		if err := c.End(errors.New("over")); err == nil || err.Error() != "over" {
			t.Errorf("ended with %v", err)
		}
		time.Sleep(time.Hour)
		if len(at) != 3 {
			t.Error("done after the end")
		}
	})
}

func TestAChoreThatIsAskedForWhileItWorksIsDoneOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, done, underWay := New(t.Context()), 0, 0
		one := c.Add(0, func(context.Context) (time.Duration, error) {
			if underWay++; underWay > 1 {
				t.Error("done twice at once")
			}
			time.Sleep(time.Second)
			underWay--
			done++
			return Never, nil
		})
		time.Sleep(time.Millisecond)
		one.Soon()
		one.Soon()
		time.Sleep(time.Minute)
		synctest.Wait()
		if done != 2 {
			t.Errorf("done %d times, want 2", done)
		}
		one.Soon()
		time.Sleep(time.Minute)
		synctest.Wait()
		if done != 3 {
			t.Errorf("done %d times, want 3", done)
		}
		_ = c.End(context.Canceled)
		one.Soon()
		time.Sleep(time.Minute)
		synctest.Wait()
		if done != 3 {
			t.Error("done after the end")
		}
	})
}

func TestTheFirstChoreThatFailsEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, failure := New(t.Context()), errors.New("broken")
		ended := false
		c.Once(func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second) // what it takes to stop
			ended = true
			return errors.New("stopped")
		})
		c.Add(time.Minute, func(context.Context) (time.Duration, error) { return 0, failure })
		<-c.ctx.Done()
		if err := c.End(c.ctx.Err()); err != failure {
			t.Errorf("%v, want %v", err, failure)
		}
		if !ended {
			t.Error("it did not wait for what worked still")
		}
	})
}

func TestWhatWaitsHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		c := New(t.Context())
		for range 100 {
			c.Add(0, func(context.Context) (time.Duration, error) { return time.Hour, nil })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if more := runtime.NumGoroutine() - before; more > 50 {
			t.Errorf("%d goroutines for 100 chores that wait", more)
		}
		_ = c.End(context.Canceled)
	})
}

func TestATurnThatTakesLongEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := NewTurns().Instance()
		began := time.Now()
		var hang []func()
		for range 2 * beginOfOne { // the second half waits for the first
			done, err := one.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			hang = append(hang, done)
		}
		if took := time.Since(began); took != beginAtMost {
			t.Errorf("those behind four that hang waited %v, want %v", took, beginAtMost)
		}
		for _, done := range hang {
			done()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range beginOfOne {
			done, err := one.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
		}
		cancel()
		if _, err := one.Begin(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait that was ended gives %v", err)
		}
	})
}
