package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// ErrLeftOpen is of a transaction that was open in a partition while its coordinator held it for ended.
var ErrLeftOpen = errors.New("Kafka had left a transaction open that it holds for ended")

// Settle ends what of the client's transactional id is open in partitions, after the client has fenced. It
// gives nil if nothing is, and otherwise an error: ErrLeftOpen if it is ended now. The client is of no use
// any more then: the id's epoch is another one, so begin again with a new client.
//
// Behind a fence nothing of an id should be open. But Kafka 4.3 and 4.4 (KAFKA-20734) take a partition that
// has no leader at the moment, as while its broker restarts, for one that was deleted: they write no marker
// there and note the transaction as ended. Its records are held back then, and readers with them, until
// the id's next transaction in this partition ends both, in whichever way that one ends.
//
// If this is interrupted between its two requests, the next fence aborts what was open.
func (c *Client) Settle(ctx context.Context, id string, end kgo.TransactionEndTry, open kadm.TopicsSet) error {
	if len(open) == 0 {
		return nil
	}
	producer, epoch, err := c.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = id, producer, epoch
	for topic, partitions := range open {
		t := kmsg.NewAddPartitionsToTxnRequestTopic()
		t.Topic = topic
		for p := range partitions {
			t.Partitions = append(t.Partitions, p)
		}
		add.Topics = append(add.Topics, t)
	}
	// Brokers whose transaction.version is below 2 refuse EndTxn 5, which is for 2 alone. All take 4.
	cl, err := kgo.NewClient(append(c.Opts(), kgo.MaxVersions(kversion.V3_9_0()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	added, err := add.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
		for _, t := range added.Topics {
			for _, p := range t.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("taking hold of a transaction that was left open: %w", err)
	}
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = id, producer, epoch, bool(end)
	ended, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(ended.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("ending a transaction that was left open: %w", err)
	}
	return ErrLeftOpen
}

// SettleAs does so where each ended as left says: with a commit where it does not say. Where both are
// needed, the aborts come first, and the next client settles the rest.
func (c *Client) SettleAs(ctx context.Context, id string, held []Partition, left map[Partition]Outcome) error {
	commits, aborts := kadm.TopicsSet{}, kadm.TopicsSet{}
	for _, p := range held {
		if left[p] == Aborted {
			aborts.Add(p.Topic, p.Partition)
		} else {
			commits.Add(p.Topic, p.Partition)
		}
	}
	if err := c.Settle(ctx, id, kgo.TryAbort, aborts); err != nil {
		return err
	}
	return c.Settle(ctx, id, kgo.TryCommit, commits)
}

// Fence takes the client's transactional id: who had it can't commit any more. It gives how the transaction
// before ended, as far as that is known: where another fence came between, or it was open, nobody knows.
func (c *Client) Fence(ctx context.Context, id string) (Outcome, error) {
	described, err := kadm.NewClient(c.Client).DescribeTransactions(ctx, id)
	before := described[id]
	known := err == nil && before.Err == nil
	producer, epoch, err := c.ProducerID(ctx)
	if !known || producer != before.ProducerID || epoch != before.ProducerEpoch+1 {
		return Unknown, err
	}
	switch before.State {
	case "PrepareCommit", "CompleteCommit":
		return Committed, err
	case "PrepareAbort", "CompleteAbort":
		return Aborted, err
	}
	return Unknown, err
}

// OpenIn is the partition, if transactions are open in it, of whichever id.
func OpenIn(ctx context.Context, cl *kgo.Client, topic string, partition int32) (kadm.TopicsSet, error) {
	open, adm := kadm.TopicsSet{}, kadm.NewClient(cl)
	ends, err := adm.ListEndOffsets(ctx, topic) // first: what is decided after it counts as decided
	if err != nil {
		return nil, err
	}
	stable, err := adm.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	end, _ := ends.Lookup(topic, partition)
	decided, _ := stable.Lookup(topic, partition)
	if err := errors.Join(end.Err, decided.Err); err != nil {
		return nil, fmt.Errorf("asking where partition %d of topic %s ends: %w", partition, topic, err)
	}
	if decided.Offset < end.Offset {
		open.Add(topic, partition)
	}
	return open, nil
}
