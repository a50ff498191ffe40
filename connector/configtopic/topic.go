package configtopic

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// ErrReplaced says that the topic was deleted, or deleted and made again, while this worker follows it.
var ErrReplaced = errors.New("the config topic was deleted while this worker follows it; the connectors go on as they were last known. Restore what it held, or restart the workers of the group to go on from what it holds now")

// errMisfit says that the topic is there, but can't serve.
var errMisfit = errors.New("the topic can't hold the connectors")

// ensure makes the topic unless it is there, and checks that it can be trusted with connectors.
// Once a topic was followed, it is not made again, and no other one is taken for it.
func (s *Store) ensure(ctx context.Context, adm *kadm.Client) error {
	if s.followed() == (kadm.TopicID{}) {
		compact := "compact"
		if err := s.cfg.Create(ctx, s.cfg.Topic, 1, map[string]*string{"cleanup.policy": &compact}); err != nil {
			return fmt.Errorf("config.storage.topic = %s: %w", s.cfg.Topic, err)
		}
	}
	d, err := s.identify(ctx, adm)
	// a topic that was just made takes a moment to spread
	for errors.Is(err, kerr.UnknownTopicOrPartition) && clock.Sleep(ctx, 100*time.Millisecond) {
		d, err = s.identify(ctx, adm)
	}
	if err != nil {
		return err
	}
	if n := len(d.Partitions); n != 1 {
		return fmt.Errorf("config.storage.topic = %s: %w: it has %d partitions, and changes have an order in one alone; name another topic, or delete it to have it made", s.cfg.Topic, errMisfit, n)
	}
	if policy, err := configOf(ctx, adm, s.cfg.Topic, "cleanup.policy"); err == nil && policy != "compact" {
		return fmt.Errorf("config.storage.topic = %s: %w: its cleanup.policy is %s, and would delete them; set it to compact, or name another topic", s.cfg.Topic, errMisfit, policy)
	}
	s.mu.Lock()
	s.id = d.ID
	s.mu.Unlock()
	return nil
}

func (s *Store) followed() kadm.TopicID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// identify describes the topic, and gives ErrReplaced if it is not the one that was followed before.
func (s *Store) identify(ctx context.Context, adm *kadm.Client) (kadm.TopicDetail, error) {
	details, err := adm.ListTopics(ctx, s.cfg.Topic)
	if err != nil {
		return kadm.TopicDetail{}, fmt.Errorf("asking the brokers for config.storage.topic %s: %w", s.cfg.Topic, s.remedy(err))
	}
	d, id := details[s.cfg.Topic], s.followed()
	before := id != (kadm.TopicID{})
	switch {
	case before && errors.Is(d.Err, kerr.UnknownTopicOrPartition), before && d.Err == nil && d.ID != id:
		return d, fmt.Errorf("config.storage.topic = %s: %w", s.cfg.Topic, ErrReplaced)
	case d.Err != nil:
		return d, fmt.Errorf("config.storage.topic = %s: %w", s.cfg.Topic, s.remedy(d.Err))
	}
	return d, nil
}

// bounds are the topic's first offset, and the one behind its last committed record.
func (s *Store) bounds(ctx context.Context, adm *kadm.Client) (start, end int64, err error) {
	start, err = s.listed(adm.ListStartOffsets(ctx, s.cfg.Topic))
	if err != nil {
		return 0, 0, err
	}
	end, err = s.end(ctx, adm)
	return start, end, err
}

// end is the offset behind the last committed record.
func (s *Store) end(ctx context.Context, adm *kadm.Client) (int64, error) {
	return s.listed(adm.ListCommittedOffsets(ctx, s.cfg.Topic))
}

// listed is the offset of the topic's partition.
func (s *Store) listed(all kadm.ListedOffsets, err error) (int64, error) {
	o, ok := all.Lookup(s.cfg.Topic, 0)
	if err == nil && !ok {
		err = kerr.UnknownTopicOrPartition
	}
	if err = errors.Join(err, o.Err); err != nil {
		return 0, fmt.Errorf("asking for the offsets of config.storage.topic %s: %w", s.cfg.Topic, s.remedy(err))
	}
	return o.Offset, nil
}

// gap is how long a follower may go without having read all that there is: a quarter of the time for which
// the topic keeps what removes keys, and no less than shortestGap.
func (s *Store) gap(ctx context.Context, adm *kadm.Client) time.Duration {
	kept := defaultDeleteRetention
	if text, err := configOf(ctx, adm, s.cfg.Topic, "delete.retention.ms"); err == nil {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			kept = time.Duration(min(ms, defaultDeleteRetention.Milliseconds())) * time.Millisecond
		}
	}
	return max(kept/4, shortestGap)
}

// defaultDeleteRetention is Kafka's delete.retention.ms where nobody sets it. A follower
// goes by it also where a topic has a longer one: reading again costs little.
const defaultDeleteRetention = 24 * time.Hour

// shortestGap is that of topics that keep what removes keys for minutes or less.
const shortestGap = time.Minute

// configOf is the value of a topic's key.
func configOf(ctx context.Context, adm *kadm.Client, topic, key string) (string, error) {
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", err
	}
	rc, err := configs.On(topic, nil)
	if err = errors.Join(err, rc.Err); err != nil {
		return "", err
	}
	for _, c := range rc.Configs {
		if c.Key == key && c.Value != nil {
			return *c.Value, nil
		}
	}
	return "", fmt.Errorf("the topic has no %s", key)
}
