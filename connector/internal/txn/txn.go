// Package txn gives transactional Kafka clients whose commits are commits.
package txn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Client is a transactional kgo.Client, for one transaction at a time. After an
// error that ends its transactional id it is of no use any more: make another.
//
// franz-go gives nil for a commit of which it knows no record that was written, aborts,
// and tells its log alone. It knows of none also where all were acknowledged, if these
// are the client's first of their topics: what it holds of a topic (topicPartitions, of
// 1.22) is stored when the records that waited for it have gone their way already.
type Client struct {
	*kgo.Client
	log *clientLog
}

// ErrAborted is of a commit that was made an abort: nothing of the transaction is committed.
var ErrAborted = errors.New("the Kafka client aborted the transaction that it was to commit")

// New makes a client; opts give the transactional id, and no logger.
func New(opts ...kgo.Opt) (*Client, error) {
	log := &clientLog{}
	cl, err := kgo.NewClient(append(slices.Clip(opts), kgo.WithLogger(log))...)
	if err != nil {
		return nil, fmt.Errorf("Kafka producer: %w", err)
	}
	return &Client{cl, log}, nil
}

// Timeout is how long the broker lets a transaction stay open, counted from its start; a dead owner's
// transaction holds readers back no longer than this, and a successor's InitProducerID ends it at once.
// ProduceTimeout is how long a record may wait for its broker: less, so that the transaction is ended
// by its owner and not by the broker.
const (
	Timeout        = 60 * time.Second
	ProduceTimeout = 40 * time.Second
)

// Producer says what kind of transactional producer is made.
type Producer struct {
	ID         string                   // transactional.id
	BatchBytes func(topic string) int32 // the largest batch that a topic takes
	Buffered   int                      // records that may wait at once
}

// NewProducer makes a client that produces in transactions of Timeout. Each
// record says its partition, or ByKey; see [PartitionOf].
func NewProducer(p Producer, opts ...kgo.Opt) (*Client, error) {
	return New(append(slices.Clip(opts),
		kgo.TransactionalID(p.ID),
		kgo.TransactionTimeout(Timeout),
		kgo.RecordDeliveryTimeout(ProduceTimeout),
		kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerBatchMaxBytesFn(p.BatchBytes),
		kgo.MaxBufferedRecords(p.Buffered),
	)...)
}

// EndTransaction commits or aborts. Nil for a commit: the broker has committed.
// ErrAborted: it has aborted. Any other error leaves open what became of it.
func (c *Client) EndTransaction(ctx context.Context, end kgo.TransactionEndTry) error {
	c.log.aborted.Store(false)
	err := c.Client.EndTransaction(ctx, end)
	if err == nil && end == kgo.TryCommit && c.log.aborted.Load() {
		return ErrAborted
	}
	return err
}

// clientLog hears what the client tells its log alone, and keeps nothing else.
type clientLog struct{ aborted atomic.Bool }

// abortOfCommit is how the message begins.
const abortOfCommit = "no produce succeeded in this transaction"

// Level is that of the message.
func (*clientLog) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log implements kgo.Logger.
func (l *clientLog) Log(_ kgo.LogLevel, message string, _ ...any) {
	if strings.HasPrefix(message, abortOfCommit) {
		l.aborted.Store(true)
	}
}
