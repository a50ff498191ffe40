package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
)

// Bounds of counting: what is read in one go, the rest being left for the next, and what is kept in all.
const (
	mostCounted      = 20_000
	mostCountedBytes = 32 << 20
	mostKept         = 200_000
)

// Letters counts the dead letters that wait: those that no replay has passed. A topic may hold the letters
// of many connectors, and offsets count the ends of transactions too, so each letter is read, once, and of
// it is kept where it stands and what it is of. It belongs to one goroutine.
type Letters struct {
	kafka   []kgo.Opt
	admin   *kadm.Client
	groupID string
	topics  map[string]*counted
}

// counted is what was read of a topic.
type counted struct {
	groups []string // whose letters were kept
	at     map[int32]int64
	kept   map[int32][]letter
}

// letter is where a dead letter stands, and what it is of.
type letter struct {
	offset int64
	of     *waiter
}

// waiter is an object that may have letters.
type waiter struct {
	stream checkpoint.Stream
	group  string // that replays them
}

// NewLetters counts letters of connectors of a group of workers.
// admin asks the brokers, and kafka are the options of who reads.
func NewLetters(groupID string, admin *kadm.Client, kafka []kgo.Opt) *Letters {
	return &Letters{kafka: kafka, admin: admin, groupID: groupID, topics: map[string]*counted{}}
}

// groupOf is the consumer group of a connector's replays, and their transactional id.
func groupOf(groupID, connector string) string { return groupID + "-replay-" + connector }

// Count counts the letters of the objects of connectors that name a topic for them. Where there are more
// than can be read in one go, the next time finds the rest. After an error the next time goes on.
func (l *Letters) Count(ctx context.Context, connectors []*config.Connector) (map[checkpoint.Stream]int64, error) {
	counts, waiters, groups := map[checkpoint.Stream]int64{}, map[checkpoint.Stream]*waiter{}, map[string][]string{}
	for _, c := range connectors {
		for _, o := range c.Objects {
			if o.DLQTopic == "" {
				continue
			}
			w := &waiter{checkpoint.Stream{Tenant: c.Tenant, Object: o.Path}, groupOf(l.groupID, c.Name)}
			counts[w.stream], waiters[w.stream] = 0, w
			if !slices.Contains(groups[o.DLQTopic], w.group) {
				groups[o.DLQTopic] = append(groups[o.DLQTopic], w.group)
			}
		}
	}
	maps.DeleteFunc(l.topics, func(topic string, t *counted) bool {
		// of a connector that was not here nothing was kept
		return !slices.Equal(t.groups, slices.Sorted(slices.Values(groups[topic])))
	})
	if len(groups) == 0 {
		return counts, nil
	}
	starts, ends, passed, err := l.ask(ctx, groups)
	if err != nil {
		return nil, err
	}
	from, to := l.span(groups, starts, ends, passed)
	if err := l.read(ctx, from, to, waiters); err != nil {
		return nil, fmt.Errorf("reading dead letters: %w", err)
	}
	for topic, t := range l.topics {
		for partition, kept := range t.kept {
			start, _ := starts.Lookup(topic, partition)
			t.kept[partition] = slices.DeleteFunc(kept, func(one letter) bool {
				done, there := passed[one.of.group].Lookup(topic, partition)
				return one.offset < start.Offset || there && one.offset < done.At
			})
			for _, one := range t.kept[partition] {
				counts[one.of.stream]++
			}
		}
	}
	return counts, nil
}

// ask learns where the topics begin and end, and what replays have passed, by group.
func (l *Letters) ask(ctx context.Context, groups map[string][]string) (starts, ends kadm.ListedOffsets, passed map[string]kadm.OffsetResponses, err error) {
	topics := slices.Collect(maps.Keys(groups))
	if starts, err = l.admin.ListStartOffsets(ctx, topics...); err != nil {
		return nil, nil, nil, fmt.Errorf("dead letter topics %v: %w", topics, err)
	}
	if ends, err = l.admin.ListCommittedOffsets(ctx, topics...); err != nil {
		return nil, nil, nil, fmt.Errorf("dead letter topics %v: %w", topics, err)
	}
	all := map[string]bool{}
	for _, some := range groups {
		for _, group := range some {
			all[group] = true
		}
	}
	passed = map[string]kadm.OffsetResponses{}
	for group, told := range l.admin.FetchManyOffsets(ctx, slices.Collect(maps.Keys(all))...) {
		if told.Err != nil && !errors.Is(told.Err, kerr.GroupIDNotFound) { // nothing was replayed yet
			return nil, nil, nil, fmt.Errorf("consumer group %s: %w", group, told.Err)
		}
		passed[group] = told.Fetched
	}
	return starts, ends, passed, nil
}

// span is what was not read yet. Before the first time it is what the replay that is furthest behind has
// not passed.
func (l *Letters) span(groups map[string][]string, starts, ends kadm.ListedOffsets, passed map[string]kadm.OffsetResponses) (from, to offsets) {
	from, to = offsets{}, offsets{}
	ends.Each(func(end kadm.ListedOffset) {
		start, there := starts.Lookup(end.Topic, end.Partition)
		if end.Err != nil || !there || start.Err != nil {
			return
		}
		t := l.topics[end.Topic]
		if t == nil {
			t = &counted{groups: slices.Sorted(slices.Values(groups[end.Topic])), at: map[int32]int64{}, kept: map[int32][]letter{}}
			l.topics[end.Topic] = t
		}
		at, known := t.at[end.Partition]
		if !known || at > end.Offset { // or it is another topic by now
			at, t.kept[end.Partition] = end.Offset, nil
			for _, group := range t.groups {
				done, _ := passed[group].Lookup(end.Topic, end.Partition)
				at = min(at, max(done.At, start.Offset))
			}
		}
		t.at[end.Partition] = max(at, start.Offset)
		if p := (place{end.Topic, end.Partition}); t.at[end.Partition] < end.Offset {
			from[p], to[p] = t.at[end.Partition], end.Offset
		}
	})
	return from, to
}

// read keeps what lies between of letters that somebody waits for.
func (l *Letters) read(ctx context.Context, from, to offsets, waiters map[checkpoint.Stream]*waiter) error {
	kept := 0
	for _, t := range l.topics {
		for _, some := range t.kept {
			kept += len(some)
		}
	}
	if len(from) == 0 || kept >= mostKept {
		return nil
	}
	letters, err := readerOf(l.kafka, from, to)
	if err != nil {
		return err
	}
	defer letters.close()
	n, bytes := 0, 0
	for !letters.done() && n < mostCounted && bytes < mostCountedBytes {
		batch, err := letters.next(ctx, maxLetters, maxLetterBytes)
		if err != nil {
			return err
		}
		for _, rec := range batch {
			n, bytes = n+1, bytes+len(rec.Key)+len(rec.Value)
			of := waiters[checkpoint.Stream{Tenant: record.Header(rec, record.HeaderTenant), Object: record.Header(rec, record.HeaderObject)}]
			if of != nil && record.Header(rec, record.HeaderErrorConnector) != "" {
				t := l.topics[rec.Topic]
				t.kept[rec.Partition] = append(t.kept[rec.Partition], letter{rec.Offset, of})
			}
		}
		for p, at := range letters.positions() {
			l.topics[p.topic].at[p.partition] = at
		}
	}
	return nil
}

// Waiting is a dead letter that no replay has passed.
type Waiting struct {
	Object    string    `json:"object"`
	ID        int64     `json:"id"`                   // of the row; 0: the letter's key can't be read
	UpdatedAt string    `json:"updated_at,omitempty"` // of the row, as the letter has it
	Stage     string    `json:"stage"`                // where it failed
	Reason    string    `json:"reason"`               // names row and field, never a value
	Attempts  string    `json:"attempts,omitempty"`   // how often it was sent again in vain
	Written   time.Time `json:"written"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
}

// List reads the dead letters of a connector that wait, to their end, and gives those written last, most of
// them, in order, and how many there are in all. The connector names a topic for them. kafka are the options
// of who reads.
func List(ctx context.Context, groupID string, c *config.Connector, kafka []kgo.Opt, most int) (last []Waiting, all int, err error) {
	groups, group := map[string][]string{}, groupOf(groupID, c.Name)
	for _, o := range c.Objects {
		if o.DLQTopic != "" {
			groups[o.DLQTopic] = []string{group}
		}
	}
	cl, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, 0, err
	}
	defer cl.Close()
	l := NewLetters(groupID, kadm.NewClient(cl), kafka)
	starts, ends, passed, err := l.ask(ctx, groups)
	if err != nil {
		return nil, 0, err
	}
	from, to := l.span(groups, starts, ends, passed)
	if len(from) == 0 {
		return nil, 0, nil
	}
	letters, err := readerOf(kafka, from, to)
	if err != nil {
		return nil, 0, err
	}
	defer letters.close()
	for !letters.done() {
		batch, err := letters.next(ctx, maxLetters, maxLetterBytes)
		if err != nil {
			return nil, 0, fmt.Errorf("reading dead letters: %w", err)
		}
		for _, rec := range batch {
			if record.Header(rec, record.HeaderTenant) == c.Tenant && record.Header(rec, record.HeaderErrorConnector) != "" {
				last, all = append(last, waitingOf(rec)), all+1
			}
		}
		slices.SortStableFunc(last, func(a, b Waiting) int { return a.Written.Compare(b.Written) })
		last = last[max(0, len(last)-most):]
	}
	return last, all, nil
}

// waitingOf is what a letter tells of itself.
func waitingOf(rec *kgo.Record) Waiting {
	key, _ := keyOf(rec.Topic, rec) // it is shown where it stands
	return Waiting{
		Object: record.Header(rec, record.HeaderObject), ID: key.id, UpdatedAt: record.Header(rec, record.HeaderUpdatedAt),
		Stage: record.Header(rec, record.HeaderErrorStage), Reason: record.Header(rec, record.HeaderErrorMessage), Attempts: record.Header(rec, HeaderAttempts),
		Written: rec.Timestamp.UTC(), Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset,
	}
}
