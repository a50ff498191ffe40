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
	r := &reader{s: s, topic: newTopic(), next: start}
	if start == end {
		s.publish(r.topic, end)
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.cfg.Topic: {0: kgo.NewOffset().At(start)}})
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			r.collect(p.Records)
			failed = errors.Join(failed, p.Err)
			// Before the last stable offset, every transaction is decided,
			// and as they come one after the other, none is half before it.
			end = max(end, p.LastStableOffset)
		})
		if failed != nil {
			return fmt.Errorf("reading config.storage.topic %s: %w", s.cfg.Topic, s.remedy(failed))
		}
		if r.next >= end {
			s.publish(r.topic, r.next)
		}
	}
}

// reader reads the topic once, from its start.
type reader struct {
	s     *Store
	topic *topic
	next  int64 // offset behind what was read
}

func (r *reader) collect(records []*kgo.Record) {
	for _, rec := range records {
		r.next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		if err := r.topic.apply(string(rec.Key), rec.Value, rec.Offset); err != nil {
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
