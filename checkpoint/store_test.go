package checkpoint

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
)

func storePath(t testing.TB) string {
	return filepath.Join(t.TempDir(), "state", "shard-3.db")
}

func TestAppliedCommitsAreThereAfterAReopen(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	users := Stream{Tenant: "acme", Object: "users"}
	first := commitOf(acme, 1, [3]int64{5, 0, 50}, [3]int64{4, 1, 40})
	second := commitOf(acme, 2, [3]int64{5, 2, 51}, [3]int64{9, -day, 90})
	second.Position.Lines, second.Position.Looked = time.Unix(noon-9, 0).UTC(), []time.Time{time.Unix(noon, 0).UTC(), {}}
	second.Position.Backfill = &Walk{Kind: Snapshot, From: time.Unix(1, 0).UTC(), To: time.Unix(noon, 0).UTC(), Ranges: []Range{{50, 100}, {150, 0}}, Rows: 50}

	s := openTest(t, path)
	if s.Next() != 0 || len(positions(t, s)) != 0 {
		t.Error("a new store is not empty")
	}
	mustApply(t, s, 40, first, commitOf(users, 1, [3]int64{5, 0, 7}))
	mustApply(t, s, 44, second)
	closeChecked(t, s)

	s = openTest(t, path)
	if s.Aside() != "" {
		t.Error(s.Aside())
	}
	if s.Next() != 44 {
		t.Errorf("next is %d", s.Next())
	}
	want := map[Stream]Position{acme: second.Position, users: commitOf(users, 1).Position}
	if got := positions(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("positions are %v, want %v", got, want)
	}
	wantEntries(t, ledger(t, s, acme), [3]int64{9, -day, 90}, [3]int64{5, 0, 50}, [3]int64{4, 1, 40}, [3]int64{5, 2, 51})
	wantEntries(t, ledger(t, s, users), [3]int64{5, 0, 7})
	if got := s.Stats(); got.Entries != 5 || got.Chunks != 4 || got.Streams != 2 || got.FileBytes == 0 {
		t.Errorf("stats are %+v", got)
	}
}

func TestRangeOfTheLedger(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	mustApply(t, s, 1, commitOf(acme, 1, [3]int64{3, 0, 1}, [3]int64{1, 1, 1}, [3]int64{2, 1, 1}, [3]int64{1, 5, 1}, [3]int64{8, -noon - 7, 1}))
	tests := map[string]struct {
		stream   Stream
		from, to int64
		want     [][3]int64
	}{
		"is closed below and open above":       {acme, noon, noon + 1, [][3]int64{{3, 0, 1}}},
		"orders ids within a second":           {acme, noon + 1, noon + 5, [][3]int64{{1, 1, 1}, {2, 1, 1}}},
		"has no end where to is 0":             {acme, noon + 1, 0, [][3]int64{{1, 1, 1}, {2, 1, 1}, {1, 5, 1}}},
		"sorts times before 1970 to the front": {acme, -10, noon, [][3]int64{{8, -noon - 7, 1}}},
		"is empty for a stream not known":      {Stream{"acme", "users"}, 0, 0, nil},
		"keeps tenant and object apart":        {Stream{"acmei", "nvoices"}, 0, 0, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			wantEntries(t, entriesIn(t, s, tt.stream, tt.from, tt.to), tt.want...)
		})
	}
	t.Run("stops when fn says so", func(t *testing.T) {
		n := 0
		if err := s.Range(acme, 0, 0, func(Entry) bool { n++; return n < 2 }); err != nil || n != 2 {
			t.Errorf("called %d times, %v", n, err)
		}
	})
}

// Each of the four members tells two entries apart, and none is dropped for another.
func TestEntriesThatDifferInAnyMemberAreAllKept(t *testing.T) {
	t.Parallel()
	want := []Entry{
		{ID: 5, At: noon, UpdatedAt: noon - 9, Digest: 7},
		{ID: 5, At: noon, UpdatedAt: noon, Digest: 6},
		{ID: 5, At: noon, UpdatedAt: noon, Digest: 7},
		{ID: 5, At: noon, UpdatedAt: noon, Digest: math.MaxUint64},
		{ID: 6, At: noon, UpdatedAt: -1, Digest: 7},
		{ID: 6, At: noon, UpdatedAt: noon, Digest: 7},
		{ID: 5, At: noon + 1, UpdatedAt: noon, Digest: 7},
	}
	mixed := func(seq uint64, entries ...Entry) Commit {
		return Commit{Stream: acme, Position: Position{Seq: seq}, Entries: entries, Retention: week}
	}
	s := openTest(t, storePath(t))
	mustApply(t, s, 1, mixed(1, want[6], want[2], want[1], want[2]))
	mustApply(t, s, 2, mixed(2, want[5], want[4], want[3], want[0], want[6]))
	if got := ledger(t, s, acme); !slices.Equal(got, want) {
		t.Errorf("the ledger holds %v, want %v", got, want)
	}
	if n := s.Stats().Entries; n != int64(len(want)) {
		t.Errorf("counted %d", n)
	}
	if got := entriesIn(t, s, acme, noon+1, 0); !slices.Equal(got, want[6:]) {
		t.Errorf("from the later second on: %v", got)
	}
}

// An entry goes by its At: what its row was updated at neither keeps nor ends it.
func TestAnEntryExpiresByTheTimeOfItsLines(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	c := commitOf(acme, 1, [3]int64{1, -2 * day, 1})
	c.Entries = append(c.Entries, Entry{ID: 1, At: noon, UpdatedAt: noon - 2*day, Digest: 1})
	mustApply(t, s, 1, c)
	gone := commitOf(acme, 2)
	var err error
	if gone.Expired, err = s.ExpiredChunks(acme, BucketEnd(noon, week)-1, 9); err != nil || len(gone.Expired) != 1 {
		t.Fatalf("expired: %v, %v", gone.Expired, err)
	}
	mustApply(t, s, 2, gone)
	if got := ledger(t, s, acme); !slices.Equal(got, c.Entries[1:]) {
		t.Errorf("the ledger holds %v", got)
	}
}

func TestApplyIsIdempotentAndLeavesNoGap(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	one, two, three := commitOf(acme, 1, [3]int64{1, 0, 1}), commitOf(acme, 2, [3]int64{1, 0, 2}), commitOf(acme, 3)
	if err := s.Apply([]Commit{two}, 9); !errors.Is(err, ErrBehind) {
		t.Errorf("a first commit that is not number 1: %v", err)
	}
	mustApply(t, s, 10, one, two)
	mustApply(t, s, 10, one, two)
	mustApply(t, s, 5, one)
	if s.Next() != 10 {
		t.Errorf("next went to %d", s.Next())
	}
	wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1}, [3]int64{1, 0, 2})
	if err := s.Apply([]Commit{commitOf(acme, 4)}, 20); !errors.Is(err, ErrBehind) {
		t.Errorf("a gap: %v", err)
	}
	if s.Next() != 10 {
		t.Errorf("a refused commit moved next to %d", s.Next())
	}
	mustApply(t, s, 20, three, commitOf(acme, 4))
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	end := BucketEnd(noon, week)
	mustApply(t, s, 1, commitOf(acme, 1, [3]int64{1, -2 * day, 1}, [3]int64{2, 0, 1}))
	mustApply(t, s, 2, commitOf(acme, 2, [3]int64{3, -2 * day, 1}, [3]int64{4, -day, 1}))
	expired := func(before int64, max int) []ChunkKey {
		t.Helper()
		out, err := s.ExpiredChunks(acme, before, max)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	old := []ChunkKey{{acme, end - 2*day, 1, false}, {acme, end - 2*day, 2, false}, {acme, end - day, 2, false}}
	if got := expired(end-day, 9); !reflect.DeepEqual(got, old) {
		t.Errorf("expired are %v, want %v", got, old)
	}
	if got := expired(end-day, 2); !reflect.DeepEqual(got, old[:2]) {
		t.Errorf("the first two are %v", got)
	}
	if got := expired(end-day-1, 9); !reflect.DeepEqual(got, old[:2]) {
		t.Errorf("a second earlier %v", got)
	}

	commit := func(seq uint64, gone []ChunkKey, entries ...[3]int64) {
		t.Helper()
		c := commitOf(acme, seq, entries...)
		c.Expired = gone
		mustApply(t, s, int64(seq)*10, c)
	}
	commit(3, old[:1])
	wantEntries(t, ledger(t, s, acme), [3]int64{1, -2 * day, 1}, [3]int64{3, -2 * day, 1}, [3]int64{4, -day, 1}, [3]int64{2, 0, 1})
	commit(4, old[1:2], [3]int64{7, -2 * day, 1})
	wantEntries(t, ledger(t, s, acme), [3]int64{7, -2 * day, 1}, [3]int64{4, -day, 1}, [3]int64{2, 0, 1})
	commit(5, []ChunkKey{old[2], {acme, end - 2*day, 4, false}})
	wantEntries(t, ledger(t, s, acme), [3]int64{2, 0, 1})
	commit(6, old)
	if got := chunks(t, s, acme); !reflect.DeepEqual(got, []ChunkKey{{acme, end, 1, false}}) {
		t.Errorf("chunks left: %v", got)
	}
}

func TestExpiryOfMoreThanOneBatchLeavesOtherStreamsAlone(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	before, after := Stream{"acme", "a"}, Stream{"acme", "z"}
	mustApply(t, s, 1, commitOf(before, 1, [3]int64{1, 0, 1}), many(acme, 1, 25_000, -3*day), commitOf(after, 1, [3]int64{1, -9 * day, 1}))
	c := commitOf(acme, 2, [3]int64{1, 0, 1})
	c.Expired = chunks(t, s, acme)
	mustApply(t, s, 2, c)
	wantEntries(t, ledger(t, s, before), [3]int64{1, 0, 1})
	wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
	wantEntries(t, ledger(t, s, after), [3]int64{1, -9 * day, 1})
}

// many is a commit of n entries, one a second from noon+at on.
func many(stream Stream, seq uint64, n int, at int64) Commit {
	c := commitOf(stream, seq)
	for i := range int64(n) {
		c.Entries = append(c.Entries, Entry{ID: i, At: noon + at + i, UpdatedAt: noon + at + i, Digest: uint64(i)})
	}
	return c
}

func TestListedRowsComeByTheirLines(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	defer closeChecked(t, s)
	c, other := commitOf(acme, 1), commitOf(Stream{Tenant: "acme", Object: "users"}, 1)
	c.Rows = []RowState{{1, []Line{{"a", 9, 1}, {"b", 1, 1}}}, {2, []Line{{"a", 0, 1}, {"a", 4, 1}}}, {3, []Line{{"aa", 5, 1}}}}
	other.Rows = []RowState{{7, []Line{{"a", 3, 1}}}}
	mustApply(t, s, 1, c, other)
	for _, k := range []struct {
		list  string
		after int64
		most  int
		want  []int64 // rows
	}{{"a", -1, 9, []int64{2, 2, 1}}, {"a", 0, 9, []int64{2, 1}}, {"a", -1, 2, []int64{2, 2}}, {"a", 9, 9, nil}, {"aa", 0, 9, []int64{3}}, {"none", -1, 9, nil}} {
		var got []int64
		err := s.Listed(acme, k.list, k.after, func(r RowState) bool { got = append(got, r.ID); return len(got) < k.most })
		if err != nil || !slices.Equal(got, k.want) {
			t.Errorf("%+v: %v %v", k, got, err)
		}
	}
	if n, err := s.CountListed(acme, "a"); n != 3 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
}

func TestForgettingAStream(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	users := Stream{"acme", "users"}
	first, other := commitOf(acme, 1, [3]int64{1, 0, 1}), commitOf(users, 1, [3]int64{2, 0, 2})
	first.Rows, other.Rows = []RowState{{1, []Line{{"a", 1, 1}}}, {2, []Line{{"a", 2, 1}}}}, []RowState{{1, []Line{{"a", 1, 3}}}}
	mustApply(t, s, 1, first, other)
	err := s.update(2, func(u *update) error { return u.take(change{kind: forget, stream: acme}) })
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, ledger(t, s, acme))
	wantEntries(t, ledger(t, s, users), [3]int64{2, 0, 2})
	if got := positions(t, s); len(got) != 1 || len(chunks(t, s, acme)) != 0 {
		t.Errorf("left: %v, %v", got, chunks(t, s, acme))
	}
	if got := rowStates(t, s, acme); len(got) != 0 || rowStates(t, s, users)[1] != "[{a 1 3}]" || s.Stats().Rows != 1 || s.Stats().Lines != 1 {
		t.Errorf("left: %v, %v, %+v", got, rowStates(t, s, users), s.Stats())
	}
	mustApply(t, s, 3, commitOf(acme, 1, [3]int64{3, 0, 3}))
	wantEntries(t, ledger(t, s, acme), [3]int64{3, 0, 3})
}

func TestACommitThatIsRefusedHoldsBackItsWholeCall(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	if err := s.Apply([]Commit{commitOf(acme, 1), commitOf(Stream{"acme", ""}, 1)}, 5); err == nil {
		t.Error("accepted")
	}
	if s.Next() != 0 || len(positions(t, s)) != 0 {
		t.Error("a part of the call was applied")
	}
	mustApply(t, s, 5, commitOf(acme, 1))
}

func TestALockedFileNamesTheRemedy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := storePath(t)
		openTest(t, path)
		_, err := Open(path, testIdentity())
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "state.dir") || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCompactionAtOpen(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s := openTest(t, path)
	for i := range 8 {
		mustApply(t, s, int64(i+1), many(acme, uint64(i+1), 20_000, int64(i)*20_000-10*day))
	}
	c := commitOf(acme, 9, [3]int64{1, 0, 1})
	c.Expired = chunks(t, s, acme)
	mustApply(t, s, 9, c)
	before := s.Stats()
	if before.FreeBytes <= before.FileBytes/2 {
		t.Fatalf("nothing to compact: %+v", before)
	}
	closeChecked(t, s)

	s = openTest(t, path)
	if after := s.Stats(); after.FileBytes > before.FileBytes/10 || s.Next() != 9 || s.Aside() != "" {
		t.Errorf("after: %+v, before: %+v", after, before)
	}
	wantEntries(t, ledger(t, s, acme), [3]int64{1, 0, 1})
	mustApply(t, s, 10, commitOf(acme, 10))
	if _, err := os.Stat(path + ".compact"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy is still there: %v", err)
	}
}

// A file that was created but not laid out, as a crash between the two leaves it, is a new one.
func TestAFileWithoutBuckets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shard-3.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, path)
	if s.Aside() != "" {
		t.Error(s.Aside())
	}
	mustApply(t, s, 1, commitOf(acme, 1))
}

func TestReadsBesideWrites(t *testing.T) {
	t.Parallel()
	s := openTest(t, storePath(t))
	done := make(chan error, 2)
	for range cap(done) {
		go func() {
			var err error
			for s.Next() < 24 && err == nil {
				s.Stats()
				_ = s.Aside()
				seen := 0
				err = s.Range(acme, 0, 0, func(Entry) bool { seen++; return true })
				if seen%50 != 0 {
					err = errors.Join(err, errors.New("a read saw half a commit"))
				}
			}
			done <- err
		}()
	}
	for i := range uint64(24) {
		mustApply(t, s, int64(i+1), many(acme, i+1, 50, int64(i)*50))
		if i == 12 { // swaps the file below the readers
			s.failpoint = func(string) error { return errors.New("disk") }
			if s.Apply([]Commit{commitOf(acme, 14)}, 99) == nil {
				t.Error("applied")
			}
			s.failpoint = nil
		}
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
