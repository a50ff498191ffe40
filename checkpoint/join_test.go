package checkpoint

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func mustJoin(t testing.TB, s *Store, c Commit) Commit {
	t.Helper()
	c, err := s.Join(c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSmallCommitsShareChunks(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s := openTest(t, path)
	var log []change
	for seq := uint64(1); seq <= 200; seq++ {
		c := mustJoin(t, s, many(acme, seq, 1, int64(seq)))
		mustApply(t, s, int64(seq), c)
		log = append(log, throughRecords(t, c)...)
		if seq%50 == 0 {
			closeChecked(t, s)
			s = openTest(t, path)
		}
	}
	end := BucketEnd(noon, week)
	want := []ChunkKey{{acme, end, 1, false}, {acme, end, 65, false}, {acme, end, 129, false}, {acme, end, 193, false}}
	if got := chunks(t, s, acme); !slices.Equal(got, want) {
		t.Errorf("chunks are %v, want %v", got, want)
	}
	for _, again := range []*Store{replay(t, log), replay(t, compactLog(log))} {
		if !slices.Equal(ledger(t, again, acme), ledger(t, s, acme)) || !slices.Equal(chunks(t, again, acme), want) {
			t.Errorf("read again: %d entries in %v", len(ledger(t, again, acme)), chunks(t, again, acme))
		}
	}
	gone := commitOf(acme, 201)
	gone.Expired = want
	mustApply(t, s, 201, mustJoin(t, s, gone))
	wantEntries(t, ledger(t, s, acme))
}

func TestJoin(t *testing.T) {
	t.Parallel()
	end := BucketEnd(noon, week)
	today := []ChunkKey{{acme, end, 2, false}}
	tests := map[string]struct {
		commit Commit
		want   []ChunkKey // that the commit writes again
	}{
		"goes on with the last chunk of each bucket":        {commitOf(acme, 4, [3]int64{9, 1, 9}, [3]int64{9, 2, 9}, [3]int64{9, -day, 9}), []ChunkKey{{acme, end - day, 1, false}, {acme, end, 2, false}}},
		"leaves a chunk of 64 entries":                      {commitOf(acme, 4, [3]int64{9, -2 * day, 9}), nil},
		"leaves a bucket without a chunk":                   {commitOf(acme, 4, [3]int64{9, day, 9}, [3]int64{9, 9 * day, 9}, [3]int64{9, -9 * day, 9}), nil},
		"leaves a chunk that the commit lets expire":        {expiring(commitOf(acme, 4, [3]int64{9, 1, 9}), today), nil},
		"takes nothing from another stream":                 {commitOf(Stream{"acme", "invoicez"}, 2, [3]int64{9, 1, 9}), nil},
		"takes nothing for a stream that is not known":      {commitOf(Stream{"acme", "users"}, 1, [3]int64{9, 1, 9}), nil},
		"takes nothing from a file that lacks a commit":     {commitOf(acme, 5, [3]int64{9, 1, 9}), nil},
		"takes nothing from a file that has the commit":     {commitOf(acme, 3, [3]int64{9, 1, 9}), nil},
		"leaves a commit without entries":                   {commitOf(acme, 4), nil},
		"goes by the end of the bucket, whatever its width": {hourly(commitOf(acme, 4, [3]int64{9, 1, 9}, [3]int64{9, 12*hour - 1, 9})), today},
	}
	s := openTest(t, storePath(t))
	mustApply(t, s, 1, many(acme, 1, 3, -day), commitOf(Stream{"acme", "invoicez"}, 1))
	mustApply(t, s, 2, many(acme, 2, 63, 0))
	mustApply(t, s, 3, many(acme, 3, 64, -2*day))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			before := len(tt.commit.Entries)
			c := mustJoin(t, s, mustJoin(t, s, tt.commit))
			var got []ChunkKey
			for _, ch := range throughRecords(t, c) {
				if ch.kind == put && ch.chunk.Seq < c.Position.Seq {
					got = append(got, ch.chunk)
				}
			}
			if !slices.Equal(got, tt.want) || len(c.Entries) != before {
				t.Errorf("goes on with %v, want %v", got, tt.want)
			}
		})
	}
}

func expiring(c Commit, gone []ChunkKey) Commit {
	c.Expired = gone
	return c
}

func hourly(c Commit) Commit {
	c.Retention = time.Hour
	return c
}

// A transaction with a chunk that is written again may be aborted, or repeated by the next owner.
func TestJoinedChunksInTransactionsThatAreAborted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, c *cluster) {
		s := c.open(t, storePath(t))
		owner := c.takeOver(s)
		for seq := uint64(1); seq <= 10; seq++ {
			dropped := mustJoin(t, s, commitOf(acme, seq, [3]int64{100 + int64(seq), 0, 1}))
			c.transaction(owner, kgo.TryAbort, c.records(dropped)...)
			commit := mustJoin(t, s, commitOf(acme, seq, [3]int64{int64(seq), 0, 1}))
			if seq%3 == 0 { // dies before it applies
				c.commit(owner, nil, commit)
				owner = c.takeOver(s)
				continue
			}
			c.commit(owner, s, commit)
		}
		<-time.After(2 * tombstonesKept) // of fake time
		c.fake.Compact()
		again := c.open(t, storePath(t))
		c.takeOver(again)
		if got := ledger(t, again, acme); len(got) != 10 || !slices.Equal(got, ledger(t, s, acme)) {
			t.Errorf("read again: %v", got)
		}
		if !reflect.DeepEqual(chunks(t, again, acme), []ChunkKey{{acme, BucketEnd(noon, week), 1, false}}) {
			t.Errorf("chunks are %v", chunks(t, again, acme))
		}
	})
}
