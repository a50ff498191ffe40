package configtopic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/clock"
)

// fetchWait is how long brokers hold back the answer to a
// fetch that finds nothing. What is committed ends it.
const fetchWait = 5 * time.Second

// Run makes sure of the topic, reads it to its end and follows it until ctx
// ends, which gives nil. Brokers that are away are waited for. An error: the
// topic can't be used, or Kafka refuses, and trying again would not help.
func (s *Store) Run(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := s.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errCutOff):
			s.log.Warn("the config topic could not be followed for so long that removals may be missed; it is read again from its start")
			attempt = -1
			continue
		case isRefused(err):
			s.fail(err)
			return err
		case time.Since(began) > time.Minute:
			attempt = 0
		}
		delay := again.Delay(attempt, 0)
		if s.fail(err) {
			s.log.Warn("the config topic can't be read; what is known of it stays, and it is read again", "error", err, "after", delay)
		}
		if !clock.Sleep(ctx, delay) {
			return nil
		}
	}
}

// follow reads the topic from its start, and returns when it can't be read on.
func (s *Store) follow(ctx context.Context) error {
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, s.cfg.Kafka...),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(fetchWait),
	)...)
	if err != nil {
		return fmt.Errorf("Kafka client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if err := s.ensure(ctx, adm); err != nil {
		return err
	}
	start, end, err := s.bounds(ctx, adm)
	if err != nil {
		return err
	}
	r := &reader{s: s, topic: newTopic(), next: start, end: end, whole: wallClock(), gap: s.gap(ctx, adm)}
	if start == end {
		s.publish(r.topic, end)
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.cfg.Topic: {0: kgo.NewOffset().At(start)}})
	for {
		poll, cancel := context.WithTimeout(ctx, r.gap/looks)
		fetches := cl.PollFetches(poll)
		silent := poll.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if wallClock().Sub(r.whole) > r.gap {
			return errCutOff
		}
		if err := r.take(fetches); err != nil {
			return fmt.Errorf("reading config.storage.topic %s: %w", s.cfg.Topic, s.remedy(err))
		}
		if silent {
			r.look(ctx, adm)
		}
	}
}

// errCutOff says that nothing could be read for so long that removals may be gone from the topic.
var errCutOff = errors.New("the config topic could not be followed for too long")

// looks is how often within its gap a follower that hears nothing asks where the topic ends.
const looks = 4

// wallClock also counts the time in which the machine was asleep.
func wallClock() time.Time { return time.Now().Round(0) }

// reader reads the topic once, from its start.
//
// What removes a key is gone from the topic delete.retention.ms after it was compacted, and a reader that
// comes to its place only then keeps what was removed. So it may not be behind for longer than gap.
type reader struct {
	s     *Store
	topic *topic
	next  int64         // offset behind what was read
	end   int64         // behind what is known to be there
	whole time.Time     // when nothing was there that was not read, or reading began
	gap   time.Duration // how long ago that may be
}

// take works through one poll. That it ended by its deadline is no error.
func (r *reader) take(fetches kgo.Fetches) error {
	var failed error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if p.Topic == "" && errors.Is(p.Err, context.DeadlineExceeded) {
			return
		}
		r.collect(p.Records)
		failed = errors.Join(failed, p.Err)
		// Before the last stable offset, every transaction is decided,
		// and as they come one after the other, none is half before it.
		r.end = max(r.end, p.LastStableOffset)
	})
	if failed == nil && fetches.NumRecords() > 0 && r.next >= r.end {
		r.whole = wallClock()
		r.s.publish(r.topic, r.next)
	}
	return failed
}

// look asks where the topic ends: a fetch that finds nothing does not tell. Where nobody answers, time does.
func (r *reader) look(ctx context.Context, adm *kadm.Client) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	began := wallClock()
	end, err := r.s.end(ctx, adm)
	if err != nil {
		return
	}
	r.end = max(r.end, end)
	if r.next >= r.end {
		r.whole = began
	}
}

const lookTimeout = 10 * time.Second

func (r *reader) collect(records []*kgo.Record) {
	for _, rec := range records {
		r.next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		if err := r.topic.apply(rec); err != nil {
			r.s.skip(rec, err)
		}
		for _, h := range rec.Headers {
			if h.Key == nonceHeader {
				r.s.noteNonce(string(h.Value), rec.Offset)
			}
		}
	}
}

// skip tells of a record that can't be read, once however often the topic is read.
func (s *Store) skip(rec *kgo.Record, why error) {
	if rec.Offset <= s.skipped {
		return
	}
	s.skipped = rec.Offset
	s.log.Warn("a record of the config topic can't be read and is skipped; write it anew, or remove it with a tombstone",
		"key", string(rec.Key), "offset", rec.Offset, "error", why)
}
