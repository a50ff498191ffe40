package checkpoint

import (
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestWhatAFileTellsOfItselfRestoresToTheSame(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		path := filepath.Join(t.TempDir(), "shard.db")
		s := openTest(t, path)
		for seq := uint64(1); seq <= 40; seq++ {
			at := -int64(seq) * hour
			one := commitOf(acme, seq, [3]int64{int64(seq), at, 1}, [3]int64{int64(seq) + 100, at + 5, 2})
			one.Position.Topics = []Topic{{Name: "coupa.invoices", Partitions: 3}}
			one.Rows = []RowState{{ID: int64(seq), Lines: []Line{{"lines", int64(seq) * 10, seq}}}}
			mustApply(t, s, int64(seq), one)
		}
		mustApply(t, s, 41, commitOf(Stream{"acme", "users"}, 1))
		write := func(all func(string, int32, func([]*kgo.Record) error) error) {
			t.Helper()
			cl := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err := all(checkpoints, 3, func(records []*kgo.Record) error { return cl.ProduceSync(t.Context(), records...).FirstErr() }); err != nil {
				t.Fatal(err)
			}
		}
		restored := func() *Store {
			t.Helper()
			fresh := c.open(t, filepath.Join(t.TempDir(), "fresh.db"))
			c.takeOver(fresh)
			return fresh
		}
		write(s.Whole)
		got := restored()
		if want := positions(t, s); !reflect.DeepEqual(positions(t, got), want) {
			t.Errorf("positions %+v, want %+v", positions(t, got), want)
		}
		if !slices.Equal(ledger(t, got, acme), ledger(t, s, acme)) {
			t.Errorf("the ledger is %v, want %v", ledger(t, got, acme), ledger(t, s, acme))
		}
		if !maps.Equal(rowStates(t, got, acme), rowStates(t, s, acme)) {
			t.Errorf("rows %v, want %v", rowStates(t, got, acme), rowStates(t, s, acme))
		}
		write(got.Forgotten)
		if empty := restored().Stats(); empty.Streams+empty.Entries+empty.Chunks+empty.Rows+empty.Lines != 0 {
			t.Errorf("what was forgotten is there: %+v", empty)
		}
	})
}

func TestAFileKnowsItsNameAndHowFarTheDataTopicsAreAccountedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shard.db")
	if _, there, err := Peek(path); there || err != nil {
		t.Errorf("where no file is: %v, %v", there, err)
	}
	s := openTest(t, path)
	a, b := TopicPartition{"coupa.invoices", 0}, TopicPartition{"coupa.invoices", 257}
	name, err := s.Own(map[TopicPartition]int64{a: 5, b: 0})
	if err != nil || name == "" {
		t.Fatalf("%q, %v", name, err)
	}
	c := commitOf(acme, 1)
	c.Written = map[TopicPartition]int64{b: 9}
	mustApply(t, s, 3, c)
	closeChecked(t, s)
	if l, there, err := Peek(path); !there || err != nil || l.File != name || l.Identity != testIdentity() {
		t.Errorf("%+v, %v, %v, want %q", l, there, err, name)
	}
	s = openTest(t, path)
	if again, err := s.Own(nil); err != nil || again != name {
		t.Errorf("%q, %v, want the name that it had, %q", again, err, name)
	}
	ends, err := s.Ends()
	if want := (map[TopicPartition]int64{a: 5, b: 9}); err != nil || !maps.Equal(ends, want) {
		t.Errorf("%v, %v, want %v", ends, err, want)
	}
	closeChecked(t, s)
}
