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
	deletes  map[int64]int32    // how many of an id there are; none: 0
	oldest   time.Time          // stamp
	// records that are there once more because somebody asked for them
	requested int64
}

func newTopicContent() topicContent {
	return topicContent{
		latest: map[int64]place{}, versions: map[version]struct{}{}, repeated: map[int64]struct{}{}, spread: map[int64]struct{}{}, deletes: map[int64]int32{},
	}
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
	return Finding{Difference: d, ID: id, Row: p.row, Coupa: at, Topic: p.updatedAt, Deleted: p.deleted, Partition: p.partition, Offset: p.offset}
}

// version is what may stand in a topic once.
type version struct {
	id, updatedAt int64
	value         uint64 // digest
	deletes       int32  // of the id before it
}

// readTopic reads what the topic says.
func (c *comparison) readTopic(ctx context.Context) (err error) {
	c.topic, c.contents = newTopicContent(), map[int64]content{}
	c.Truncated, err = c.cfg.read(ctx, c.Topic, c.Since, func(r *kgo.Record, id int64) error {
		c.Records++
		if c.isBefore(r, id) {
			return nil
		}
		in, err := c.placeOf(ctx, r, id)
		if err != nil {
			return err
		}
		c.topic.add(id, in, r, c.cfg.Strict)
		return nil
	}, c.progress)
	return err
}

// isBefore tells of a record whether its row was stamped before what is compared,
// and nothing is known of the id that this could change.
func (c *comparison) isBefore(r *kgo.Record, id int64) bool {
	if c.Since.IsZero() || isDelete(r) {
		return false
	}
	at, err := record.StampOf(r)
	if err != nil || !at.Before(c.Since) {
		return false
	}
	c.topic.noteStamp(at)
	_, known := c.topic.latest[id]
	return !known
}

// read gives a topic's records of the stream, all that were committed when it is called, with the id of
// each; with since, those that were produced then or later, and some from before. Those of other streams in
// a shared topic are passed over. truncated: the topic has lost the beginning of that. progress is called
// now and then.
func (cfg Config) read(ctx context.Context, topic string, since time.Time, take func(r *kgo.Record, id int64) error,
	progress func(reading string, done, total int64),
) (truncated bool, err error) {
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
		begin, end, truncated, err = span(ctx, kadm.NewClient(cl), topic, since)
		if err == nil {
			break
		}
		if failed, err = waitOut(ctx, failed, err); err != nil {
			return false, err
		}
	}
	left := map[int32]int64{} // offset of the last record to read, by partition
	from := map[int32]kgo.Offset{}
	var done, total int64 // offsets
	for partition, last := range end {
		if begin[partition] < last {
			left[partition], from[partition] = last-1, kgo.NewOffset().At(begin[partition])
			total += last - begin[partition]
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
			done += r.Offset + 1 - begin[r.Partition]
			begin[r.Partition] = r.Offset + 1
			if r.Offset == last {
				delete(left, r.Partition)
			}
		})
		if bad != nil {
			return truncated, bad
		}
		progress(topic, done, total)
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
	if r.Attrs.IsControl() || record.Header(r, record.HeaderTenant) != cfg.Tenant || record.Header(r, record.HeaderObject) != cfg.Object.Path {
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

// clockSlack is by how much Coupa's clock may be ahead of that which records' timestamps are of, so that
// those of rows that are stamped since an instant are all found. What is missing then is looked for in all
// of the topic.
const clockSlack = time.Hour

// span gives the first offsets and the ends of what is committed, by partition; with since, the first
// offsets of what was produced then or later, and some from before. truncated: the topic has lost the
// beginning of that.
func span(ctx context.Context, admin *kadm.Client, topic string, since time.Time) (begin, end map[int32]int64, truncated bool, err error) {
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
	if err := errors.Join(beginErr, endErr); err != nil {
		return nil, nil, false, err
	}
	first := begin
	if !since.IsZero() {
		begin, err = offsets(func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return admin.ListOffsetsAfterMilli(ctx, since.Add(-clockSlack).UnixMilli(), topics...)
		})
	}
	for partition, at := range first {
		truncated = truncated || at > 0 && at == begin[partition]
	}
	return begin, end, truncated, err
}

// isDelete tells whether a record takes its key out of the topic, or says so beside the one that does.
func isDelete(r *kgo.Record) bool {
	return r.Value == nil || record.Header(r, record.HeaderOp) == record.OpDelete
}

// placeOf reads a record of a row, and what the row holds where that is compared.
func (c *comparison) placeOf(ctx context.Context, r *kgo.Record, id int64) (place, error) {
	in := place{partition: r.Partition, offset: r.Offset, deleted: isDelete(r), withoutLines: true}
	if c.undated {
		return in, nil
	}
	var err error
	if in.updatedAt, err = record.StampOf(r); err != nil {
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

// add takes in a record of an id. A row without updated-at may be again what it was, and so may one that was
// deleted meanwhile. What somebody asked for is repeated only if strict. Of versions in several partitions,
// which come in no order, the one with the latest updated-at counts.
func (t *topicContent) add(id int64, in place, r *kgo.Record, strict bool) {
	at := in.updatedAt
	switch {
	case in.deleted:
		t.deletes[id]++
	case !at.IsZero():
		v := version{id, at.Unix(), xxhash.Sum64(r.Value), t.deletes[id]}
		_, there := t.versions[v]
		asked := there && record.Header(r, record.HeaderReason) == record.ReasonRequested
		if asked {
			t.requested++
		}
		if there && (strict || !asked) {
			t.repeated[id] = struct{}{}
		}
		t.versions[v] = struct{}{}
	}
	t.noteStamp(at)
	before, known := t.latest[id]
	if known && before.partition != in.partition {
		t.spread[id] = struct{}{}
		if before.updatedAt.After(at) {
			return
		}
	}
	t.latest[id] = in
}

func (t *topicContent) noteStamp(at time.Time) {
	if !at.IsZero() && (t.oldest.IsZero() || at.Before(t.oldest)) {
		t.oldest = at
	}
}
