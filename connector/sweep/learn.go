package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/schemas"
)

// learnedOnce is how many ids of a topic go into a set in one transaction.
const learnedOnce = 20_000

// learn makes the sets of ids from the stream's topic. What is published meanwhile is in them already:
// they grow with each transaction since the stage began. A crash begins it anew, which adds what is there.
func (s *Sweeper) learn(ctx context.Context) error {
	began := time.Now()
	known, gone := idSet{}, idSet{}
	var purged bool
	for tries := 0; ; tries++ {
		var err error
		purged, err = s.Topics(ctx, s.Object.Topic, s.Stream, func(id int64, deleted bool) {
			into, from := known, gone
			if deleted {
				into, from = gone, known
			}
			into.add(id)
			from.remove(id)
		})
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Log.Warn("the topic could not be read for the ids that it has; it is tried again", "topic", s.Object.Topic, "error", err)
		clear(known)
		clear(gone)
		if !clock.Sleep(ctx, backoff.Delay(tries, 0)) {
			return ctx.Err()
		}
	}
	n := 0
	for set, ids := range map[checkpoint.IDSet]idSet{checkpoint.Known: known, checkpoint.Gone: gone} {
		for part := range chunks(ids, learnedOnce) {
			if set == checkpoint.Known {
				n += len(part)
			}
			if err := s.note(ctx, []checkpoint.IDChange{{Set: set, Add: part}}, func(*checkpoint.Sweep) {}); err != nil {
				return err
			}
		}
	}
	if err := s.Source.Ready(ctx); err != nil {
		return err
	}
	now, err := s.Source.Now(ctx)
	if err != nil {
		return err
	}
	s.Log.Info("deletes are looked for", "ids", n, "topic_was_purged", purged, "took", time.Since(began).Round(time.Millisecond))
	return s.note(ctx, nil, func(sw *checkpoint.Sweep) {
		sw.Stage, sw.Purged, sw.Last = checkpoint.SweepResting, purged, checkpoint.Sight{Scopes: s.Source.Granted()}
		if !purged {
			sw.Since = now
		}
	})
}

// chunks gives the ids of a set in order, so many at a time.
func chunks(ids idSet, n int) func(yield func([]int64) bool) {
	return func(yield func([]int64) bool) {
		var part []int64
		for id := range ids.all() {
			if part = append(part, id); len(part) == n {
				if !yield(part) {
					return
				}
				part = nil
			}
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

// Topics gives the id of each record of a stream in a topic, those of one id in their order: all
// that were committed when it is called. purged: the topic has lost its beginning.
type Topics func(ctx context.Context, topic string, of checkpoint.Stream, take func(id int64, deleted bool)) (purged bool, err error)

// ReadTopic is Topics by Kafka.
func ReadTopic(kafka ...kgo.Opt) Topics {
	return func(ctx context.Context, topic string, of checkpoint.Stream, take func(id int64, deleted bool)) (purged bool, err error) {
		cl, err := kgo.NewClient(append(slices.Clip(kafka),
			// what retention takes meanwhile is passed over
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
		if err != nil {
			return false, err
		}
		defer cl.Close()
		admin := kadm.NewClient(cl)
		starts, startErr := admin.ListStartOffsets(ctx, topic)
		ends, endErr := admin.ListCommittedOffsets(ctx, topic)
		if err := errors.Join(startErr, endErr, starts.Error(), ends.Error()); err != nil {
			return false, fmt.Errorf("asking how long topic %s is: %w", topic, err)
		}
		last, from := map[int32]int64{}, map[int32]kgo.Offset{}
		ends.Each(func(end kadm.ListedOffset) {
			begin, _ := starts.Lookup(topic, end.Partition)
			purged = purged || begin.Offset > 0
			if begin.Offset < end.Offset {
				last[end.Partition], from[end.Partition] = end.Offset-1, kgo.NewOffset().At(begin.Offset)
			}
		})
		cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
		for len(last) > 0 {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return false, fmt.Errorf("reading topic %s: %w", topic, err)
			}
			var bad error
			fetches.EachRecord(func(r *kgo.Record) {
				end, reading := last[r.Partition]
				if reading && r.Offset <= end && !r.Attrs.IsControl() && record.StreamOf(r) == of {
					_, id, err := schemas.ParseKey(r.Key)
					if bad = errors.Join(bad, err); err == nil {
						take(id, r.Value == nil)
					}
				}
				if r.Offset >= end {
					delete(last, r.Partition)
				}
			})
			if bad != nil {
				return false, fmt.Errorf("topic %s: %w", topic, bad)
			}
		}
		return purged, nil
	}
}
