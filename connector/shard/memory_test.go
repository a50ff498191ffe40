package shard

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A row that grows beyond the whole budget while others' records wait for their commit gets its turn, and so
// do its own records while its buffer is held, of whatever size: else both would wait for each other.
func TestARowThatIsLargerThanTheBudgetNeverWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(16 << 20)
		row, held := m.LargeRow(), int64(0)
		for want := int64(2 << 20); want <= 64<<20; want *= 2 {
			if err := m.Acquire(t.Context(), 6<<20); err != nil { // of another stream
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { m.Release(6 << 20) }) // committed
			if err := row.Acquire(t.Context(), want-held); err != nil {
				t.Fatalf("for %d bytes: %v", want, err)
			}
			held = want
		}
		began := time.Now()
		for _, size := range []int{1 << 20, 8 << 20, 200 << 20} {
			if err := m.Acquire(t.Context(), size); err != nil {
				t.Fatal(err)
			}
			m.Release(size)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("its own records waited for %v", took)
		}
		row.Release(held)
		if !m.free.TryAcquire(16 << 20) {
			t.Error("not all came back")
		}
	})
}

func TestALargeRowWaitsForMemoryThatRecordsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(16 << 20)
		for range 2 { // records of two large rows, until they are committed
			if err := m.Acquire(t.Context(), 9<<20); err != nil {
				t.Fatal(err)
			}
		}
		row := m.LargeRow()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := row.Acquire(ctx, 2<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with no memory left: %v", err)
		}
		m.Release(9 << 20)
		if err := row.Acquire(t.Context(), 2<<20); err != nil {
			t.Error(err)
		}
		row.Release(2 << 20)
		m.Release(9 << 20)
		if !m.free.TryAcquire(16 << 20) {
			t.Error("not all came back")
		}
	})
}
