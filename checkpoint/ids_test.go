package checkpoint

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What compaction leaves of a set is at most 4 bytes an id, however its ids came.
func TestAnIDTakesLittleOfTheTopic(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		commits [][]int64
		most    float64
	}{
		"new rows, by ones":              {commitsOf(1200, 1, func(i int) int64 { return int64(i) + 1 }), 1.5},
		"new rows, by pages":             {commitsOf(40_000, 50, func(i int) int64 { return int64(i) + 1 }), 1.5},
		"rows of a table that is sparse": {commitsOf(40_000, 500, func(i int) int64 { return int64(i) * 1000 }), 2.5},
		"rows in any order":              {commitsOf(20_000, 500, func(int) int64 { return rnd.Int64N(1 << 21) }), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openTest(t, storePath(t))
			want := map[int64]bool{}
			for i, ids := range c.commits {
				commit := Commit{Stream: acme, Position: Position{Seq: uint64(i + 1)}, IDs: []IDChange{{Set: Known, Add: ids}}}
				mustApply(t, s, int64(i+1), mustJoin(t, s, commit))
				for _, id := range ids {
					want[id] = true
				}
			}
			bytes := 0
			err := s.Whole("checkpoints", 3, func(records []*kgo.Record) error {
				for _, r := range records {
					bytes += len(r.Key) + len(r.Value)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if each := float64(bytes) / float64(len(want)); each > c.most {
				t.Errorf("%.2f bytes an id, of %d; want at most %.1f", each, len(want), c.most)
			}
			var got []int64
			for after := int64(-1); ; after = got[len(got)-1] {
				part, err := s.IDs(acme, Known, after, 777)
				if err != nil {
					t.Fatal(err)
				}
				if len(part) == 0 {
					break
				}
				got = append(got, part...)
			}
			if len(got) != len(want) || !slices.IsSorted(got) {
				t.Errorf("%d ids are told, %d went in", len(got), len(want))
			}
		})
	}
}

func commitsOf(n, each int, id func(int) int64) (commits [][]int64) {
	for i := 0; i < n; i += each {
		var ids []int64
		for k := range each {
			ids = append(ids, id(i+k))
		}
		commits = append(commits, ids)
	}
	return commits
}

// A commit that changes sets goes nowhere before it is joined with what the commit before left.
func TestAChangeOfASetHasToBeJoined(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	c := Commit{Stream: acme, Position: Position{Seq: 1}, IDs: []IDChange{{Set: Known, Add: []int64{1}}}}
	if _, err := c.Records("checkpoints", 3); err == nil {
		t.Error("records were made of it")
	}
	if err := s.Apply([]Commit{c}, 1); err == nil {
		t.Error("it was applied")
	}
	c.Position.Seq = 2
	if _, err := s.Join(c); err == nil {
		t.Error("it was joined with a file that lacks the commit before")
	}
}
