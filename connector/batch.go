package connector

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
)

// Bounds of one transaction. An open transaction holds back every
// read_committed consumer of its topics, so it stays short.
const (
	maxBatchRecords = 5000
	maxBatchBytes   = 4 << 20
)

// submission is a part of one stream's progress: records, what the ledger will know of them, and
// what changes of the stream's position once they are committed. It is committed whole or not at
// all. Submissions of a walk build on each other: when one fails, those behind it are dropped.
type submission struct {
	stream  checkpoint.Stream
	task    *task
	records []*kgo.Record
	rows    []version  // rows[i] is what records[i] was made of
	lines   []rowLines // of rows, where lines have topics of their own
	entries []checkpoint.Entry
	expired []checkpoint.ChunkKey
	// applied to the position behind the submissions before
	// it; may be called again after an aborted transaction
	move     func(*checkpoint.Position)
	backfill bool // a poll beside it may have published later versions of its rows
	// its rows, or their lines, are published once more: not
	// if a poll beside it has published them meanwhile
	repeats bool
	keep    time.Duration // retention of the stream's ledger
	bytes   int
	tally
	lineRecords []lineRecord // of lines, for the transaction at hand; see shard.resolveLines

	dead *atomic.Bool // set when an earlier submission of the same walk failed
	done func(error)  // called once, by the shard's goroutine: nil when committed
}

// gather collects submissions for one transaction, beginning with first: until the commit interval since
// then has passed, a bound is reached, or no poller of this shard is reading, so that nothing more can come.
func (s *shard) gather(ctx context.Context, first *submission) []*submission {
	s.receive(first)
	batch := []*submission{first}
	records, bytes := first.size(), first.bytes
	timer := time.NewTimer(s.settings.CommitInterval)
	defer timer.Stop()
	for records < maxBatchRecords && bytes < maxBatchBytes && s.reading.Load() > 0 {
		select {
		case sub := <-s.in:
			s.receive(sub)
			batch = append(batch, sub)
			records += sub.size()
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

// size is the most records that the submission takes.
func (sub *submission) size() int {
	n := len(sub.records)
	for _, l := range sub.lines {
		n += 1 + len(l.lines)
	}
	return n
}

// startReading and stopReading bracket the time in which a poller may
// submit. stopReading is called after the last submission was accepted.
func (s *shard) startReading() { s.reading.Add(1) }

func (s *shard) stopReading() {
	s.reading.Add(-1)
	select {
	case s.quiet <- struct{}{}:
	default: // one signal is enough: gather looks at the count
	}
}

// readsAgain tells whether rows are read beside the polls that
// these may publish later versions of: by a backfill or a snapshot.
func readsAgain(pos checkpoint.Position) bool {
	return pos.Backfill != nil || slices.ContainsFunc(pos.Requests, func(r checkpoint.Request) bool { return !r.Over() })
}

// receive keeps versions of an id in order while a backfill, or a snapshot that was asked
// for, runs beside the polls of its stream. What the polls hand over is noted; a row of
// the backfill of which a later version went ahead is taken out. Both in the order in
// which they reach the transaction: a page of the backfill may have been read long before.
func (s *shard) receive(sub *submission) {
	if !readsAgain(s.position(sub.stream)) {
		delete(s.ahead, sub.stream)
		return
	}
	ahead := s.ahead[sub.stream]
	if ahead == nil {
		ahead = map[int64]int64{}
		s.ahead[sub.stream] = ahead
	}
	if !sub.backfill {
		for _, r := range sub.rows {
			ahead[r.id] = max(ahead[r.id], r.updatedAt)
		}
		for _, l := range sub.lines {
			ahead[l.id] = max(ahead[l.id], l.updatedAt)
		}
		return
	}
	overtaken := func(id, updatedAt int64) bool {
		at, ok := ahead[id]
		return ok && (at > updatedAt || sub.repeats && at == updatedAt)
	}
	lines := slices.DeleteFunc(slices.Clone(sub.lines), func(l rowLines) bool { return overtaken(l.id, l.updatedAt) })
	if len(lines) == len(sub.lines) && !slices.ContainsFunc(sub.rows, func(r version) bool { return overtaken(r.id, r.updatedAt) }) {
		return
	}
	records, rows := sub.records[:0:0], sub.rows[:0:0]
	for i, r := range sub.rows {
		if !overtaken(r.id, r.updatedAt) {
			records, rows = append(records, sub.records[i]), append(rows, r)
		}
	}
	sub.task.update(func(t *TaskStatus) { t.Dropped += int64(max(len(sub.rows)-len(rows), len(sub.lines)-len(lines))) })
	sub.records, sub.rows, sub.lines = records, rows, lines
	sub.entries = slices.DeleteFunc(sub.entries, func(e checkpoint.Entry) bool { return overtaken(e.ID, e.UpdatedAt) })
}

// fold merges a batch into one commit per stream, in order
// of arrival. committed gives the position of a stream.
func fold(batch []*submission, committed func(checkpoint.Stream) checkpoint.Position) []checkpoint.Commit {
	at := make(map[checkpoint.Stream]int, len(batch))
	var commits []checkpoint.Commit
	for _, sub := range batch {
		i, ok := at[sub.stream]
		if !ok {
			i = len(commits)
			at[sub.stream] = i
			c := checkpoint.Commit{Stream: sub.stream, Retention: sub.keep, Position: committed(sub.stream).Clone()}
			c.Position.Seq++
			commits = append(commits, c)
		}
		c := &commits[i]
		sub.move(&c.Position)
		c.Entries = append(c.Entries, sub.entries...)
		c.Expired = append(c.Expired, sub.expired...)
	}
	return commits
}
