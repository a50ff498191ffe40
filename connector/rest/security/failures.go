package security

import (
	"net/netip"
	"sync"
	"time"
)

// Failures to log in that an address has at once, and the time after which it has one more.
const (
	failuresAtOnce  = 10
	failureRecovers = 5 * time.Second
	mostAddresses   = 10_000
)

// failures counts failed attempts by where they come from, in a bucket that leaks:
// a network of IPv6 is one, since somebody who has one address has all of it.
type failures struct {
	mu      sync.Mutex
	buckets map[netip.Prefix]*bucket
}

type bucket struct {
	level float64   // failures that count
	at    time.Time // when level was right
	told  time.Time // when the log last said so
}

func newFailures() *failures { return &failures{buckets: map[netip.Prefix]*bucket{}} }

// attempt counts a failure, before it is known to be one, so that many attempts side by side don't
// get through. If wait is not 0 the attempt may not be made. succeeded takes the failure back.
func (f *failures) attempt(remote string) (wait time.Duration, succeeded func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bucket(remote)
	if b.level > failuresAtOnce-1 {
		return time.Duration((b.level - (failuresAtOnce - 1)) * float64(failureRecovers)), nil
	}
	b.level++
	return 0, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		b.level = max(0, b.level-1)
	}
}

// shouldLog tells whether the log is to say that an address is turned away: once in a while.
func (f *failures) shouldLog(remote string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bucket(remote)
	if !b.told.IsZero() && time.Since(b.told) < time.Minute {
		return false
	}
	b.told = time.Now()
	return true
}

// bucket gives the bucket of an address, as it is now. Called with mu.
func (f *failures) bucket(remote string) *bucket {
	from, now := networkOf(remote), time.Now()
	b := f.buckets[from]
	if b == nil {
		if len(f.buckets) >= mostAddresses {
			f.forget(now)
		}
		b = &bucket{at: now}
		f.buckets[from] = b
	}
	b.level = max(0, b.level-float64(now.Sub(b.at))/float64(failureRecovers))
	b.at = now
	return b
}

// forget makes room: of the addresses that have nothing against them any
// more, or, where most have, of any half, so that it is seldom needed.
func (f *failures) forget(now time.Time) {
	for from, b := range f.buckets {
		if now.Sub(b.at) > failuresAtOnce*failureRecovers {
			delete(f.buckets, from)
		}
	}
	for from := range f.buckets {
		if len(f.buckets) <= mostAddresses/2 {
			return
		}
		delete(f.buckets, from)
	}
}

// networkOf is what stands for an address: itself, or its /64.
func networkOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits)
	return prefix
}
