package configtopic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config is what a Store is made of.
type Config struct {
	// Kafka reaches the brokers: seeds, TLS, SASL, dialer.
	// Nothing of producing, of groups or of what to consume.
	Kafka []kgo.Opt
	// Topic is config.storage.topic.
	Topic string
	// GroupID is group.id. The transactional id of changes is made of it.
	GroupID string
	// Version of this program, for those who read what it writes.
	Version string
	// Create makes a topic unless it is there, and says what to do if it
	// can't be. configs are those that a topic which it makes must have.
	Create func(ctx context.Context, topic string, partitions int, configs map[string]*string) error
	Log    *slog.Logger
}

// ErrNotRead says that the topic was not read to its end yet.
var ErrNotRead = errors.New("the config topic has not been read yet")

// Store is a worker's copy of the config topic, and its way of changing it. All methods may
// be called at any time and at once; those that wait for the topic need Run to be running.
type Store struct {
	cfg     Config
	log     *slog.Logger
	writing chan struct{} // holds one while a change is made

	skipped int64 // offset of the last record that was told to be skipped; Run's

	mu      sync.Mutex
	view    View
	changed chan struct{} // closed when view is replaced
	trouble error         // why the topic can't be read now
	id      kadm.TopicID  // of the topic that is followed
	nonce   string        // of the change that is being made
	landed  int64         // offset of its last record that was read; -1: none was
}

// New starts nothing; see Run.
func New(cfg Config) *Store {
	return &Store{
		cfg: cfg, log: cfg.Log.With("topic", cfg.Topic), writing: make(chan struct{}, 1), changed: make(chan struct{}), landed: -1, skipped: -1,
	}
}

// View is the topic as far as it was read; empty before it was read to its end for the first time.
func (s *Store) View() View {
	v, _ := s.Watch()
	return v
}

// Watch gives the view, and a channel that is closed when there is another
// one. Views may be skipped: the next one that is asked for is the newest.
func (s *Store) Watch() (View, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view, s.changed
}

// Ready gives nil if the topic was read to its end once and can still be trusted:
// brokers that are away do not change that, a topic that was deleted does.
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.view.read && s.trouble != nil:
		return fmt.Errorf("%w: %w", ErrNotRead, s.trouble)
	case !s.view.read:
		return ErrNotRead
	case errors.Is(s.trouble, ErrReplaced):
		return s.trouble
	default:
		return nil
	}
}

// WaitFor waits until the view has the record at an offset. With -1
// it waits until the topic was read to its end for the first time.
func (s *Store) WaitFor(ctx context.Context, offset int64) error {
	for {
		v, changed := s.Watch()
		if v.read && v.Next > offset {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			trouble := s.trouble
			s.mu.Unlock()
			if !v.read {
				return fmt.Errorf("config.storage.topic %s could not be read to its end in time: %w", s.cfg.Topic, errors.Join(ctx.Err(), trouble))
			}
			return fmt.Errorf("config.storage.topic %s could not be read up to offset %d in time, only to %d: %w", s.cfg.Topic, offset, v.Next-1, errors.Join(ctx.Err(), trouble))
		}
	}
}

// publish makes what was read the view.
func (s *Store) publish(t *topic, next int64) {
	s.mu.Lock()
	again := s.trouble != nil
	s.view, s.trouble = t.snapshot(s.view, next), nil
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if again {
		s.log.Info("the config topic can be read again")
	}
}

// fail notes why the topic can't be read now, and tells whether it could before.
func (s *Store) fail(err error) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.trouble == nil
	s.trouble = err
	return first
}

// expect has the nonce of a change looked for among the records that are read; "": of none.
func (s *Store) expect(nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonce, s.landed = nonce, -1
}

// noteNonce notes a record that has a nonce.
func (s *Store) noteNonce(nonce string, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nonce == nonce {
		s.landed = max(s.landed, offset)
	}
}

// found is the offset of the last record of the change that is being made, if the view has it.
func (s *Store) found() (offset int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.landed, s.landed >= 0 && s.view.Next > s.landed
}
