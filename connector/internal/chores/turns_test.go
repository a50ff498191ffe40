package chores

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What hangs at one instance takes all turns of the worker that there are; another instance has its own.
func TestPollsThatHangKeepNoOtherInstanceFromPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		all := NewTurns()
		hangs, works := all.Instance(), all.Instance()
		var under atomic.Int64
		for range pollsAtOnce + pollsOfOne + 10 {
			go func() {
				_ = hangs.Poll(ctx, func() error {
					under.Add(1)
					<-ctx.Done()
					return nil
				})
			}()
			synctest.Wait()
		}
		if under.Load() != pollsAtOnce+pollsOfOne {
			t.Errorf("%d polls of one instance are under way, want %d", under.Load(), pollsAtOnce+pollsOfOne)
		}
		began, polled := time.Now(), 0
		for range 10 {
			if err := works.Poll(ctx, func() error { polled++; return nil }); err != nil {
				t.Error(err)
			}
		}
		if polled != 10 || time.Since(began) > 0 {
			t.Errorf("%d polls in %v", polled, time.Since(began))
		}
		time.Sleep(pollAtMost + time.Second) // a turn ends, and the next in line have it
		synctest.Wait()
		if under.Load() != pollsAtOnce+2*pollsOfOne {
			t.Errorf("%d polls are under way after a minute", under.Load())
		}
		cancel()
		synctest.Wait()
	})
}
