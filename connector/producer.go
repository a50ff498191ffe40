package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer is a transactional kgo.Client whose commits are commits. kgo gives nil for a commit of which it knows no record that was written: it aborts then, with produce
// requests that may have failed in mind, and tells its log alone. Here every record was acknowledged before.
type producer struct {
	*kgo.Client
	log *producerLog
}

// errNoCommit is of such a commit.
var errNoCommit = errors.New("the client aborted the transaction that it was to commit")

// EndTransaction commits or aborts. Nil for a commit: the broker has committed.
func (p *producer) EndTransaction(ctx context.Context, end kgo.TransactionEndTry) error {
	p.log.aborted.Store(false)
	err := p.Client.EndTransaction(ctx, end)
	if err == nil && end == kgo.TryCommit && p.log.aborted.Load() {
		return errNoCommit
	}
	return err
}

// producerLog hears what the client tells its log alone.
type producerLog struct{ aborted atomic.Bool }

// abortOfCommit is how the message begins, of franz-go 1.22.
const abortOfCommit = "no produce succeeded in this transaction"

// Level is that of the message.
func (*producerLog) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log keeps nothing else.
func (l *producerLog) Log(_ kgo.LogLevel, message string, _ ...any) {
	if strings.HasPrefix(message, abortOfCommit) {
		l.aborted.Store(true)
	}
}

// newProducer makes the client of a shard. After an error that ends its transactional id, a client is of no use any more: make another.
func (w *Worker) newProducer(transactionalID string) (*producer, error) {
	log := &producerLog{}
	cl, err := kgo.NewClient(append(w.clientOpts(),
		kgo.TransactionalID(transactionalID), w.metrics.kafka.named("producer-"+transactionalID),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordDeliveryTimeout(produceTimeout),
		kgo.RecordPartitioner(partitioner{checkpoint: w.settings.CheckpointTopic}),
		kgo.ProducerBatchMaxBytesFn(w.topics.batchBytes),
		kgo.MaxBufferedRecords(4*maxBatchRecords),
		kgo.WithLogger(log),
	)...)
	if err != nil {
		return nil, fmt.Errorf("Kafka producer: %w", err)
	}
	return &producer{cl, log}, nil
}
