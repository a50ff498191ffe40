package txn

import "github.com/twmb/franz-go/pkg/kgo"

// ByKey is the partition of a record that goes by its key, over as many partitions as its topic has now.
const ByKey int32 = -1

// byKey chooses as Kafka's own clients do: murmur2 of the key, modulo the number of partitions.
// Of records with a key it keeps no state, and one serves all topics.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// PartitionOf is where a record, which must have a key, belongs among n partitions. A stream gives it the
// number that its topic began with, so that partitions which are added move no id.
func PartitionOf(r *kgo.Record, n int32) int32 { return int32(byKey.Partition(r, int(n))) }

// partitioner puts records where they say.
type partitioner struct{}

// ForTopic implements kgo.Partitioner.
func (partitioner) ForTopic(string) kgo.TopicPartitioner { return partitioner{} }

// RequiresConsistency implements kgo.TopicPartitioner: a partition without a leader is waited for.
func (partitioner) RequiresConsistency(*kgo.Record) bool { return true }

// Partition implements kgo.TopicPartitioner.
func (partitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition == ByKey {
		return byKey.Partition(r, n)
	}
	return int(r.Partition)
}
