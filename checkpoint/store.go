package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"
)

// ErrBehind says that an earlier Apply failed and was not repeated, that a Restore was not finished, or
// that a commit is missing before this one: the file may take nothing more until Restore has brought
// it to the end of the topic.
var ErrBehind = errors.New("the state file is behind the topic: restore it first")

// Store is the local copy of one checkpoint partition: where every stream is, and the ledger. It
// answers in microseconds what the topic would have to be read for. Losing it loses nothing.
//
// One goroutine may call Apply or Restore; all other methods may be called beside it from any number.
type Store struct {
	path string
	seams

	// Lock order: file before mu.
	// held for reading by whoever reads db, for writing while another file takes its place
	file   sync.RWMutex
	id     Identity
	db     *bbolt.DB // closed itself where the file could not be opened again after a failure, until reopen
	closed bool      // by Close

	mu     sync.Mutex // guards what follows
	counts counts
	next   int64
	aside  string
	owed   map[Stream]uint64 // first commit of each stream that a failed Apply left out
	behind bool              // a Restore began and has not come to its end
}

// seams are set by tests.
type seams struct {
	// failpoint is asked inside an Update, before and after its commit; an error fails the caller there.
	failpoint func(point string) error
	maxSize   int // most bytes of the file; 0: no limit
}

// Open opens the file at path, or makes it, reads all of it once to check it, and writes to it once. A
// file that is damaged, of another format or of another identity is renamed to <path>.aside-<time>,
// and an empty one takes its place: Aside then tells why. An error is ErrLocked, or wraps ErrPlace.
func Open(path string, id Identity) (*Store, error) {
	return open(path, id, seams{})
}

func open(path string, id Identity, with seams) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, placeError(path, err)
	}
	s := &Store{path: path, id: id, seams: with}
	s.file.Lock()
	defer s.file.Unlock()
	if err := s.loadOrReplace(); err != nil {
		return nil, err
	}
	if err := s.claimRoom(); err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	return s, nil
}

// loadOrReplace loads the file, or sets it aside and loads an empty one. The caller holds file, here
// and in load and replace.
func (s *Store) loadOrReplace() error {
	err := s.load()
	if u, ok := errors.AsType[*unusable](err); ok {
		return s.replace(s.id, u.reason)
	}
	return err
}

// load opens the file and takes over what it says. That it is this one that has the name is durable then,
// before anything is applied to it: else a file that was set aside, because it was ahead of the topic, could
// have its name again after a loss of power, when the topic has become longer than it.
func (s *Store) load() error {
	db, n, err := load(s.path, s.id, s.maxSize)
	if err != nil {
		return err
	}
	next, err := readNext(db)
	if err == nil {
		err = syncFolder(filepath.Dir(s.path))
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.db = db
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.next = n, next
	return nil
}

// reopen opens the file, with load or loadOrReplace, where a failure has left it closed.
func (s *Store) reopen(load func() error) error {
	if s.isOpen() {
		return nil
	}
	s.file.Lock()
	defer s.file.Unlock()
	if s.closed {
		return fmt.Errorf("checkpoint: %s: %w", s.path, os.ErrClosed)
	}
	err := load()
	if u, ok := errors.AsType[*unusable](err); ok {
		return fmt.Errorf("checkpoint: %s: %w", s.path, u)
	}
	return err
}

func (s *Store) isOpen() bool {
	s.file.RLock()
	defer s.file.RUnlock()
	return s.db.View(func(*bbolt.Tx) error { return nil }) == nil
}

// startOver sets the file aside, with the reason, and opens an empty one under its name.
func (s *Store) startOver(id Identity, reason string) error {
	s.file.Lock()
	defer s.file.Unlock()
	return s.replace(id, reason)
}

func (s *Store) replace(id Identity, reason string) error {
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return placeError(s.path, err)
		}
	}
	to, err := moveAside(s.path)
	if err != nil {
		return err
	}
	s.id = id
	s.mu.Lock()
	s.counts, s.next = counts{}, 0
	s.aside = fmt.Sprintf("the state file %s was set aside as %s: %s", s.path, to, reason)
	s.mu.Unlock()
	return s.load()
}

// Aside says which file was set aside, since Open, and why: for a warning. "" where none was.
func (s *Store) Aside() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aside
}

// Next is the offset of the checkpoint partition up to which, exclusive, the file is applied.
func (s *Store) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// view runs fn over the tables as the last Apply left them.
func (s *Store) view(fn func(tables) error) error {
	s.file.RLock()
	defer s.file.RUnlock()
	err := s.db.View(func(tx *bbolt.Tx) error {
		t, ok := tablesOf(tx)
		if !ok {
			return errors.New("a bucket is missing")
		}
		return fn(t)
	})
	if err != nil {
		return fmt.Errorf("checkpoint: reading %s: %w", s.path, err)
	}
	return nil
}

// Positions gives the position of every stream that has one.
func (s *Store) Positions() (map[Stream]Position, error) {
	out := map[Stream]Position{}
	err := s.view(func(t tables) error {
		return t.streams.ForEach(func(k, v []byte) error {
			stream, err := parseStreamKey(k)
			if err != nil {
				return err
			}
			state, err := parseStreamState(k, v)
			if err == nil && state.position.Seq > 0 {
				out[stream] = state.position
			}
			return err
		})
	})
	return out, err
}

// Range calls fn for the stream's ledger entries with from ≤ At < to (unix seconds; to 0: no end), in
// order of At, ID, UpdatedAt and Digest, until fn returns false. fn must not call the store: it could
// wait for itself.
func (s *Store) Range(st Stream, from, to int64, fn func(Entry) bool) error {
	return s.view(func(t tables) error {
		number, ok, err := t.number(st)
		if !ok || err != nil {
			return err
		}
		_, hi := prefixes(number)
		if to != 0 {
			hi = appendTimeKey(nil, number, to)
		}
		return ascend(t.ledger, appendTimeKey(nil, number, from), hi, func(k, v []byte) (bool, error) {
			_, e, err := parseEntry(k, v)
			return err == nil && fn(e), err
		})
	})
}

// ExpiredChunks gives the stream's oldest chunks, at most limit, whose bucket ended at or before the
// unix second before. The next commit names them in Expired.
func (s *Store) ExpiredChunks(st Stream, before int64, limit int) ([]ChunkKey, error) {
	var out []ChunkKey
	err := s.view(func(t tables) error {
		number, ok, err := t.number(st)
		if !ok || err != nil {
			return err
		}
		lo, hi := prefixes(number)
		return ascend(t.chunks, lo, hi, func(k, v []byte) (bool, error) {
			row, err := parseChunk(k, v)
			if err != nil || row.until > before || len(out) >= limit {
				return false, err
			}
			out = append(out, ChunkKey{Stream: st, Until: row.until, Seq: row.seq, Void: row.void})
			return true, nil
		})
	})
	return out, err
}

// Row gives the state of a row of the stream, without lines where it has none.
func (s *Store) Row(st Stream, id int64) (row RowState, err error) {
	row.ID = id
	err = s.view(func(t tables) error {
		number, ok, err := t.number(st)
		if !ok || err != nil {
			return err
		}
		row, err = t.row(number, id)
		return err
	})
	return row, err
}

// Owner gives the row of the stream whose state has a line; ok is false where none has it.
func (s *Store) Owner(st Stream, list string, line int64) (row int64, ok bool, err error) {
	err = s.view(func(t tables) error {
		number, known, err := t.number(st)
		if !known || err != nil {
			return err
		}
		key := appendLineKey(nil, number, list, line)
		sealed := t.lines.Get(key)
		if sealed == nil {
			return nil
		}
		row, err = parseOwner(key, sealed)
		ok = err == nil
		return err
	})
	return row, ok, err
}

// Listed calls fn for the state of each row that has a line in a list, for lines with ids
// above after, in their order, until fn returns false. fn must not call the store.
func (s *Store) Listed(st Stream, list string, after int64, fn func(RowState) bool) error {
	return s.view(func(t tables) error {
		return t.listed(st, list, after+1, func(stream uint32, k, sealed []byte) (bool, error) {
			id, err := parseOwner(k, sealed)
			if err != nil {
				return false, err
			}
			row, err := t.row(stream, id)
			return err == nil && fn(row), err
		})
	})
}

// CountListed is how many lines of the stream's rows stand in a list.
func (s *Store) CountListed(st Stream, list string) (n int64, err error) {
	err = s.view(func(t tables) error {
		return t.listed(st, list, 0, func(uint32, []byte, []byte) (bool, error) { n++; return true, nil })
	})
	return n, err
}

// listed goes over the lines of a list, by bucket lines.
func (t tables) listed(st Stream, list string, from int64, fn func(stream uint32, k, sealed []byte) (bool, error)) error {
	state, ok, err := t.stream(st)
	if !ok || err != nil {
		return err
	}
	lo, hi := appendLineKey(nil, state.id, list, from), append(appendLineKey(nil, state.id, list, -1), 0)
	return ascend(t.lines, lo, hi, func(k, v []byte) (bool, error) { return fn(state.id, k, v) })
}

// Rows calls fn for the state of every row of the stream that has one, in order of
// id, until fn returns false. fn must not call the store: it could wait for itself.
func (s *Store) Rows(st Stream, fn func(RowState) bool) error {
	return s.view(func(t tables) error {
		number, ok, err := t.number(st)
		if !ok || err != nil {
			return err
		}
		lo, hi := prefixes(number)
		return ascend(t.rows, lo, hi, func(k, v []byte) (bool, error) {
			_, row, err := parseRow(k, v)
			return err == nil && fn(row), err
		})
	})
}

// row reads the state of a row, one without lines where there is none.
func (t tables) row(stream uint32, id int64) (RowState, error) {
	key := appendRowKey(nil, stream, id)
	sealed := t.rows.Get(key)
	if sealed == nil {
		return RowState{ID: id}, nil
	}
	_, row, err := parseRow(key, sealed)
	return row, err
}

// stream looks a stream up; ok is false where the file doesn't know it.
func (t tables) stream(st Stream) (state streamState, ok bool, err error) {
	key := streamKey(st)
	sealed := t.streams.Get(key)
	if sealed == nil {
		return streamState{}, false, nil
	}
	state, err = parseStreamState(key, sealed)
	return state, err == nil, err
}

// number looks up what stands for a stream in keys, and does not read its position.
func (t tables) number(st Stream) (number uint32, ok bool, err error) {
	key := streamKey(st)
	sealed := t.streams.Get(key)
	if sealed == nil {
		return 0, false, nil
	}
	number, _, err = splitStreamState(key, sealed)
	return number, err == nil, err
}

// Stats are plain numbers for status pages and metrics.
type Stats struct {
	Next      int64 // as Store.Next
	Streams   int64 // streams known
	Chunks    int64 // live ledger records of the topic
	Entries   int64 // ledger entries
	Rows      int64 // rows with a state
	Lines     int64 // lines in these states
	FileBytes int64 // bytes of the file in use, free pages included
	FreeBytes int64 // of these, in free pages; Open compacts the file when they are more than half
}

// Stats is cheap enough to be called for every scrape.
func (s *Store) Stats() Stats {
	s.file.RLock()
	defer s.file.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	free, size := space(s.db)
	return Stats{
		Next: s.next, Streams: s.counts.streams, Chunks: s.counts.chunks, Entries: s.counts.entries, Rows: s.counts.rows, Lines: s.counts.lines,
		FileBytes: size, FreeBytes: free,
	}
}

// Close waits for running reads and releases the file.
func (s *Store) Close() error {
	s.file.Lock()
	defer s.file.Unlock()
	s.closed = true
	return s.db.Close()
}

// readNext gives the offset up to which the file is applied.
func readNext(db *bbolt.DB) (next int64, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		t, _ := tablesOf(tx)
		next, _, err = t.progress()
		return err
	})
	return next, err
}
