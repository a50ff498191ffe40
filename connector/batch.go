package connector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
)

// Bounds of one transaction. An open transaction holds back every read_committed consumer of its topics, so it stays short.
const (
	maxBatchRecords = 5000
	maxBatchBytes   = 4 << 20
)

// submission is a part of one stream's progress: records, what the ledger will know of them, and the position that holds once they are
// committed. It is committed whole or not at all. Submissions of a stream build on each other: when one fails, those behind it are dropped.
type submission struct {
	stream   checkpoint.Stream
	task     *task
	records  []*kgo.Record
	ids      []int64
	entries  []checkpoint.Entry
	expired  []checkpoint.ChunkKey
	position checkpoint.Position // Seq is given at the commit
	keep     time.Duration       // retention of the stream's ledger
	bytes    int
	dead     *atomic.Bool // set when an earlier submission of the same pass failed
	done     func(error)  // called once, by the shard's goroutine: nil when committed
}

// gather collects submissions for one transaction, beginning with first: until the commit interval since then has passed, a bound is reached, or no
// poller of this shard is reading, so that nothing more can come.
func (s *shard) gather(ctx context.Context, first *submission) []*submission {
	batch := []*submission{first}
	records, bytes := len(first.records), first.bytes
	timer := time.NewTimer(s.w.settings.CommitInterval)
	defer timer.Stop()
	for records < maxBatchRecords && bytes < maxBatchBytes && s.reading.Load() > 0 {
		select {
		case sub := <-s.in:
			batch = append(batch, sub)
			records += len(sub.records)
			bytes += sub.bytes
		case <-s.quiet: // a poller has handed over all it had: look again whether anybody still reads
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// startReading and stopReading bracket the time in which a poller may submit. stopReading is called after the last submission was accepted.
func (s *shard) startReading() { s.reading.Add(1) }

func (s *shard) stopReading() {
	s.reading.Add(-1)
	select {
	case s.quiet <- struct{}{}:
	default: // one signal is enough: gather looks at the count
	}
}

// fold merges a batch into one commit per stream, in order of arrival. seq gives the last committed sequence number of a stream.
func fold(batch []*submission, seq func(checkpoint.Stream) uint64) []checkpoint.Commit {
	at := make(map[checkpoint.Stream]int, len(batch))
	var commits []checkpoint.Commit
	for _, sub := range batch {
		i, ok := at[sub.stream]
		if !ok {
			i = len(commits)
			at[sub.stream] = i
			commits = append(commits, checkpoint.Commit{Stream: sub.stream, Retention: sub.keep})
		}
		c := &commits[i]
		c.Position = sub.position
		c.Position.Seq = seq(sub.stream) + 1
		c.Entries = append(c.Entries, sub.entries...)
		c.Expired = append(c.Expired, sub.expired...)
	}
	return commits
}
