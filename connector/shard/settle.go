package shard

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

// settlePositions ends what Kafka has left open of the shard's last transaction in its partition of the
// checkpoint topic, to which nobody else writes: the commit of the fence record would be its commit, too.
// Positions whose transaction is not known to be committed are given up, so that its rows are read once
// more. Committed, they would pass over rows whose records may be aborted.
func (s *Shard) settlePositions(ctx context.Context, cl *txn.Client, committed bool) error {
	open, err := txn.OpenIn(ctx, cl.Client, s.Settings.CheckpointTopic, s.Partition)
	if err == nil {
		err = cl.Settle(ctx, s.transactionalID(), kgo.TransactionEndTry(committed), open)
	}
	if err != nil {
		return fmt.Errorf("behind the fence of partition %d of %s: %w", s.Partition, s.Settings.CheckpointTopic, err)
	}
	return nil
}

// settleData does so in the topics that the restored streams write to, where all is committed: the next
// abort would take it away, and what the positions do not tell of goes out once more, behind it.
func (s *Shard) settleData(ctx context.Context, cl *txn.Client) error {
	s.mu.Lock()
	topics := topicsOf(s.positions)
	s.mu.Unlock()
	open, err := cl.HeldIn(ctx, topics...)
	if err != nil { // without the right to read a topic, or from brokers that do not tell: all is as it was
		s.log.Debug("whether Kafka has left transactions open is not told", "error", err)
	}
	if err := cl.Settle(ctx, s.transactionalID(), kgo.TryCommit, open); err != nil {
		return fmt.Errorf("in the topics of shard %d: %w", s.Partition, err)
	}
	return nil
}
