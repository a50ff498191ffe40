package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
)

// spread is how long brokers may take to know a topic that was just made.
const spread = 2 * time.Second

// Find tells what topics are: their ids and numbers of partitions. What was asked for no longer ago than
// age is told again; brokers are asked of all topics at once, so that a thousand streams that look now and
// then ask seldom. A topic that is not there is an error that [Blames] knows.
func (t *Topics) Find(ctx context.Context, age time.Duration, topics ...string) ([]checkpoint.Topic, error) {
	if err := t.asking.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer t.asking.Release(1)
	for began := time.Now(); ; {
		if !t.haveSeen(age, topics) {
			if err := t.look(ctx, topics); err != nil {
				return nil, err
			}
		}
		found, err := t.found(topics)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) || time.Since(began) >= spread || !clock.Sleep(ctx, 100*time.Millisecond) {
			return found, err
		}
	}
}

func (t *Topics) found(topics []string) ([]checkpoint.Topic, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []checkpoint.Topic
	for _, name := range topics {
		d := t.seen[name]
		switch {
		case d.Err == nil && len(d.Partitions) > 0:
			found = append(found, checkpoint.Topic{Name: name, ID: d.ID, Partitions: int32(len(d.Partitions))})
		case d.Err == nil, Blames(d.Err):
			return nil, Refused(name, 0, cmp.Or[error](d.Err, kerr.UnknownTopicOrPartition))
		default:
			return nil, fmt.Errorf("asking the brokers for topic %s: %w", name, d.Err)
		}
	}
	return found, nil
}

// haveSeen tells whether nothing of the topics is older than age, or missing.
func (t *Topics) haveSeen(age time.Duration, topics []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.ContainsFunc(topics, func(name string) bool {
		d, ok := t.seen[name]
		return !ok || d.Err != nil || len(d.Partitions) == 0 || time.Since(d.asked) > age
	})
}

// look asks of these topics, and of all that were asked for before.
func (t *Topics) look(ctx context.Context, topics []string) error {
	t.mu.Lock()
	all := slices.AppendSeq(slices.Clone(topics), maps.Keys(t.seen))
	t.mu.Unlock()
	slices.Sort(all)
	details, err := t.admin.ListTopics(ctx, slices.Compact(all)...)
	if err != nil {
		return fmt.Errorf("asking the brokers for topics %v: %w", topics, err)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, d := range details {
		t.seen[name] = topicDetail{d, now}
	}
	return nil
}

// FindTopics tells what the stream's topics are, its rows' first; see [Topics.Find]. Those
// of lines are made with the lines' schemas: there may be none while the registry refuses these.
func (m *Maker) FindTopics(ctx context.Context, age time.Duration) ([]checkpoint.Topic, error) {
	names := []string{m.Object.Topic}
	if m.HasLines() && !m.Refuses() {
		names = append(names, m.Object.LineTopics()...)
	}
	return m.Topics.Find(ctx, age, names...)
}
