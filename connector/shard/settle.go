package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// ends knows where transactions may be open yet that have ended: *txn.Ends.
type ends interface {
	Meet(ctx context.Context, topics iter.Seq[string], left map[txn.Partition]txn.Outcome) (held, refused []txn.Partition, err error)
	Await(ctx context.Context, records iter.Seq[*kgo.Record], waiting func(why string)) error
	Ended(outcome txn.Outcome, records iter.Seq[*kgo.Record])
}

// account keeps account of what a client's transactions leave open. The function that it gives ends that.
func (s *Shard) account(cl *txn.Client) (closed func()) {
	e := txn.NewEnds(cl, s.transactionalID(), s.log, s.GiveUp)
	s.ends = e
	return func() {
		for p, outcome := range e.Close() {
			if _, known := s.left[p]; !known || outcome != txn.Unknown {
				s.left[p] = outcome
			}
		}
	}
}

// settlePositions ends what Kafka has left open of the shard's last transaction in its partition of the
// checkpoint topic, to which nobody else writes: the commit of the fence record would be its commit, too.
// Positions whose transaction is not known to be committed are given up, so that its rows are read once
// more. Committed, they would pass over rows whose records may be aborted.
func (s *Shard) settlePositions(ctx context.Context, cl *txn.Client, before txn.Outcome) error {
	for p, outcome := range s.left {
		if outcome == txn.Unknown { // it was the last one
			s.left[p] = before
		}
	}
	if known := s.left[txn.Partition{Topic: s.Settings.CheckpointTopic, Partition: s.Partition}]; known != txn.Unknown {
		before = known
	}
	open, err := txn.OpenIn(ctx, cl.Client, s.Settings.CheckpointTopic, s.Partition)
	if err == nil {
		err = cl.Settle(ctx, s.transactionalID(), before == txn.Committed, open)
	}
	if err != nil {
		return fmt.Errorf("behind the fence of partition %d of %s: %w", s.Partition, s.Settings.CheckpointTopic, err)
	}
	return nil
}

// settleData does so in the topics of data, first of all in those that the restored streams write to. What
// is not known to be aborted is committed there: the next abort would take it away, and what the positions
// do not tell of goes out once more, behind it. Where it may not be asked, what this process knows is settled
// once, whether it is open or not.
func (s *Shard) settleData(ctx context.Context, cl *txn.Client) error {
	s.mu.Lock()
	topics := topicsOf(s.positions)
	s.mu.Unlock()
	for p := range s.left {
		if p.Topic != s.Settings.CheckpointTopic {
			topics = append(topics, p.Topic)
		}
	}
	held, refused, err := s.ends.Meet(ctx, slices.Values(topics), s.left)
	open := append(held, refused...)
	if err == nil {
		err = cl.SettleAs(ctx, s.transactionalID(), open, s.left)
	}
	if errors.Is(err, txn.ErrLeftOpen) {
		isAborted := func(p txn.Partition) bool { return s.left[p] == txn.Aborted }
		aborted := slices.ContainsFunc(open, isAborted) // those are first
		for _, p := range refused {
			if isAborted(p) == aborted {
				delete(s.left, p)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("in the topics of shard %d: %w", s.Partition, err)
	}
	clear(s.left) // what is asked yet is in the account
	return nil
}

// awaitClear returns when the partitions that a transaction writes to hold nothing that is open yet. Where
// that can't be told, it fails when a record that can't be written would.
func (s *Shard) awaitClear(ctx context.Context, batch []*Submission, marks []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, txn.ProduceTimeout)
	defer cancel()
	held, _, err := s.ends.Meet(ctx, func(yield func(string) bool) {
		for _, sub := range batch {
			for r := range sub.all() {
				if !yield(r.Topic) {
					return
				}
			}
		}
	}, nil)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("%w: in %v", txn.ErrLeftOpen, held)
	}
	if err != nil {
		return err
	}
	waited := ""
	err = s.ends.Await(ctx, all(batch, marks), func(why string) {
		waited = why
		s.explain(why)
	})
	if err == nil && waited != "" {
		s.explain("")
	}
	return err
}

// all are the records of a submission.
func (sub *Submission) all() iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for _, r := range sub.Records {
			if !yield(r) {
				return
			}
		}
		for _, r := range sub.lineRecords {
			if !yield(r.Record) {
				return
			}
		}
	}
}

// all are the records of a transaction.
func all(batch []*Submission, marks []*kgo.Record) iter.Seq[*kgo.Record] {
	return func(yield func(*kgo.Record) bool) {
		for _, sub := range batch {
			for r := range sub.all() {
				if !yield(r) {
					return
				}
			}
		}
		slices.Values(marks)(yield)
	}
}
