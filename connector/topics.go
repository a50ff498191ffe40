package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/connector/config"
)

// defaultMaxMessageBytes is the brokers' default of max.message.bytes, for topics whose configuration may not be read.
const defaultMaxMessageBytes = 1_048_588

// topics makes sure that the topics a worker writes to are there, and knows how large a record each takes.
type topics struct {
	admin    *kadm.Client
	settings *config.Worker

	mu       sync.Mutex
	maxBytes map[string]int32 // max.message.bytes of the topics made sure of
}

// ensure creates a data topic unless it is there, and checks that it can be written to. An existing topic is left as it is.
func (t *topics) ensure(ctx context.Context, topic string) error {
	t.mu.Lock()
	_, known := t.maxBytes[topic]
	t.mu.Unlock()
	if known {
		return nil
	}
	cleanup := t.settings.TopicCleanup
	if err := t.create(ctx, topic, t.settings.TopicPartitions, map[string]*string{"cleanup.policy": &cleanup}); err != nil {
		return err
	}
	limit := t.limit(ctx, topic)
	t.mu.Lock()
	t.maxBytes[topic] = limit
	t.mu.Unlock()
	return nil
}

// forget drops what is known of a topic: it is made sure of again, with its limit, before it is next used.
func (t *topics) forget(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.maxBytes, topic)
}

// checkpointConfigs keep the checkpoint topic near the size of what is live in it, which is what a restore reads. Kafka compacts closed segments alone,
// and by its defaults closes one after a week or a gigabyte, and compacts when half of a log is dead.
var checkpointConfigs = map[string]string{"segment.bytes": "16777216", "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}

// ensureCheckpoint creates the checkpoint topic unless it is there and returns its id and number of partitions. It has to be compacted: with
// retention by time, positions would be deleted.
func (t *topics) ensureCheckpoint(ctx context.Context, topic string) (id [16]byte, partitions int32, err error) {
	compact := "compact"
	configs := map[string]*string{"cleanup.policy": &compact}
	for key, value := range checkpointConfigs {
		configs[key] = &value
	}
	if err := t.create(ctx, topic, t.settings.CheckpointPartitions, configs); err != nil {
		return id, 0, err
	}
	d, err := t.describe(ctx, topic)
	if err != nil {
		return id, 0, fmt.Errorf("checkpoint.topic %s: %w", topic, err)
	}
	if policy, err := t.config(ctx, topic, "cleanup.policy"); err == nil && policy != compact {
		return id, 0, fmt.Errorf("checkpoint.topic %s has cleanup.policy=%s and would lose positions; set it to compact, or name another topic", topic, policy)
	}
	return d.ID, int32(len(d.Partitions)), nil
}

// describe asks for a topic until the brokers know it: a topic that was just made takes a moment to spread.
func (t *topics) describe(ctx context.Context, topic string) (kadm.TopicDetail, error) {
	for {
		details, err := t.admin.ListTopics(ctx, topic)
		if err != nil {
			return kadm.TopicDetail{}, err
		}
		d := details[topic]
		if !errors.Is(d.Err, kerr.UnknownTopicOrPartition) || !sleep(ctx, 100*time.Millisecond) {
			return d, d.Err
		}
	}
}

func (t *topics) create(ctx context.Context, topic string, partitions int, configs map[string]*string) error {
	meta, err := t.admin.Metadata(kadm.WithAuthorizedOps(ctx), topic)
	if err != nil {
		return fmt.Errorf("asking the brokers for topic %s: %w", topic, err)
	}
	d := meta.Topics[topic]
	switch {
	case d.Err == nil && len(d.Partitions) > 0:
		return writable(d)
	case errors.Is(d.Err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("no right to see topic %s; allow this principal DESCRIBE, WRITE and, if the topic is to be made, CREATE on it: %w", topic, d.Err)
	case errors.Is(d.Err, kerr.InvalidTopicException):
		return fmt.Errorf("%q is no name for a topic (letters, digits, '.', '_' and '-'); change topic.template: %w", topic, d.Err)
	}
	_, err = t.admin.CreateTopic(ctx, int32(partitions), int16(t.settings.TopicReplication), configs, topic)
	switch {
	case err == nil || errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("no right to create topic %s; create it (%d partitions), or allow this principal CREATE on it: %w", topic, partitions, err)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("topic %s can't be created with topic.creation.default.replication.factor=%d; give at most the number of brokers: %w", topic, t.settings.TopicReplication, err)
	default:
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
}

// writable checks the rights that the brokers tell of. Brokers without an authorizer, and old ones, tell nothing.
func writable(d kadm.TopicDetail) error {
	ops := d.AuthorizedOperations
	if len(ops) == 0 || slices.Contains(ops, kadm.OpWrite) || slices.Contains(ops, kadm.OpAll) || slices.Contains(ops, kadm.OpAny) {
		return nil
	}
	return fmt.Errorf("topic %s is there, but this principal may not write to it (it may: %v); allow WRITE", d.Topic, ops)
}

// limit is the topic's max.message.bytes, or the brokers' default if it may not be read.
func (t *topics) limit(ctx context.Context, topic string) int32 {
	v, err := t.config(ctx, topic, "max.message.bytes")
	if err != nil {
		return defaultMaxMessageBytes
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n <= 0 {
		return defaultMaxMessageBytes
	}
	return int32(n)
}

func (t *topics) config(ctx context.Context, topic, key string) (string, error) {
	configs, err := t.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	rc, err := configs.On(topic, nil)
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return "", err
	}
	for _, c := range rc.Configs {
		if c.Key == key && c.Value != nil {
			return *c.Value, nil
		}
	}
	return "", fmt.Errorf("topic %s has no %s", topic, key)
}

// batchBytes is the largest batch that a topic takes, for the producer. A batch is a few dozen bytes larger than its records; the margin covers that.
func (t *topics) batchBytes(topic string) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit, ok := t.maxBytes[topic]
	if !ok {
		limit = defaultMaxMessageBytes
	}
	return limit - limit/256
}
