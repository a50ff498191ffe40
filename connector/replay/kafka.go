package replay

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// offsets are one of each partition.
type offsets map[place]int64

func sum(o offsets) (n int64) {
	for _, at := range o {
		n += at
	}
	return n
}

func topicsOf(o offsets) map[string]bool {
	topics := map[string]bool{}
	for p := range o {
		topics[p.topic] = true
	}
	return topics
}

// topicReader reads partitions up to given ends, under read_committed.
type topicReader struct {
	cl       *kgo.Client
	at, ends offsets
}

// readerOf reads from the first offsets to the others, exclusive.
func readerOf(kafka []kgo.Opt, from, to offsets) (*topicReader, error) {
	consume := map[string]map[int32]kgo.Offset{}
	for p, at := range from {
		if consume[p.topic] == nil {
			consume[p.topic] = map[int32]kgo.Offset{}
		}
		consume[p.topic][p.partition] = kgo.NewOffset().At(at)
	}
	cl, err := kgo.NewClient(append(slices.Clip(kafka), kgo.ConsumePartitions(consume),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // what retention takes meanwhile is passed over
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	return &topicReader{cl: cl, at: maps.Clone(from), ends: maps.Clone(to)}, nil
}

func (t *topicReader) close() { t.cl.Close() }

// done tells whether every partition was read up to its end.
func (t *topicReader) done() bool {
	for p, end := range t.ends {
		if t.at[p] < end {
			return false
		}
	}
	return true
}

// extend moves ends further.
func (t *topicReader) extend(to offsets) {
	for p, end := range to {
		t.ends[p] = max(t.ends[p], end)
	}
}

// positions are behind what next gave.
func (t *topicReader) positions() offsets { return maps.Clone(t.at) }

// next gives records, until there are so many, or so many bytes, or
// all were read. What lies behind an end is left for when that moves.
func (t *topicReader) next(ctx context.Context, most, bytes int) ([]*kgo.Record, error) {
	var all []*kgo.Record
	for size := 0; !t.done() && len(all) < most && size < bytes; {
		fetches := t.cl.PollRecords(ctx, most-len(all))
		for _, err := range fetches.Errors() {
			return nil, err.Err
		}
		beyond := map[string]map[int32]kgo.EpochOffset{}
		fetches.EachRecord(func(r *kgo.Record) {
			p := place{r.Topic, r.Partition}
			if r.Offset >= t.ends[p] {
				if t.at[p] < t.ends[p] { // what was between is gone by compaction
					t.at[p] = t.ends[p]
				}
				if _, known := beyond[r.Topic][r.Partition]; !known {
					if beyond[r.Topic] == nil {
						beyond[r.Topic] = map[int32]kgo.EpochOffset{}
					}
					beyond[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: -1, Offset: r.Offset}
				}
				return
			}
			t.at[p] = r.Offset + 1
			if !r.Attrs.IsControl() {
				all = append(all, r)
				size += len(r.Key) + len(r.Value)
			}
		})
		if len(beyond) > 0 {
			t.cl.SetOffsets(beyond)
		}
	}
	return all, nil
}

// addOffsets makes the group's offsets part of the transaction that is open.
func (r *run) addOffsets(ctx context.Context, next offsets) error {
	id, epoch, err := r.producer.ProducerID(ctx)
	if err != nil {
		return err
	}
	details, err := r.admin.ListTopics(ctx, slices.Collect(maps.Keys(topicsOf(next)))...)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = r.group, id, epoch, r.group
	added, err := add.RequestWith(ctx, r.producer)
	if err == nil {
		err = kerr.ErrorForCode(added.ErrorCode)
	}
	if err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = r.group, id, epoch, r.group, -1
	at := map[string]int{}
	for p, offset := range next {
		i, known := at[p.topic]
		if !known {
			i = len(commit.Topics)
			at[p.topic] = i
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = p.topic, details[p.topic].ID
			commit.Topics = append(commit.Topics, topic)
		}
		partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset = p.partition, offset
		commit.Topics[i].Partitions = append(commit.Topics[i].Partitions, partition)
	}
	done, err := commit.RequestWith(ctx, r.producer)
	if err != nil {
		return err
	}
	for _, topic := range done.Topics {
		for _, partition := range topic.Partitions {
			if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}

// commitOffsets moves the group's offsets where nothing is to be published with them.
func (r *run) commitOffsets(ctx context.Context, next offsets) error {
	all := kadm.Offsets{}
	for p, offset := range next {
		all.AddOffset(p.topic, p.partition, offset, -1)
	}
	answers, err := r.admin.CommitOffsets(ctx, r.group, all)
	if err != nil {
		return err
	}
	return answers.Error()
}
