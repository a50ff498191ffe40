//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watch reads a scene's topics as they grow, committed records only: it
// tells what a worker is about and how long nothing came. It is no judge.
type watch struct {
	mu      sync.Mutex
	history map[string]map[int64]bool // topic → ids that were there before the worker and have not come yet
	stamps  map[string][]time.Time    // topic → the records' timestamps
	ids     map[string]map[int64]bool // topic → ids that have come
}

func newWatch(tb testing.TB, p *parts, history map[string]map[int64]bool) *watch {
	tb.Helper()
	w := &watch{history: history, stamps: map[string][]time.Time{}, ids: map[string]map[int64]bool{}}
	var topics []string
	for topic := range history {
		topics = append(topics, topic)
		w.ids[topic] = map[int64]bool{}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.seeds()...), kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(w.take)
		}
	})
	tb.Cleanup(func() { stop(); done.Wait(); cl.Close() })
	return w
}

func (w *watch) take(r *kgo.Record) {
	id := idOf(r.Key)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.history[r.Topic], id)
	w.ids[r.Topic][id] = true
	w.stamps[r.Topic] = append(w.stamps[r.Topic], r.Timestamp)
}

// idOf reads the id of a key: the registry's framing, a text, a long.
func idOf(key []byte) int64 {
	if len(key) < 6 {
		return 0
	}
	length, n := binary.Varint(key[5:])
	from := 5 + n + int(length)
	if n <= 0 || length < 0 || from >= len(key) {
		return 0
	}
	id, _ := binary.Varint(key[from:])
	return id
}

// missing is how many rows of the history have not come.
func (w *watch) missing() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, ids := range w.history {
		n += len(ids)
	}
	return n
}

// has tells whether a row has come.
func (w *watch) has(topic string, id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ids[topic][id]
}

// records is how many came.
func (w *watch) records() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, stamps := range w.stamps {
		n += len(stamps)
	}
	return n
}

// firstAfter is the timestamp of the first record of any of the topics after t; false when there is none.
func (w *watch) firstAfter(t time.Time, topics []string) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first time.Time
	for _, topic := range topics {
		for _, at := range w.stamps[topic] {
			if at.After(t) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first, !first.IsZero()
}

// since is nil once a record has come that is younger than t.
func (w *watch) since(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, stamps := range w.stamps {
		if slices.ContainsFunc(stamps[max(0, len(stamps)-50):], func(at time.Time) bool { return at.After(t) }) {
			return nil
		}
	}
	return fmt.Errorf("none is younger than %v", t.Format(time.TimeOnly))
}
