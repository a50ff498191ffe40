package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/schemas"
)

// topicContent is what a topic says of one object of one tenant, or of the lines of one of its lists.
type topicContent struct {
	latest   map[int64]place
	versions map[version]struct{}
	repeated map[int64]struct{} // ids of which a version stands there twice
	spread   map[int64]struct{} // ids with versions in several partitions
	oldest   time.Time          // stamp
}

func newTopicContent() topicContent {
	return topicContent{latest: map[int64]place{}, versions: map[version]struct{}{}, repeated: map[int64]struct{}{}, spread: map[int64]struct{}{}}
}

// place is the last record of an id.
type place struct {
	row       int64 // of a line
	updatedAt time.Time
	partition int32
	offset    int64
	deleted   bool
	// digest of the lines that a row has, see digestOf; withoutLines: there is none
	lines        uint64
	withoutLines bool
}

// finding is of what differs there; at is Coupa's version.
func (p place) finding(d Difference, id int64, at time.Time) Finding {
	return Finding{Difference: d, ID: id, Row: p.row, Coupa: at, Topic: p.updatedAt, Partition: p.partition, Offset: p.offset}
}

// version is what may stand in a topic once.
type version struct {
	id, updatedAt int64
	value         uint64 // digest
}

// readTopic reads what the topic says.
func (c *comparison) readTopic(ctx context.Context) (err error) {
	c.topic, c.contents = newTopicContent(), map[int64]content{}
	c.Truncated, err = c.cfg.read(ctx, c.Topic, func(r *kgo.Record, id int64) error {
		in, err := c.placeOf(ctx, r, id)
		if err != nil {
			return err
		}
		c.Records++
		c.topic.add(id, in, r.Value)
		return nil
	}, c.progress)
	return err
}

// read gives a topic's records of the stream, all that were committed when it is
// called, with the id of each. Those of other streams in a shared topic are passed
// over. truncated: the topic has lost its beginning. progress is called now and then.
func (cfg Config) read(ctx context.Context, topic string, take func(r *kgo.Record, id int64) error, progress func()) (truncated bool, err error) {
	cl, err := kgo.NewClient(append(slices.Clone(cfg.Kafka),
		kgo.ClientID("coupastream-verify"), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // what retention takes meanwhile is passed over
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	var begin, end map[int32]int64
	for failed := 0; ; {
		begin, end, err = span(ctx, kadm.NewClient(cl), topic)
		if err == nil {
			break
		}
		if failed, err = waitOut(ctx, failed, err); err != nil {
			return false, err
		}
	}
	left := map[int32]int64{} // offset of the last record to read, by partition
	from := map[int32]kgo.Offset{}
	for partition, last := range end {
		truncated = truncated || begin[partition] > 0
		if begin[partition] < last {
			left[partition], from[partition] = last-1, kgo.NewOffset().At(begin[partition])
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for failed := 0; len(left) > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			if failed, err = waitOut(ctx, failed, err); err != nil {
				return truncated, err
			}
		} else {
			failed = 0
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			last, reading := left[r.Partition]
			if !reading || r.Offset > last {
				delete(left, r.Partition)
				return
			}
			bad = errors.Join(bad, cfg.takeOwn(r, take))
			if r.Offset == last {
				delete(left, r.Partition)
			}
		})
		if bad != nil {
			return truncated, bad
		}
		progress()
	}
	return truncated, nil
}

// waitOut waits before brokers are asked again, which have failed so often in turn before. It returns
// err itself where that does not pass, or has not passed in some minutes.
func waitOut(ctx context.Context, failed int, err error) (int, error) {
	_, closed := errors.AsType[*kgo.ErrFirstReadEOF](err)
	passes := closed || kgo.IsRetryableBrokerErr(err) || kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition)
	if !passes || failed == tries || ctx.Err() != nil {
		return failed, err
	}
	if !clock.Sleep(ctx, backoff.Delay(failed, 0)) {
		return failed, ctx.Err()
	}
	return failed + 1, nil
}

// takeOwn hands on a record of this tenant and object, with its id. Others are left out.
func (cfg Config) takeOwn(r *kgo.Record, take func(r *kgo.Record, id int64) error) error {
	if r.Attrs.IsControl() || header(r, record.HeaderTenant) != cfg.Tenant || header(r, record.HeaderObject) != cfg.Object.Path {
		return nil
	}
	_, id, err := schemas.ParseKey(r.Key)
	if err == nil {
		err = take(r, id)
	}
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	return nil
}

// span gives the first offsets and the ends of what is committed, by partition.
func span(ctx context.Context, admin *kadm.Client, topic string) (begin, end map[int32]int64, err error) {
	offsets := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := list(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		by := map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) { by[o.Partition] = o.Offset })
		return by, err
	}
	begin, beginErr := offsets(admin.ListStartOffsets)
	end, endErr := offsets(admin.ListCommittedOffsets)
	return begin, end, errors.Join(beginErr, endErr)
}

// placeOf reads a record of a row, and what the row holds where that is compared.
func (c *comparison) placeOf(ctx context.Context, r *kgo.Record, id int64) (place, error) {
	in := place{partition: r.Partition, offset: r.Offset, deleted: r.Value == nil, withoutLines: true}
	if c.undated {
		return in, nil
	}
	var err error
	if in.updatedAt, err = stamp(r); err != nil {
		return in, err
	}
	delete(c.contents, id)
	if in.deleted {
		return in, nil
	}
	if c.values.list != "" {
		var ok bool
		if in.lines, ok, err = c.values.lines(ctx, r.Value); err != nil {
			return in, fmt.Errorf("reading the lines: %w", err)
		}
		in.withoutLines = !ok
	}
	if c.rows[id].how == byContent {
		if c.contents[id], err = c.values.content(ctx, r.Value); err != nil {
			return in, fmt.Errorf("reading the row: %w", err)
		}
	}
	return in, nil
}

// add takes in a record of an id. A row without updated-at may be again what it was. Of versions
// in several partitions, which come in no order, the one with the latest updated-at counts.
func (t *topicContent) add(id int64, in place, value []byte) {
	at := in.updatedAt
	if !in.deleted && !at.IsZero() {
		v := version{id, at.Unix(), xxhash.Sum64(value)}
		if _, there := t.versions[v]; there {
			t.repeated[id] = struct{}{}
		}
		t.versions[v] = struct{}{}
	}
	if !at.IsZero() && (t.oldest.IsZero() || at.Before(t.oldest)) {
		t.oldest = at
	}
	before, known := t.latest[id]
	if known && before.partition != in.partition {
		t.spread[id] = struct{}{}
		if before.updatedAt.After(at) {
			return
		}
	}
	t.latest[id] = in
}

// stamp is the row's updated-at that a record carries; zero where the row had none.
func stamp(r *kgo.Record) (time.Time, error) {
	text := header(r, record.HeaderUpdatedAt)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("header %s: %w", record.HeaderUpdatedAt, err)
	}
	return at, nil
}

func header(r *kgo.Record, key string) string {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == key })
	if i < 0 {
		return ""
	}
	return string(r.Headers[i].Value)
}
