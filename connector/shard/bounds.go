package shard

import (
	"time"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// Bounds of one transaction. An open transaction holds back every
// read_committed consumer of its topics, so it stays short.
const (
	MaxBatchRecords = 5000
	maxBatchBytes   = 4 << 20
	// Transactions that shrink do not become smaller than this:
	// about a page of rows, which is committed whole.
	minBatchRecords = 20
	minBatchBytes   = 16 << 10
)

// bounds are how much is gathered for one transaction: less where Kafka takes what a full
// one holds more slowly than a transaction may last, as under a quota or over a slow line.
type bounds struct{ records, bytes int }

func fullBounds() bounds { return bounds{MaxBatchRecords, maxBatchBytes} }

// note takes in a transaction, whatever became of it: one that was open for longer than half its time-out
// halves the bounds, and one that filled them and was quick doubles them. It reports whether they shrank.
func (b *bounds) note(took time.Duration, records, bytes int) (shrank bool) {
	switch {
	case records == 0: // positions alone: nothing to make smaller
	case took > txn.Timeout/2:
		before := *b
		b.records = max(min(b.records, records)/2, minBatchRecords)
		b.bytes = max(min(b.bytes, bytes)/2, minBatchBytes)
		return *b != before
	case took < txn.Timeout/8 && (2*records >= b.records || 2*bytes >= b.bytes):
		b.records, b.bytes = min(2*b.records, MaxBatchRecords), min(2*b.bytes, maxBatchBytes)
	}
	return false
}

// openFor is how long a transaction has been open that began at a time, by the clock that
// tells more: the monotonic one stands while the machine is suspended, and Kafka's does not.
func openFor(began time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(began), now.Round(0).Sub(began.Round(0)))
}
