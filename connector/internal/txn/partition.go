package txn

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ByKey is the partition of a record that goes by its key, over as many partitions as its topic has now.
const ByKey int32 = -1

// PartitionOf is where a key belongs among n partitions, as Kafka's own clients choose it: murmur2 of the
// key, modulo n. A stream gives it the number that its topic began with, so that partitions which are added
// move no id.
func PartitionOf(key []byte, n int32) int32 {
	return int32(murmur2(key)&0x7fff_ffff) % n
}

// partitioner puts records where they say.
type partitioner struct{}

// ForTopic implements kgo.Partitioner.
func (partitioner) ForTopic(string) kgo.TopicPartitioner { return partitioner{} }

// RequiresConsistency implements kgo.TopicPartitioner: a partition without a leader is waited for.
func (partitioner) RequiresConsistency(*kgo.Record) bool { return true }

// Partition implements kgo.TopicPartitioner.
func (partitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition == ByKey {
		return int(PartitionOf(r.Key, int32(n)))
	}
	return int(r.Partition)
}

// murmur2 is the hash of Kafka's Java client (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(key []byte) uint32 {
	const m, r = 0x5bd1_e995, 24
	h := uint32(0x9747_b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		h = h*m ^ (k^k>>r)*m
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(key[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
