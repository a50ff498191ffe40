package shard

import (
	"context"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
)

// Submission is a part of one stream's progress: records, what the ledger will know of them, and
// what changes of the stream's position once they are committed. It is committed whole or not at
// all. Submissions of a walk build on each other: when one fails, those behind it are dropped.
type Submission struct {
	Stream  checkpoint.Stream
	Task    *status.Task
	Records []*kgo.Record
	Rows    []record.Version  // rows[i] is what records[i] was made of
	Lines   []record.RowLines // of rows, where lines have topics of their own
	Entries []checkpoint.Entry
	Expired []checkpoint.ChunkKey
	// of rows that are to be marked as exported in Coupa now that they
	// are published, and of those that are marked as they were published
	Unmarked, Marked []record.Stamps
	// Gone are rows that Records and Lines say are gone, and Voided what the ledger had of
	// them; IDs is what changes of the sets of ids besides what follows from these and from Rows.
	Gone   []int64
	Voided []checkpoint.Entry
	IDs    []checkpoint.IDChange
	// applied to the position behind the submissions before
	// it; may be called again after an aborted transaction
	Move     func(*checkpoint.Position)
	Backfill bool // a poll beside it may have published later versions of its rows
	// its rows, or their lines, are published once more: not
	// if a poll beside it has published them meanwhile
	Repeats bool
	Keep    time.Duration // retention of the stream's ledger
	Bytes   int
	record.Tally
	lineRecords []lineRecord // of lines, for the transaction at hand; see Shard.resolveLines

	Dead *atomic.Bool // set when an earlier submission of the same walk failed
	Done func(error)  // called once, by the shard's goroutine: nil when committed
}

// gather collects submissions for one transaction, beginning with first: until the commit interval since
// then has passed, a bound is reached, or no poller of this shard is reading, so that nothing more can come.
func (s *Shard) gather(ctx context.Context, first *Submission) []*Submission {
	s.receive(first)
	batch := []*Submission{first}
	records, bytes := first.size(), first.Bytes
	timer := time.NewTimer(s.Settings.CommitInterval)
	defer timer.Stop()
	for records < s.bounds.records && bytes < s.bounds.bytes && s.reading.Load() > 0 {
		select {
		case sub := <-s.in:
			s.receive(sub)
			batch = append(batch, sub)
			records += sub.size()
			bytes += sub.Bytes
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
func (sub *Submission) size() int {
	n := len(sub.Records)
	for _, l := range sub.Lines {
		n += 1 + len(l.Lines)
	}
	return n
}

// StartReading and StopReading bracket the time in which a poller may
// submit. StopReading is called after the last submission was accepted.
func (s *Shard) StartReading() { s.reading.Add(1) }

// StopReading ends what StartReading began.
func (s *Shard) StopReading() {
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
func (s *Shard) receive(sub *Submission) {
	if !readsAgain(s.Position(sub.Stream)) {
		delete(s.ahead, sub.Stream)
		return
	}
	ahead := s.ahead[sub.Stream]
	if ahead == nil {
		ahead = map[int64]int64{}
		s.ahead[sub.Stream] = ahead
	}
	for _, id := range sub.Gone { // whatever was read of them before they were gone
		ahead[id] = math.MaxInt64
	}
	if !sub.Backfill {
		for _, r := range sub.Rows {
			ahead[r.ID] = max(ahead[r.ID], r.UpdatedAt)
		}
		for _, l := range sub.Lines {
			ahead[l.ID] = max(ahead[l.ID], l.UpdatedAt)
		}
		return
	}
	overtaken := func(id, updatedAt int64) bool {
		at, ok := ahead[id]
		return ok && (at > updatedAt || sub.Repeats && at == updatedAt)
	}
	lines := slices.DeleteFunc(slices.Clone(sub.Lines), func(l record.RowLines) bool { return overtaken(l.ID, l.UpdatedAt) })
	if len(lines) == len(sub.Lines) && !slices.ContainsFunc(sub.Rows, func(r record.Version) bool { return overtaken(r.ID, r.UpdatedAt) }) {
		return
	}
	records, rows := sub.Records[:0:0], sub.Rows[:0:0]
	for i, r := range sub.Rows {
		if !overtaken(r.ID, r.UpdatedAt) {
			records, rows = append(records, sub.Records[i]), append(rows, r)
		}
	}
	sub.Task.Update(func(t *status.TaskStatus) {
		t.Dropped += int64(max(len(sub.Rows)-len(rows), len(sub.Lines)-len(lines)))
	})
	sub.Records, sub.Rows, sub.Lines = records, rows, lines
	sub.Unmarked = slices.DeleteFunc(sub.Unmarked, func(u record.Stamps) bool { return overtaken(u.ID, u.UpdatedAt) })
	sub.Entries = slices.DeleteFunc(sub.Entries, func(e checkpoint.Entry) bool { return overtaken(e.ID, e.UpdatedAt) })
}

// fold merges a batch into one commit per stream, in order
// of arrival. committed gives the position of a stream.
func fold(batch []*Submission, committed func(checkpoint.Stream) checkpoint.Position) []checkpoint.Commit {
	at := make(map[checkpoint.Stream]int, len(batch))
	var commits []checkpoint.Commit
	for _, sub := range batch {
		i, ok := at[sub.Stream]
		if !ok {
			i = len(commits)
			at[sub.Stream] = i
			c := checkpoint.Commit{Stream: sub.Stream, Retention: sub.Keep, Position: committed(sub.Stream).Clone()}
			c.Position.Seq++
			commits = append(commits, c)
		}
		c := &commits[i]
		sub.Move(&c.Position)
		c.Entries = append(c.Entries, sub.Entries...)
		c.Expired = append(c.Expired, sub.Expired...)
		c.Voided = append(c.Voided, sub.Voided...)
		if c.IDs = append(c.IDs, sub.IDs...); c.Position.Sweep != nil {
			c.IDs = append(c.IDs, sub.idChanges(c.Position)...)
		}
	}
	return commits
}

// idChanges is what a submission changes of the sets of ids by what it publishes: dead letters are in no
// topic of the stream's.
func (sub *Submission) idChanges(at checkpoint.Position) []checkpoint.IDChange {
	if len(sub.Gone) > 0 {
		return []checkpoint.IDChange{
			{Set: checkpoint.Known, Remove: sub.Gone}, {Set: checkpoint.Missing, Remove: sub.Gone}, {Set: checkpoint.Gone, Add: sub.Gone},
		}
	}
	var ids []int64
	for i, r := range sub.Records {
		if at.Partitions(r.Topic) > 0 {
			ids = append(ids, sub.Rows[i].ID)
		}
	}
	for _, l := range sub.Lines {
		ids = append(ids, l.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	return []checkpoint.IDChange{{Set: checkpoint.Known, Add: ids}, {Set: checkpoint.Missing, Remove: ids}, {Set: checkpoint.Gone, Remove: ids}}
}
