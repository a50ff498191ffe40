package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// PartitionOf is the partition of a checkpoint topic that a tenant belongs to, with all its objects.
func PartitionOf(tenant string, partitions int32) int32 {
	return int32(xxhash.Sum64String(tenant) % uint64(partitions))
}

// ReadPositions reads what a tenant's positions are in the topic, as they were committed when it was called.
// It is for programs that own no shard: it fences nobody, and what it gives may have moved since. A topic
// that is not there holds no position.
func ReadPositions(ctx context.Context, opts []kgo.Opt, topic, tenant string) (map[Stream]Position, error) {
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, opts...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		// what goes from the topic's start meanwhile is passed over
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)...)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	starts, startErr := admin.ListStartOffsets(ctx, topic)
	ends, endErr := admin.ListCommittedOffsets(ctx, topic)
	if err := errors.Join(startErr, endErr); err != nil {
		return nil, fmt.Errorf("checkpoint: asking how long topic %s is: %w", topic, err)
	}
	if errors.Is(ends.Error(), kerr.UnknownTopicOrPartition) {
		return nil, nil
	}
	of := ends[topic]
	partition := PartitionOf(tenant, int32(len(of)))
	start, _ := starts.Lookup(topic, partition)
	end := of[partition]
	if err := errors.Join(start.Err, end.Err); err != nil {
		return nil, fmt.Errorf("checkpoint: asking how long partition %d of topic %s is: %w", partition, topic, err)
	}
	positions := map[Stream]Position{}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(start.Offset)}})
	for next := start.Offset; next < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("checkpoint: reading partition %d of topic %s: %w", partition, topic, err)
		}
		var bad error
		fetches.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; !r.Attrs.IsControl() && r.Offset < end.Offset {
				bad = errors.Join(bad, notePosition(positions, tenant, r))
			}
		})
		if bad != nil {
			return nil, fmt.Errorf("checkpoint: partition %d of topic %s: %w", partition, topic, bad)
		}
	}
	return positions, nil
}

// notePosition takes in a record that is of the tenant's positions, and passes others over.
func notePosition(positions map[Stream]Position, tenant string, r *kgo.Record) error {
	k, err := decodeKey(r.Key)
	if errors.Is(err, errForeign) || err == nil && (k.Type != typePosition || k.Tenant != tenant) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("offset %d: %w", r.Offset, err)
	}
	c, err := decode(r.Key, r.Value)
	switch {
	case err != nil:
		return fmt.Errorf("offset %d: %w", r.Offset, err)
	case c.kind == forget:
		delete(positions, c.stream)
	default:
		positions[c.stream] = c.position
	}
	return nil
}
