package explain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/txn"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/schemas"
)

// Record is a record of a topic as it is told: where it stands, and no value of it.
type Record struct {
	Topic     string     `json:"topic"`
	Partition int32      `json:"partition"`
	Offset    int64      `json:"offset"`
	Op        string     `json:"op"`         // header coupa.op
	UpdatedAt *time.Time `json:"updated_at"` // header coupa.updated_at; null: it has none
	Written   time.Time  `json:"written"`    // the record's timestamp: when it was produced
	Schema    int        `json:"schema_id"`  // of the value, in the registry; 0: it has none
	Deleted   bool       `json:"deleted"`    // it has no value
	Reason    string     `json:"reason,omitempty"`
}

// stamp is the record's updated-at; zero: it has none.
func (r *Record) stamp() time.Time {
	if r == nil || r.UpdatedAt == nil {
		return time.Time{}
	}
	return *r.UpdatedAt
}

// Search tells how far a topic was read backwards.
type Search struct {
	Topic   string     `json:"topic"`
	Records int64      `json:"records"`  // that were read, of whatever key
	Bytes   int64      `json:"bytes"`    // of the log, as they lie there
	Back    *time.Time `json:"back_to"`  // the oldest of those records; null: none was read
	Through bool       `json:"complete"` // nothing that could tell more was left unread
	Error   string     `json:"error,omitempty"`
	Missing bool       `json:"missing,omitempty"` // the topic is not there
}

// Progress tells how far an answer is: which topic is searched, and how far back.
type Progress struct {
	Topic   string     `json:"topic"`
	Records int64      `json:"records"`
	Bytes   int64      `json:"bytes"`
	Back    *time.Time `json:"back_to"`
}

// wanted is an id that a search looks for.
type wanted struct {
	id      int64
	version time.Time // one of its versions beside the last; zero: none

	last  *Record // of the id
	exact *Record // of that version
	older bool    // a record with an older stamp was met: what is not behind it is not before it
}

func (w *wanted) found() bool {
	return w.last != nil && (w.version.IsZero() || w.exact != nil || w.older)
}

// take takes in a record of the id, later ones first.
func (w *wanted) take(r *Record) {
	if w.last == nil {
		w.last = r
	}
	switch at := r.stamp(); {
	case w.version.IsZero() || at.IsZero():
	case at.Equal(w.version):
		if w.exact == nil {
			w.exact = r
		}
	case at.Before(w.version):
		w.older = true
	}
}

// A search reads a topic backwards in blocks, under read_committed, partition after partition.
type search struct {
	cfg    *Config
	cl     *kgo.Client
	topic  string
	ids    []*wanted
	ends   []*cursor
	result Search
	left   int64 // bytes that may be read still
	said   time.Time
}

// cursor is a partition of which all from at on was read.
type cursor struct {
	partition         int32
	leader            int32
	topicID           kadm.TopicID
	begin, at, blocks int64 // blocks: offsets of the next block
}

const (
	firstBlock = 256 // offsets
	mostBlock  = 64 << 10
	blockBytes = 1 << 20 // of one answer, and about of a block
	wasteful   = 8 * blockBytes
	saidEvery  = time.Second
	fetchTries = 4
)

// find looks for ids in a topic, each first in the partition that its key belongs to, then in all. n is over
// how many partitions the stream spreads ids in it; 0: over as many as there are.
func (c *Config) find(ctx context.Context, cl *kgo.Client, topic string, n int32, ids ...*wanted) Search {
	s := &search{cfg: c, cl: cl, topic: topic, ids: ids, left: c.Most, said: time.Now(), result: Search{Topic: topic}}
	err := s.begin(ctx)
	if err == nil {
		err = s.run(ctx, n)
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		s.result.Missing, s.result.Through = true, true
	case err != nil && ctx.Err() == nil:
		s.result.Error = err.Error()
	}
	return s.result
}

// begin finds out which partitions there are, and what is committed of them.
func (s *search) begin(ctx context.Context) error {
	admin := kadm.NewClient(s.cl)
	topics, err := admin.ListTopics(ctx, s.topic)
	if err == nil {
		err = topics[s.topic].Err
	}
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, s.topic)
	if err != nil {
		return err
	}
	ends, err := admin.ListCommittedOffsets(ctx, s.topic)
	if err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return err
	}
	for _, p := range topics[s.topic].Partitions.Sorted() {
		begin, _ := starts.Lookup(s.topic, p.Partition)
		end, _ := ends.Lookup(s.topic, p.Partition)
		s.ends = append(s.ends, &cursor{
			partition: p.Partition, leader: p.Leader, topicID: topics[s.topic].ID, begin: begin.Offset, at: end.Offset, blocks: firstBlock,
		})
	}
	return nil
}

// run reads until all is found, read or used up.
func (s *search) run(ctx context.Context, n int32) error {
	if n == 0 {
		n = int32(len(s.ends))
	}
	of := map[int32][]*wanted{}
	for _, w := range s.ids {
		if key, known := s.cfg.Key(w.id); known {
			p := txn.PartitionOf(&kgo.Record{Key: key}, n)
			of[p] = append(of[p], w)
		}
	}
	for _, c := range s.ends {
		if err := s.read(ctx, c, of[c.partition]); err != nil {
			return err
		}
	}
	for _, c := range s.ends {
		if err := s.read(ctx, c, s.ids); err != nil {
			return err
		}
	}
	s.result.Through = allFound(s.ids) || !slices.ContainsFunc(s.ends, func(c *cursor) bool { return c.at > c.begin })
	return nil
}

func allFound(ids []*wanted) bool {
	return !slices.ContainsFunc(ids, func(w *wanted) bool { return !w.found() })
}

// read goes back in a partition until the ids are found, or nothing is left to read or to read with.
func (s *search) read(ctx context.Context, c *cursor, until []*wanted) error {
	for !allFound(until) && c.at > c.begin && s.left > 0 && ctx.Err() == nil {
		from := max(c.begin, c.at-c.blocks)
		size, whole, err := s.block(ctx, c, from)
		if err != nil {
			return fmt.Errorf("partition %d from offset %d: %w", c.partition, from, err)
		}
		if whole {
			c.at = from
		}
		switch {
		case !whole:
			c.blocks = max(1, (c.at-from)/8)
		case size < blockBytes/2 && c.blocks < mostBlock:
			c.blocks *= 2
		case size > 2*blockBytes && c.blocks > 1:
			c.blocks /= 2
		}
		if s.cfg.Progress != nil && time.Since(s.said) >= saidEvery {
			s.said = time.Now()
			s.cfg.Progress(Progress{s.topic, s.result.Records, s.result.Bytes, s.result.Back})
		}
	}
	return ctx.Err()
}

// block reads what lies from an offset up to where the partition was read already, and gives its bytes. One
// that turns out too large is left for smaller ones: whole is false then.
func (s *search) block(ctx context.Context, c *cursor, from int64) (bytes int64, whole bool, err error) {
	met := map[*wanted][]*Record{}
	for at := from; at < c.at; {
		if bytes > wasteful && c.at-from > 1 {
			return bytes, false, nil
		}
		fetched, size, next, err := s.patiently(ctx, c, at)
		if errors.Is(err, kerr.OffsetOutOfRange) && fetched.LogStartOffset > at { // by retention
			c.begin = min(fetched.LogStartOffset, c.at)
			at = c.begin
			continue
		}
		if err != nil {
			return bytes, false, err
		}
		bytes += size
		for _, r := range fetched.Records {
			if r.Offset >= c.at {
				break
			}
			w, one, err := s.see(r)
			if err != nil {
				return bytes, false, err
			}
			if w != nil {
				met[w] = append(met[w], one)
			}
		}
		if next <= at { // compaction has left nothing of the rest
			break
		}
		at = next
	}
	for w, all := range met {
		for _, one := range slices.Backward(all) {
			w.take(one)
		}
	}
	return bytes, true, nil
}

// see counts a record, and tells what it is of an id that is looked for; nil: it is of none.
func (s *search) see(r *kgo.Record) (*wanted, *Record, error) {
	s.result.Records++
	if at := r.Timestamp.UTC(); s.result.Back == nil || at.Before(*s.result.Back) {
		s.result.Back = &at
	}
	w := s.wanted(r)
	if w == nil {
		return nil, nil, nil
	}
	one, err := recordOf(r)
	if err != nil {
		return nil, nil, fmt.Errorf("offset %d: %w", r.Offset, err)
	}
	return w, one, nil
}

// patiently is fetch that asks again, of whoever leads the partition, where that fails for a cause that
// passes.
func (s *search) patiently(ctx context.Context, c *cursor, from int64) (fetched kgo.FetchPartition, size, next int64, err error) {
	for try := 1; ; try++ {
		fetched, size, next, err = s.fetch(ctx, c, from)
		if err == nil {
			err = fetched.Err
		}
		if err == nil || try == fetchTries || !passes(err) || !clock.Sleep(ctx, time.Duration(try)*100*time.Millisecond) {
			s.result.Bytes += size
			s.left -= size
			return fetched, size, next, err
		}
		if err := s.lead(ctx, c); err != nil {
			return fetched, 0, from, err
		}
	}
}

func passes(err error) bool { return kgo.IsRetryableBrokerErr(err) || kerr.IsRetriable(err) }

// lead asks again who leads a partition.
func (s *search) lead(ctx context.Context, c *cursor) error {
	topics, err := kadm.NewClient(s.cl).ListTopics(ctx, s.topic)
	if err == nil {
		err = topics[s.topic].Err
	}
	if err == nil {
		c.leader = topics[s.topic].Partitions[c.partition].Leader
	}
	return err
}

// fetch asks for what lies from an offset on, and gives its size in the log, and the offset behind what came.
func (s *search) fetch(ctx context.Context, c *cursor, from int64) (fetched kgo.FetchPartition, size, next int64, err error) {
	ask := kmsg.NewPtrFetchRequest()
	ask.MaxWaitMillis, ask.MinBytes, ask.MaxBytes, ask.IsolationLevel, ask.SessionEpoch = 100, 1, blockBytes, 1, -1
	topic, one := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	topic.Topic, topic.TopicID = s.topic, c.topicID
	one.Partition, one.FetchOffset, one.PartitionMaxBytes = c.partition, from, blockBytes
	topic.Partitions = append(topic.Partitions, one)
	ask.Topics = append(ask.Topics, topic)
	answer, err := s.cl.Broker(int(c.leader)).RetriableRequest(ctx, ask)
	if err != nil {
		return fetched, 0, from, err
	}
	got := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return fetched, 0, from, err
	}
	if len(got.Topics) != 1 || len(got.Topics[0].Partitions) != 1 {
		return fetched, 0, from, kerr.UnknownServerError
	}
	raw := &got.Topics[0].Partitions[0]
	fetched, next = kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: s.topic, Partition: c.partition,
	}, raw, kgo.DefaultDecompressor(), nil)
	return fetched, int64(len(raw.RecordBatches)), next, nil
}

// wanted is the id that is looked for which a record is of; nil: it is of none.
func (s *search) wanted(r *kgo.Record) *wanted {
	if record.Header(r, record.HeaderTenant) != s.cfg.Tenant || record.Header(r, record.HeaderObject) != s.cfg.Stream.Path {
		return nil
	}
	_, id, err := schemas.ParseKey(r.Key)
	if err != nil {
		return nil // nobody wrote it who writes such keys
	}
	if i := slices.IndexFunc(s.ids, func(w *wanted) bool { return w.id == id }); i >= 0 {
		return s.ids[i]
	}
	return nil
}

// recordOf is what is told of a record.
func recordOf(r *kgo.Record) (*Record, error) {
	one := &Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Op: record.Header(r, record.HeaderOp), Written: r.Timestamp.UTC(), Deleted: r.Value == nil,
		Reason: record.Header(r, record.HeaderErrorMessage),
	}
	const framing = 5
	if len(r.Value) > framing && r.Value[0] == 0 {
		one.Schema = int(binary.BigEndian.Uint32(r.Value[1:]))
	}
	at, err := record.StampOf(r)
	if err != nil {
		return nil, err
	}
	one.UpdatedAt = instant(at)
	return one, nil
}
