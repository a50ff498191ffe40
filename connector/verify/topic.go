package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/schemas"
)

// topicContent is what a topic says of one object of one tenant.
type topicContent struct {
	latest   map[int64]place
	versions map[version]struct{}
	repeated map[int64]struct{} // ids of which a version stands there twice
	oldest   time.Time          // stamp
}

// place is the last record of an id.
type place struct {
	updatedAt time.Time
	partition int32
	offset    int64
	deleted   bool
}

// version is what may stand in a topic once.
type version struct {
	id, updatedAt int64
	value         uint64 // digest
}

// readTopic reads all that was committed when it is called.
func (c *comparison) readTopic(ctx context.Context) error {
	c.topic = topicContent{latest: map[int64]place{}, versions: map[version]struct{}{}, repeated: map[int64]struct{}{}}
	cl, err := kgo.NewClient(append(slices.Clone(c.cfg.Kafka),
		kgo.ClientID("coupastream-verify"), kgo.DisableClientMetrics(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer cl.Close()
	begin, end, err := c.span(ctx, kadm.NewClient(cl))
	if err != nil {
		return err
	}
	left := map[int32]int64{} // offset of the last record to read, by partition
	from := map[int32]kgo.Offset{}
	for partition, last := range end {
		c.Truncated = c.Truncated || begin[partition] > 0
		if begin[partition] < last {
			left[partition], from[partition] = last-1, kgo.NewOffset().At(begin[partition])
		}
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: from})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			last, reading := left[r.Partition]
			if !reading || r.Offset > last {
				delete(left, r.Partition)
				return
			}
			bad = errors.Join(bad, c.record(r))
			if r.Offset == last {
				delete(left, r.Partition)
			}
		})
		if bad != nil {
			return bad
		}
		c.progress()
	}
	return nil
}

// span gives the first offsets and the ends of what is committed, by partition.
func (c *comparison) span(ctx context.Context, admin *kadm.Client) (begin, end map[int32]int64, err error) {
	offsets := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := list(ctx, c.Topic)
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

// record takes in one record; those of other streams in a shared topic are passed over.
func (c *comparison) record(r *kgo.Record) error {
	if r.Attrs.IsControl() || header(r, connector.HeaderTenant) != c.cfg.Tenant || header(r, connector.HeaderObject) != c.Object {
		return nil
	}
	_, id, err := schemas.ParseKey(r.Key)
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	var at time.Time
	if !c.undated {
		if at, err = time.Parse(time.RFC3339, header(r, connector.HeaderUpdatedAt)); err != nil {
			return fmt.Errorf("partition %d, offset %d: header %s: %w", r.Partition, r.Offset, connector.HeaderUpdatedAt, err)
		}
	}
	c.Records++
	if v := (version{id, at.Unix(), xxhash.Sum64(r.Value)}); r.Value != nil && !c.undated { // an undated row may be again what it was
		if _, there := c.topic.versions[v]; there {
			c.topic.repeated[id] = struct{}{}
		}
		c.topic.versions[v] = struct{}{}
	}
	if c.topic.oldest.IsZero() || at.Before(c.topic.oldest) {
		c.topic.oldest = at
	}
	c.topic.latest[id] = place{updatedAt: at, partition: r.Partition, offset: r.Offset, deleted: r.Value == nil}
	return nil
}

func header(r *kgo.Record, key string) string {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == key })
	if i < 0 {
		return ""
	}
	return string(r.Headers[i].Value)
}
