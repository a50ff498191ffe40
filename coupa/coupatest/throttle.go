package coupatest

import (
	"sync"
	"time"
)

// bucket is a leaky bucket: each request pours one in, rate of them drain each
// second, and a request that would make it overflow is refused.
type bucket struct {
	rate, burst float64 // rate < 0: no limit

	mu    sync.Mutex
	level float64
	at    time.Time
}

func (b *bucket) take() bool {
	if b.rate < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.level = max(0, b.level-now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.level+1 > max(b.burst, 1) {
		return false
	}
	b.level++
	return true
}
