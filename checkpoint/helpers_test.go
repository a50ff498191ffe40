package checkpoint

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var acme = Stream{Tenant: "acme", Object: "invoices"}

const (
	week = 7 * 24 * time.Hour
	noon = int64(1795435200) // 2026-11-23T12:00:00Z
)

func testIdentity() Identity {
	return Identity{ClusterID: "cluster-a", TopicID: [16]byte{1, 2, 3}, Topic: "checkpoints", Partition: 3}
}

// openTest opens a store and, when the test ends, checks the file page by page.
func openTest(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, testIdentity())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeChecked(t, s) })
	return s
}

// closeChecked closes the store, and checks pages, keys, checksums and counts of its file. It does
// nothing for a store that is closed: its file may be another one's by now.
func closeChecked(t testing.TB, s *Store) {
	t.Helper()
	if s.closed {
		return
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		n, err := inspectTables(tx, s.id)
		if err != nil {
			return err
		}
		if n != s.counts {
			return fmt.Errorf("the file holds %+v, memory says %+v", n, s.counts)
		}
		for err := range tx.Check() {
			return err
		}
		return checkPages(db)
	})
	if err != nil {
		t.Errorf("%s: %v", filepath.Base(s.path), err)
	}
}

// commitOf is a commit whose entries are (id, at − noon, digest) triples, updated-at being at.
func commitOf(stream Stream, seq uint64, triples ...[3]int64) Commit {
	c := Commit{Stream: stream, Position: Position{Seq: seq, Mark: time.Unix(noon+int64(seq), 0).UTC()}, Retention: week}
	for _, e := range triples {
		c.Entries = append(c.Entries, Entry{ID: e[0], At: noon + e[1], UpdatedAt: noon + e[1], Digest: uint64(e[2])})
	}
	return c
}

func mustApply(t testing.TB, s *Store, next int64, commits ...Commit) {
	t.Helper()
	if err := s.Apply(commits, next); err != nil {
		t.Fatal(err)
	}
}

func ledger(t testing.TB, s *Store, stream Stream) []Entry {
	t.Helper()
	return entriesIn(t, s, stream, minUnix, 0)
}

func entriesIn(t testing.TB, s *Store, stream Stream, from, to int64) []Entry {
	t.Helper()
	var out []Entry
	if err := s.Range(stream, from, to, func(e Entry) bool { out = append(out, e); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

// rowStates are the states of a stream as text. The store must give each
// of them alone, the row of each line, and the rows of each list, too.
func rowStates(t testing.TB, s *Store, stream Stream) map[int64]string {
	t.Helper()
	out := map[int64]string{}
	last := int64(-1)
	var all []RowState
	if err := s.Rows(stream, func(r RowState) bool {
		if r.ID <= last {
			t.Errorf("row %d comes after row %d", r.ID, last)
		}
		last = r.ID
		out[r.ID] = fmt.Sprint(r.Lines)
		all = append(all, r)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	byLine := map[string]map[int64]RowState{}
	for _, r := range all {
		for _, l := range r.Lines {
			if byLine[l.List] == nil {
				byLine[l.List] = map[int64]RowState{}
			}
			byLine[l.List][l.ID] = r
		}
	}
	for list, rows := range byLine {
		ids := slices.Sorted(maps.Keys(rows))
		n, err := s.CountListed(stream, list)
		if n != int64(len(ids)) || err != nil {
			t.Errorf("list %s has %d lines, %v; want %d", list, n, err, len(ids))
		}
		for after := range ids { // from each of its lines on
			var got, want []RowState
			for _, id := range ids[after+1:] {
				want = append(want, rows[id])
			}
			err := s.Listed(stream, list, ids[after], func(r RowState) bool { got = append(got, r); return true })
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("list %s behind line %d: %v %v, want %v", list, ids[after], got, err, want)
			}
		}
	}
	for _, r := range all {
		if got, err := s.Row(stream, r.ID); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("row %d alone: %v %v, want %v", r.ID, got, err, r)
		}
		for _, l := range r.Lines {
			if row, ok, err := s.Owner(stream, l.List, l.ID); err != nil || !ok || row != r.ID {
				t.Errorf("line %v is of row %d %v %v, want %d", l, row, ok, err, r.ID)
			}
		}
	}
	return out
}

func positions(t testing.TB, s *Store) map[Stream]Position {
	t.Helper()
	p, err := s.Positions()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func chunks(t testing.TB, s *Store, stream Stream) []ChunkKey {
	t.Helper()
	out, err := s.ExpiredChunks(stream, maxUnix, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantEntries compares with (id, updated-at − noon, digest) triples.
func wantEntries(t testing.TB, got []Entry, triples ...[3]int64) {
	t.Helper()
	want := commitOf(acme, 1, triples...).Entries
	if !slices.Equal(got, want) {
		t.Errorf("ledger holds %v, want %v", got, want)
	}
}

// histories is how many random runs a property gets: as many as the
// environment variable HISTORIES says, or short where it says nothing.
func histories(t testing.TB, short int) int {
	t.Helper()
	text := os.Getenv("HISTORIES")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("HISTORIES is %q, and should be a count", text)
	}
	return n
}
