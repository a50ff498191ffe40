package txn_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/internal/txn"
)

func TestKeysBelongWhereKafkasOwnClientsPutThem(t *testing.T) {
	theirs := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		key := make([]byte, random.IntN(40))
		for i := range key {
			key[i] = byte(random.Uint32())
		}
		n := 1 + random.Int32N(200)
		if got, want := txn.PartitionOf(&kgo.Record{Key: key}, n), theirs.Partition(&kgo.Record{Key: key}, int(n)); int(got) != want {
			t.Fatalf("key %x among %d partitions: %d, want %d", key, n, got, want)
		}
	}
	// as the tests of Kafka's Java client have them
	for key, hash := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829, "abc": 479470107,
	} {
		if got, want := txn.PartitionOf(&kgo.Record{Key: []byte(key)}, math.MaxInt32), hash&math.MaxInt32; got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}
