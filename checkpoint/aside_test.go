package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// filled writes a file with some hundred pages and returns its path.
func filled(t testing.TB) string {
	t.Helper()
	path := storePath(t)
	s := openTest(t, path)
	mustApply(t, s, 7, many(acme, 1, 10_000, 0), commitOf(Stream{"acme", "users"}, 1, [3]int64{1, 0, 1}))
	c := many(acme, 2, 3_000, 5_000)
	c.Rows = []RowState{{ID: 17, Lines: []Line{{"invoice_lines", 171, 1}}}}
	mustApply(t, s, 9, c)
	closeChecked(t, s)
	return path
}

func TestAFileThatDoesNotFitIsSetAside(t *testing.T) {
	t.Parallel()
	edit := func(fn func(tx *bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(fn); err != nil {
				t.Fatal(err)
			}
		}
	}
	truncate := func(size int64) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	whose := func(change func(*Identity)) func(*testing.T, string) {
		return edit(func(tx *bbolt.Tx) error {
			id := testIdentity()
			change(&id)
			return putMeta(tx.Bucket([]byte(bucketMeta)), keyIdentity, id.encode())
		})
	}
	tests := map[string]struct {
		spoil func(*testing.T, string)
		want  string
	}{
		"of another cluster":   {whose(func(id *Identity) { id.ClusterID = "cluster-b" }), `belongs to cluster "cluster-b", this is "cluster-a"`},
		"of an older topic":    {whose(func(id *Identity) { id.TopicID = [16]byte{9} }), "deleted and created again"},
		"of another topic":     {whose(func(id *Identity) { id.Topic = "other" }), "belongs to partition 3 of other"},
		"of another partition": {whose(func(id *Identity) { id.Partition = 1 }), "belongs to partition 1 of checkpoints"},
		"of a newer format": {edit(func(tx *bbolt.Tx) error {
			return putMeta(tx.Bucket([]byte(bucketMeta)), keyFormat, binary.BigEndian.AppendUint64(nil, fileFormat+1))
		}), "its format is 5, this version reads 4"},
		"of an older format, with fewer buckets": {edit(func(tx *bbolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte(bucketRows)), putMeta(tx.Bucket([]byte(bucketMeta)), keyFormat, binary.BigEndian.AppendUint64(nil, fileFormat-1)))
		}), "its format is 3, this version reads 4"},
		"without a bucket":       {edit(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketChunks)) }), "a bucket is missing"},
		"of another application": {edit(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketMeta)) }), "not a state file"},
		"with a row's state that was changed": {edit(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRows))
			k, v := b.Cursor().First()
			v = bytes.Clone(v)
			v[0] ^= 1
			return b.Put(bytes.Clone(k), v)
		}), "damaged"},
		"that lacks a row's state": {edit(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRows))
			k, _ := b.Cursor().First()
			return b.Delete(bytes.Clone(k))
		}), "not all of one moment"},
		"that lacks a line": {edit(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketLines))
			k, _ := b.Cursor().First()
			return b.Delete(bytes.Clone(k))
		}), "not all of one moment"},
		"without an identity": {edit(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketMeta)).Delete([]byte(keyIdentity)) }), "damaged"},
		"with a stray key": {edit(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketLedger)).Put([]byte("x"), seal([]byte("x"), nil))
		}), "damaged"},
		"with a nameless stream": {edit(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketStreams)).Delete(streamKey(acme)) }), "has no name"},
		"cut to half":            {truncate(300 << 10), "it is damaged"},
		"cut to a page":          {truncate(4096), "not a readable state file"},
		"cut to a word":          {truncate(10), "not a readable state file"},
		"that is a text": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not bbolt ", 4096)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a readable state file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			tt.spoil(t, path)
			s := openTest(t, path)
			if !strings.Contains(s.Aside(), tt.want) || !strings.Contains(s.Aside(), path) {
				t.Errorf("the reason is %q", s.Aside())
			}
			if s.Next() != 0 || len(positions(t, s)) != 0 || s.Stats().Entries != 0 {
				t.Error("something was taken over")
			}
			if got := asides(path); len(got) != 1 {
				t.Errorf("set aside: %v", got)
			}
			mustApply(t, s, 1, commitOf(acme, 1))
		})
	}
}

func TestOnlyTheYoungestAsidesAreKept(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	var seen []string
	for i := range 4 {
		id := testIdentity()
		id.Partition = int32(i)
		s, err := Open(path, id)
		if err != nil {
			t.Fatal(err)
		}
		closeChecked(t, s)
		for _, a := range asides(path) {
			if !slices.Contains(seen, a) {
				seen = append(seen, a)
			}
		}
	}
	if got := asides(path); len(seen) != 3 || !slices.Equal(got, seen[1:]) {
		t.Errorf("kept %v of %v", got, seen)
	}
}

// A flipped byte is either in no page in use, or the file is set aside: what a store answers is never
// something else than what was applied.
func TestFlippedBytesNeverChangeAnAnswer(t *testing.T) {
	t.Parallel()
	source := filled(t)
	good, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, source)
	whole, position := ledger(t, s, acme), positions(t, s)[acme]
	closeChecked(t, s)
	path := storePath(t)
	closeChecked(t, openTest(t, path))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	aside := 0
	for range histories(t, 75) {
		at := rnd.IntN(len(good))
		bad := slices.Clone(good)
		bad[at] ^= byte(1 + rnd.IntN(255))
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, testIdentity())
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		switch {
		case s.Aside() != "":
			aside++
		// the younger of bbolt's two meta pages was hit: the state before its last commit
		case s.Next() == 7:
			if n := len(ledger(t, s, acme)); n != 10_000 {
				t.Errorf("byte %d: %d entries of the older state", at, n)
			}
		default:
			if got := ledger(t, s, acme); s.Next() != 9 || !slices.Equal(got, whole) || !reflect.DeepEqual(positions(t, s)[acme], position) {
				t.Errorf("byte %d: next %d, %d entries, position %+v", at, s.Next(), len(got), positions(t, s)[acme])
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if aside == 0 {
		t.Error("no flipped byte was ever noticed")
	}
}

// A copy of a file in use has pages of several moments. Wherever it went from one to another, what the
// store answers is the state of one of them, or the file is set aside.
func TestPagesOfTwoMomentsAreNotTakenForOne(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	s := openTest(t, path)
	mustApply(t, s, 1, many(acme, 1, 300, 0), commitOf(Stream{"acme", "users"}, 1, [3]int64{1, 0, 1}))
	var moments [][]byte
	for seq := uint64(2); seq < 10; seq++ {
		mustApply(t, s, int64(seq), many(acme, seq, 20, int64(seq)*300))
		moments = append(moments, fileOf(t, s))
	}
	closeChecked(t, s)
	aside, whole := 0, 0
	for first := range moments {
		for then := range moments {
			for page := range 40 {
				copied := append(slices.Clone(moments[first][:page*4096]), moments[then][page*4096:]...)
				// Opening what is damaged may leave a lock behind, on that file.
				if err := errors.Join(os.Remove(path), os.WriteFile(path, copied, 0o600)); err != nil {
					t.Fatal(err)
				}
				db, _, err := load(path, testIdentity(), 0)
				if _, ok := errors.AsType[*unusable](err); ok {
					aside++
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				next, err := readNext(db)
				if err != nil {
					t.Fatal(err)
				}
				s := &Store{path: path, db: db}
				seq, n := positions(t, s)[acme].Seq, len(ledger(t, s, acme))
				want := 0 // free pages still have the state before the first commit
				if seq > 0 {
					want = 300 + 20*int(seq-1)
				}
				if whole++; next != int64(seq) || n != want {
					t.Errorf("moment %d, from page %d on moment %d: next %d, seq %d, %d entries", first, page, then, next, seq, n)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if aside == 0 || whole == 0 {
		t.Errorf("%d set aside, %d whole", aside, whole)
	}
}

// What opens a file may panic over what it finds there, with the lock in hand. The file can
// be opened all the same by whoever comes next: to be read, set aside or replaced.
func TestAFileThatCouldNotBeOpenedIsNotLocked(t *testing.T) {
	t.Parallel()
	path := storePath(t)
	closeChecked(t, openTest(t, path))
	_, err := openBy(func(path string, mode os.FileMode, options *bbolt.Options) (*bbolt.DB, error) {
		if _, err := bbolt.Open(path, mode, options); err != nil {
			t.Error(err)
		}
		panic("the list of free pages is none")
	}, path, 0)
	if _, bad := errors.AsType[*unusable](err); !bad {
		t.Fatalf("%v", err)
	}
	if _, there, err := Peek(path); !there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	closeChecked(t, openTest(t, path))
}
