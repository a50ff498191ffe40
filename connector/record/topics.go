package record

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"golang.org/x/sync/semaphore"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
)

// defaultMaxMessageBytes is the brokers' default of
// max.message.bytes, for topics whose configuration may not be read.
const defaultMaxMessageBytes = 1_048_588

// Topics makes sure that the topics a worker writes to are there, and knows how large a record each takes.
type Topics struct {
	admin    *kadm.Client
	settings *config.Worker

	asking *semaphore.Weighted // of one: who asks what topics are
	// topic → *semaphore.Weighted, of one: who makes sure of it; a thousand tenants begin with the same ones
	ensuring sync.Map

	mu     sync.Mutex
	limits map[string]topicLimit  // of the topics made sure of
	seen   map[string]topicDetail // of the topics that Find was asked for
}

// topicLimit is a topic's max.message.bytes.
type topicLimit struct {
	bytes int32
	asked time.Time
}

// NewTopics knows of no topic yet. Without admin, all topics count as there.
func NewTopics(admin *kadm.Client, s *config.Worker) *Topics {
	return &Topics{admin: admin, settings: s, asking: semaphore.NewWeighted(1), limits: map[string]topicLimit{}, seen: map[string]topicDetail{}}
}

// reachTimeout is how long brokers may take to answer at the start.
const reachTimeout = 20 * time.Second

// Reach finds out which cluster this is.
func (t *Topics) Reach(ctx context.Context) (cluster string, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	meta, err := t.admin.BrokerMetadata(ctx)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer in %v", reachTimeout)
		}
		return "", fmt.Errorf("bootstrap.servers = %v: no broker could be reached; check addresses, security.protocol and sasl.*: %w", t.settings.BootstrapServers, err)
	}
	return meta.Cluster, nil
}

// Ensure creates a data topic unless it is there, and checks
// that it can be written to. An existing topic is left as it is.
func (t *Topics) Ensure(ctx context.Context, topic string) error {
	return t.ensureWith(ctx, topic, nil)
}

// ensureDeadLetters does the same for a topic of dead letters. One
// that it creates takes rows that are too large for a data topic.
func (t *Topics) ensureDeadLetters(ctx context.Context, topic string) error {
	large := strconv.Itoa(deadLetterBytes)
	return t.ensureWith(ctx, topic, map[string]*string{"max.message.bytes": &large})
}

// deadLetterBytes is the max.message.bytes of dead letter topics that are created.
const deadLetterBytes = 32 << 20

func (t *Topics) ensureWith(ctx context.Context, topic string, configs map[string]*string) error {
	if t.admin == nil || t.isSure(topic) {
		return nil
	}
	kept, _ := t.ensuring.LoadOrStore(topic, semaphore.NewWeighted(1))
	turn := kept.(*semaphore.Weighted)
	if err := turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer turn.Release(1)
	if t.isSure(topic) {
		return nil
	}
	all := map[string]*string{"cleanup.policy": &t.settings.TopicCleanup}
	maps.Copy(all, configs)
	if err := t.Create(ctx, topic, t.settings.TopicPartitions, all); err != nil {
		return err
	}
	t.ask(ctx, topic)
	return ctx.Err()
}

func (t *Topics) isSure(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.limits[topic]
	return known
}

// ask learns a topic's limit.
func (t *Topics) ask(ctx context.Context, topic string) {
	limit := topicLimit{t.limit(ctx, topic), time.Now()}
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits[topic] = limit
}

// forget drops what is known of a topic, and of those of its lines: they
// are made sure of again, with their limits, before they are next used.
func (t *Topics) forget(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.limits, func(known string, _ topicLimit) bool { return known == topic || strings.HasPrefix(known, topic+".") })
}

// checkpointConfigs keep the checkpoint topic near the size of what is live in it, which
// is what a restore reads. Kafka compacts closed segments alone, and by its defaults
// closes one after a week or a gigabyte, and compacts when half of a log is dead.
var checkpointConfigs = map[string]string{"segment.bytes": "16777216", "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}

// EnsureCheckpoint creates the checkpoint topic unless it is there and returns its id and number
// of partitions. It has to be compacted: with retention by time, positions would be deleted.
func (t *Topics) EnsureCheckpoint(ctx context.Context, topic string) (id [16]byte, partitions int32, err error) {
	compact := "compact"
	configs := map[string]*string{"cleanup.policy": &compact}
	for key, value := range checkpointConfigs {
		configs[key] = &value
	}
	if err := t.Create(ctx, topic, t.settings.CheckpointPartitions, configs); err != nil {
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

// Checkpoint tells the id of the checkpoint topic and its cleanup.policy; "" if that may not be read.
func (t *Topics) Checkpoint(ctx context.Context, topic string) (id [16]byte, policy string, err error) {
	details, err := t.admin.ListTopics(ctx, topic)
	if err != nil {
		return id, "", err
	}
	d := details[topic]
	if d.Err != nil {
		return id, "", d.Err
	}
	policy, err = t.config(ctx, topic, "cleanup.policy")
	if err != nil {
		policy = ""
	}
	return d.ID, policy, nil
}

// describe asks for a topic until the brokers know it: a topic that was just made takes a moment to spread.
func (t *Topics) describe(ctx context.Context, topic string) (kadm.TopicDetail, error) {
	for {
		details, err := t.admin.ListTopics(ctx, topic)
		if err != nil {
			return kadm.TopicDetail{}, err
		}
		d := details[topic]
		if !errors.Is(d.Err, kerr.UnknownTopicOrPartition) || !clock.Sleep(ctx, 100*time.Millisecond) {
			return d, d.Err
		}
	}
}

// Create creates a topic unless it is there, and checks that it can be written to.
func (t *Topics) Create(ctx context.Context, topic string, partitions int, configs map[string]*string) error {
	meta, err := t.admin.Metadata(kadm.WithAuthorizedOps(ctx), topic)
	if err != nil {
		return fmt.Errorf("asking the brokers for topic %s: %w", topic, err)
	}
	d := meta.Topics[topic]
	switch {
	case d.Err == nil && len(d.Partitions) > 0:
		return writable(d)
	case errors.Is(d.Err, kerr.TopicAuthorizationFailed):
		return &forbiddenError{fmt.Errorf("no right to see topic %s; allow this principal DESCRIBE, WRITE and, if the topic is to be made, CREATE on it: %w", topic, d.Err)}
	case errors.Is(d.Err, kerr.InvalidTopicException):
		return fmt.Errorf("%q is no name for a topic (letters, digits, '.', '_' and '-'); change topic.template: %w", topic, d.Err)
	}
	_, err = t.admin.CreateTopic(ctx, int32(partitions), int16(t.settings.TopicReplication), configs, topic)
	switch {
	case err == nil || errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return &forbiddenError{mayNotCreate(topic, partitions, err)}
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return mayNotCreate(topic, partitions, err)
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("topic %s can't be created with topic.creation.default.replication.factor=%d; give at most the number of brokers: %w", topic, t.settings.TopicReplication, err)
	default:
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
}

func mayNotCreate(topic string, partitions int, err error) error {
	return fmt.Errorf("no right to create topic %s; create it (%d partitions), or allow this principal CREATE on it: %w", topic, partitions, err)
}

// writable checks the rights that the brokers tell of.
// Brokers without an authorizer, and old ones, tell nothing.
func writable(d kadm.TopicDetail) error {
	ops := d.AuthorizedOperations
	if len(ops) == 0 || slices.Contains(ops, kadm.OpWrite) || slices.Contains(ops, kadm.OpAll) || slices.Contains(ops, kadm.OpAny) {
		return nil
	}
	return fmt.Errorf("topic %s is there, but this principal may not write to it (it may: %v); allow WRITE", d.Topic, ops)
}

// limit is the topic's max.message.bytes, or the brokers' default if it may not be read.
func (t *Topics) limit(ctx context.Context, topic string) int32 {
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

func (t *Topics) config(ctx context.Context, topic, key string) (string, error) {
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

// limitAgain is how old a topic's limit may be when a record is refused for it.
const limitAgain = time.Minute

// takes is the largest batch that a topic takes. A limit that is too small for size
// is asked for again if that was not done lately: somebody may have raised it.
func (t *Topics) takes(ctx context.Context, topic string, size int) int {
	bytes, old := t.known(topic)
	if size > bytes && old {
		t.ask(ctx, topic)
		bytes, _ = t.known(topic)
	}
	return bytes
}

// known is the largest batch that a topic takes as far as is known, and whether that is to be asked again.
func (t *Topics) known(topic string) (bytes int, old bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	limit, ok := t.limits[topic]
	if !ok {
		limit.bytes = defaultMaxMessageBytes
	}
	return int(limit.bytes - limit.bytes/256), time.Since(limit.asked) >= limitAgain
}

// BatchBytes is the largest batch that a topic takes, for the producer. A
// batch is a few dozen bytes larger than its records; the margin covers that.
func (t *Topics) BatchBytes(topic string) int32 {
	bytes, _ := t.known(topic)
	return int32(bytes)
}

// topicDetail is what brokers said of a topic.
type topicDetail struct {
	kadm.TopicDetail
	asked time.Time
}
