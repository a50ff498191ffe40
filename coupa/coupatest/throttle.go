package coupatest

import (
	"sync"
	"time"
)

// bucket is a leaky bucket: each request pours one in, rate of them drain each
// second, and a request that would make it overflow is refused. What is in it has passed, or waits to drain.
type bucket struct {
	rate, burst float64 // rate < 0: no limit
	waits       bool

	mu    sync.Mutex
	level float64
	at    time.Time
}

// take pours a request in: how long it is to wait; false: it is refused.
func (b *bucket) take() (time.Duration, bool) {
	if b.rate < 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.level = max(0, b.level-now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.level+1 > max(b.burst, 1) {
		return 0, false
	}
	b.level++
	if b.waits {
		return time.Duration((b.level - 1) / b.rate * float64(time.Second)), true
	}
	return 0, true
}
