package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
)

// Producer is the part of a transactional kgo.Client that a
// shard commits through. It has one user at a time.
type Producer interface {
	BeginTransaction() error
	// Produce buffers a record; promise is called once with
	// the outcome, on any goroutine, before Flush returns nil.
	Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error))
	Flush(ctx context.Context) error
	// EndTransaction commits or aborts. An error of a commit
	// leaves the outcome unknown, whatever a later abort says.
	EndTransaction(ctx context.Context, end kgo.TransactionEndTry) error
	// PurgeTopicsFromProducing forgets what the client knows of a topic: its id, its limit.
	PurgeTopicsFromProducing(topics ...string)
}

// markerGap is the pause between the end of a transaction and the first record of the
// next one. EndTxn answers before the commit markers are written; a produce that comes
// earlier makes the broker wait out its add.partitions.to.txn.retry.backoff.ms (20 ms).
const markerGap = 2 * time.Millisecond

// commit publishes a batch: steps 5 to 9. Streams whose records fail go no further and
// the others are committed without them. On return every submission was told its outcome,
// but for an error: then the caller gives up the shard and tells those that are left.
func (s *Shard) commit(ctx context.Context, batch []*Submission) error {
	for {
		batch = living(batch)
		if len(batch) == 0 {
			return nil
		}
		commits, err := s.commits(batch)
		if err != nil {
			release(batch, err)
			return err
		}
		failed, next, err := s.transact(ctx, batch, commits)
		if err != nil {
			release(batch, err)
			return err
		}
		switch len(failed) {
		case 0:
			return s.apply(batch, commits, next)
		case 1:
			batch = expel(batch, failed)
		default:
			return s.commitApart(ctx, batch, failed)
		}
	}
}

// commits makes one commit per stream of a batch, each going on with the ledger records that are
// still small: the topic stays near the size of the ledger however small the transactions are.
func (s *Shard) commits(batch []*Submission) ([]checkpoint.Commit, error) {
	commits := fold(batch, s.Position)
	for i, c := range commits {
		joined, err := s.store.Join(c)
		if err != nil {
			return nil, fmt.Errorf("reading the ledger of %v: %w", c.Stream, err)
		}
		commits[i] = joined
	}
	return commits, s.resolveLines(batch, commits)
}

// commitApart commits streams that failed together one by one, and before them
// the others together: the broker refuses whole batches, so that of several
// streams that write to one topic some may have failed for another one's record.
func (s *Shard) commitApart(ctx context.Context, batch []*Submission, failed map[checkpoint.Stream]error) error {
	groups := map[checkpoint.Stream][]*Submission{}
	var rest []*Submission
	for _, sub := range batch {
		if failed[sub.Stream] == nil {
			rest = append(rest, sub)
			continue
		}
		groups[sub.Stream] = append(groups[sub.Stream], sub)
	}
	err := s.commit(ctx, rest)
	for _, group := range groups {
		if err != nil {
			release(group, err)
			continue
		}
		err = s.commit(ctx, group)
	}
	return err
}

// transact runs steps 5 to 8. It returns the streams that spoilt the transaction, which is aborted
// then or was not begun, or the offset of the checkpoint partition behind the commit. An error: the
// producer can't go on, and if it is errUnknownOutcome, nobody knows whether the batch happened.
func (s *Shard) transact(ctx context.Context, batch []*Submission, commits []checkpoint.Commit) (failed map[checkpoint.Stream]error, next int64, err error) {
	var marks []*kgo.Record
	impossible := map[checkpoint.Stream]error{}
	for _, c := range commits {
		records, err := c.Records(s.Settings.CheckpointTopic, s.Partition)
		if err != nil { // of this stream alone: the others are not to stand still for it
			impossible[c.Stream] = fmt.Errorf("checkpoint of %v: %w", c.Stream, err)
		}
		marks = append(marks, records...)
	}
	if len(impossible) > 0 {
		return impossible, 0, nil
	}
	for _, sub := range batch {
		position := s.Position(sub.Stream)
		for r := range sub.all() {
			place(r, position)
		}
	}
	if err := s.awaitClear(ctx, batch, marks); err != nil {
		return nil, 0, err
	}
	if wait := markerGap - time.Since(s.ended); wait > 0 {
		time.Sleep(wait)
	}
	ctx, span := s.traceTransaction(ctx, batch)
	began, ended := time.Now(), txn.Unknown
	defer func() {
		s.ended = time.Now()
		s.ends.Ended(ended, all(batch, marks))
		s.Meter.Leave()
		err = s.lasted(openFor(began), batch, err)
		endSpan(span, err)
	}()

	// 5 begin: nothing has left this process yet.
	if err := s.begin(); err != nil {
		return nil, 0, fmt.Errorf("beginning a transaction: %w", err)
	}
	// 6 produce and 7 mark. A crash from here to 8 leaves an open
	// transaction, which a successor's InitProducerID aborts.
	t := outcome{failed: map[checkpoint.Stream]error{}}
	if err := failpoint.Before(failpoint.Produce); err != nil {
		return nil, 0, err
	}
	s.Meter.Begin(sizeOf(batch))
	for _, sub := range batch {
		promise := func(r *kgo.Record, err error) { t.data(sub, r, err) }
		for r := range sub.all() {
			s.producer.Produce(ctx, r, promise)
		}
	}
	if err := errors.Join(failpoint.After(failpoint.Produce), failpoint.Before(failpoint.Mark)); err != nil {
		return nil, 0, err
	}
	for _, r := range marks {
		s.producer.Produce(ctx, r, t.checkpoint)
	}
	if err := s.producer.Flush(ctx); err != nil {
		return nil, 0, fmt.Errorf("producing: %w", err)
	}
	if err := failpoint.After(failpoint.Mark); err != nil {
		return nil, 0, err
	}
	// Each promise is looked at before the commit: EndTransaction would
	// commit the rest without a word about a record that was refused.
	if fatal := t.fatal.err(); len(t.failed) > 0 || fatal != nil {
		if err := s.endTransaction(ctx, kgo.TryAbort); err != nil {
			t.fatal.add(err)
			return nil, 0, fmt.Errorf("aborting a transaction: %w", t.fatal.err())
		}
		ended = txn.Aborted
		if fatal != nil && len(t.failed) == 0 {
			return nil, 0, fmt.Errorf("producing: %w", fatal)
		}
		for _, sub := range batch {
			if t.failed[sub.Stream] != nil {
				s.producer.PurgeTopicsFromProducing(sub.topics()...)
			}
		}
		if t.gone != "" && s.isShared(t.gone) {
			return nil, 0, fmt.Errorf("topic %s is gone, and several streams write to it", t.gone)
		}
		return t.failed, 0, nil
	}
	// 8 commit: the truth. Before it, it never was; after it, it happened, whatever follows.
	if err := s.end(ctx); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errUnknownOutcome, err)
	}
	ended = txn.Committed
	return nil, t.next, nil
}

// lasted takes in how long a transaction was open, and gives the error that it ended with. A stale
// epoch after the time-out is Kafka's own doing: it ends such a transaction in the same way in which
// a successor would.
func (s *Shard) lasted(took time.Duration, batch []*Submission, err error) error {
	records, bytes := sizeOf(batch)
	if s.bounds.note(took, records, bytes) {
		s.log.Warn("a transaction took longer than half its time-out; smaller ones follow", "took", took.Round(time.Millisecond), "records", records, "bytes", bytes,
			"next_records", s.bounds.records, "next_bytes", s.bounds.bytes)
	}
	if took >= txn.Timeout && isStale(err) {
		return fmt.Errorf("%w of %v (transactional id %s, open for %v): %w", errTimedOut, txn.Timeout, s.transactionalID(), took.Round(time.Second), err)
	}
	return err
}

// place gives a record its partition: among as many as its topic had when the stream began with it, so that
// an id stays where it is. Dead letters go by key over what there is: their topic is in no position.
func place(r *kgo.Record, at checkpoint.Position) {
	r.Partition = txn.ByKey
	if n := at.Partitions(r.Topic); n > 0 {
		r.Partition = txn.PartitionOf(r, n)
	}
}

// isShared tells whether several of the shard's streams write to a topic. If such a topic is gone the shard
// is rebuilt: the client that was told to forget it takes the next topic of that name, and a stream that
// did not fail would go on there by the former one's number of partitions.
func (s *Shard) isShared(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	streams := 0
	for _, position := range s.positions {
		if position.Partitions(topic) > 0 {
			streams++
		}
	}
	return streams > 1
}

func (s *Shard) begin() error {
	if err := failpoint.Before(failpoint.Begin); err != nil {
		return err
	}
	return errors.Join(s.producer.BeginTransaction(), failpoint.After(failpoint.Begin))
}

func (s *Shard) end(ctx context.Context) error {
	if err := failpoint.Before(failpoint.Commit); err != nil {
		return err
	}
	return errors.Join(s.endTransaction(ctx, kgo.TryCommit), failpoint.After(failpoint.Commit))
}

func (s *Shard) endTransaction(ctx context.Context, end kgo.TransactionEndTry) error {
	err := s.producer.EndTransaction(ctx, end)
	if err == nil {
		s.Meter.Ended(end)
	}
	return err
}

// apply is step 9: the same commit goes into the local store, and the submissions learn of
// it. A failure here loses nothing, since the topic has it; the shard is rebuilt from there.
func (s *Shard) apply(batch []*Submission, commits []checkpoint.Commit, next int64) error {
	err := failpoint.Before(failpoint.Apply)
	noteWritten(batch, commits)
	if err == nil {
		err = errors.Join(s.store.Apply(commits, next), failpoint.After(failpoint.Apply))
	}
	s.mu.Lock()
	for _, c := range commits {
		s.positions[c.Stream] = c.Position
	}
	s.mu.Unlock()
	for _, sub := range batch {
		sub.Task.Committed(len(sub.Records), s.Meter.Took())
		s.tell(sub, s.Position(sub.Stream))
		sub.Done(nil)
	}
	if err != nil {
		return fmt.Errorf("the transaction is committed, but the local copy of its checkpoint could not be written: %w", err)
	}
	return nil
}

// outcome collects what became of the records of one transaction.
type outcome struct {
	mu     sync.Mutex
	failed map[checkpoint.Stream]error // streams whose records were refused
	fatal  tally                       // anything else
	gone   string                      // a topic that is not there any more
	next   int64
}

func (t *outcome) data(sub *Submission, r *kgo.Record, err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !record.Blames(err) {
		t.fatal.add(err)
		return
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		t.gone = r.Topic
	}
	if t.failed[sub.Stream] == nil {
		t.failed[sub.Stream] = &record.RowError{
			Object: sub.Stream.Object, ID: sub.rowOf(r),
			Err: record.Refused(r.Topic, len(r.Key)+len(r.Value), err),
		}
	}
}

func (t *outcome) checkpoint(r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.fatal.add(fmt.Errorf("checkpoint topic %s: %w", r.Topic, err))
		return
	}
	t.next = max(t.next, r.Offset+1)
}

// sizeOf is how many records a batch has, and the bytes of their keys and values.
func sizeOf(batch []*Submission) (records, bytes int) {
	for _, sub := range batch {
		records += len(sub.Records) + len(sub.lineRecords)
		for _, r := range sub.Records {
			bytes += len(r.Key) + len(r.Value)
		}
		for _, r := range sub.lineRecords {
			bytes += len(r.Key) + len(r.Value)
		}
	}
	return records, bytes
}

// topics are those of the records: the object's, its dead letters', its lines'.
func (sub *Submission) topics() []string {
	var names []string
	note := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, r := range sub.Records {
		note(r.Topic)
	}
	for _, r := range sub.lineRecords {
		note(r.Topic)
	}
	return names
}

// rowOf is the id of the row that a record was made of.
func (sub *Submission) rowOf(r *kgo.Record) int64 {
	for i := range sub.Records {
		if sub.Records[i] == r {
			return sub.Rows[i].ID
		}
	}
	for _, l := range sub.lineRecords {
		if l.Record == r {
			return l.row
		}
	}
	return 0
}

// living drops submissions that were built on one that failed.
func living(batch []*Submission) []*Submission {
	alive := batch[:0]
	for _, sub := range batch {
		if sub.Dead.Load() {
			sub.Done(ErrOvertaken)
			continue
		}
		alive = append(alive, sub)
	}
	return alive
}

// expel ends the submissions of streams that failed and returns the others.
func expel(batch []*Submission, failed map[checkpoint.Stream]error) []*Submission {
	rest := batch[:0]
	for _, sub := range batch {
		if err, ok := failed[sub.Stream]; ok {
			sub.Dead.Store(true)
			sub.Done(err)
			continue
		}
		rest = append(rest, sub)
	}
	return rest
}

// release tells submissions that their shard ends.
func release(batch []*Submission, err error) {
	for _, sub := range batch {
		sub.Dead.Store(true)
		sub.Done(fmt.Errorf("%w: %w", ErrReleased, err))
	}
}
