package checkpoint

import (
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestPositionsAreReadAsTheyAreCommitted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		tenant := "acme"
		for i := 0; PartitionOf(tenant, 4) != 3; i++ {
			tenant = "acme" + string(rune('a'+i))
		}
		one, gone, others := Stream{tenant, "invoices"}, Stream{tenant, "users"}, Stream{"other", "invoices"}
		topics := []Topic{{Name: "coupa.invoices", ID: [16]byte{7}, Partitions: 3}}
		at := func(s Stream, seq uint64) change {
			return change{kind: move, stream: s, position: Position{Seq: seq, Topics: topics}}
		}
		cl := c.client(kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		write := func(end kgo.TransactionEndTry, records ...*kgo.Record) {
			t.Helper()
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
		}
		read := func() map[Stream]Position {
			t.Helper()
			got, err := ReadPositions(t.Context(), c.opts, checkpoints, tenant)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := read(); len(got) != 0 {
			t.Errorf("an empty topic: %v", got)
		}
		write(kgo.TryCommit, at(one, 1).record(checkpoints, 3), at(gone, 1).record(checkpoints, 3), at(others, 1).record(checkpoints, 3),
			FenceRecord(checkpoints, 3, "n"), &kgo.Record{Topic: checkpoints, Partition: 3, Key: []byte("somebody's")})
		write(kgo.TryCommit, at(one, 2).record(checkpoints, 3), change{kind: forget, stream: gone}.record(checkpoints, 3))
		write(kgo.TryAbort, at(one, 3).record(checkpoints, 3))
		if got, want := read(), (map[Stream]Position{one: {Seq: 2, Topics: topics}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got, err := ReadPositions(t.Context(), c.opts, "none", tenant); err != nil || len(got) != 0 {
			t.Errorf("a topic that is not there: %v, %v", got, err)
		}
		write(kgo.TryCommit, &kgo.Record{Topic: checkpoints, Partition: 3, Key: at(one, 1).key(), Value: []byte(`{"seq":9,"lag":1}`)})
		if _, err := ReadPositions(t.Context(), c.opts, checkpoints, tenant); err == nil {
			t.Error("a position that can't be read is no error")
		}
	})
}
