package checkpoint

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.etcd.io/bbolt"
)

// Where the topic has lost its records, the file of its last owner may have what they said. Two things
// tell whether it has: the file's name, which stands where other workers read it too, and how far into the
// data topics the commits reach that it has applied.

// TopicPartition is a partition of a data topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

const (
	keyFile   = "file"
	prefixEnd = "end\x00"
)

// Local is what a state file says of itself.
type Local struct {
	Identity
	File string // its name, which no other file has; "": it was never owned under one
}

// Peek reads what the file at path says of itself, and changes nothing; false where there is none that can
// be read. The error is ErrLocked, or of the disk.
func Peek(path string) (l Local, there bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return Local{}, false, nil
	}
	db, err := openFile(path, 0)
	if _, bad := errors.AsType[*unusable](err); bad {
		return Local{}, false, nil
	}
	if err != nil {
		return Local{}, false, err
	}
	defer func() { _ = db.Close() }()
	err = guard(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			t, _ := tablesOf(tx)
			if t.meta == nil {
				return errSum
			}
			raw, err := unseal([]byte(keyIdentity), t.meta.Get([]byte(keyIdentity)))
			if err != nil {
				return err
			}
			if l.Identity, err = parseIdentity(raw); err != nil {
				return err
			}
			l.File, err = t.fileName()
			return err
		})
	})
	return l, err == nil, nil
}

func (t tables) fileName() (string, error) {
	sealed := t.meta.Get([]byte(keyFile))
	if sealed == nil {
		return "", nil
	}
	name, err := unseal([]byte(keyFile), sealed)
	return string(name), err
}

// Own notes, in one Update, that the file is the owner's from here on: it gets a name, unless it has one,
// which is given back, and ends are the offsets up to which, exclusive, the data topics are accounted for.
func (s *Store) Own(ends map[TopicPartition]int64) (file string, err error) {
	err = s.update(s.Next(), func(u *update) error {
		if file, err = u.fileName(); err != nil {
			return err
		}
		if file == "" {
			file = rand.Text()
			if err := putMeta(u.meta, keyFile, []byte(file)); err != nil {
				return err
			}
		}
		return u.putEnds(ends)
	})
	return file, err
}

func (u *update) putEnds(ends map[TopicPartition]int64) error {
	for at, offset := range ends {
		name := prefixEnd + string(binary.BigEndian.AppendUint32(nil, uint32(at.Partition))) + at.Topic
		if err := putMeta(u.meta, name, binary.BigEndian.AppendUint64(nil, uint64(offset))); err != nil {
			return err
		}
	}
	return nil
}

// Ends gives the offsets up to which, exclusive, the data topics are accounted for by what is applied.
func (s *Store) Ends() (map[TopicPartition]int64, error) {
	ends := map[TopicPartition]int64{}
	err := s.view(func(t tables) error {
		c := t.meta.Cursor()
		for k, v := c.Seek([]byte(prefixEnd)); strings.HasPrefix(string(k), prefixEnd); k, v = c.Next() {
			rest := k[len(prefixEnd):]
			offset, err := unseal(k, v)
			if err != nil || len(offset) != 8 || len(rest) < 4 {
				return fmt.Errorf("%q: %w", k, errSum)
			}
			ends[TopicPartition{string(rest[4:]), int32(binary.BigEndian.Uint32(rest))}] = int64(binary.BigEndian.Uint64(offset))
		}
		return nil
	})
	return ends, err
}

// Whole and Forgotten give about so many records, or bytes of them, at once.
const (
	atOnce      = 500
	soManyBytes = 4 << 20
)

// Whole gives, some at a time, the records that say all that the file holds: of each stream the
// ledger, the rows' states, and last the position. A topic that has them all restores to the same.
// All chunks of a bucket come at once, since entries move between them: where each call is one
// transaction, a topic that held it all before still does after each. fn must not call the store.
func (s *Store) Whole(topic string, partition int32, fn func([]*kgo.Record) error) error {
	return s.tell(topic, partition, tables.whole, fn)
}

// Forgotten gives, some at a time, the tombstones that take all
// that the file holds out of the topic. fn must not call the store.
func (s *Store) Forgotten(topic string, partition int32, fn func([]*kgo.Record) error) error {
	return s.tell(topic, partition, tables.forgotten, fn)
}

func (s *Store) tell(topic string, partition int32, of func(tables, Stream, streamState) ([]change, error), fn func([]*kgo.Record) error) error {
	return s.view(func(t tables) error {
		return t.streams.ForEach(func(k, v []byte) error {
			stream, err := parseStreamKey(k)
			if err != nil {
				return err
			}
			state, err := parseStreamState(k, v)
			if err != nil {
				return err
			}
			changes, err := of(t, stream, state)
			if err != nil {
				return err
			}
			var records []*kgo.Record
			bytes := 0
			for i, c := range changes {
				records = append(records, c.record(topic, partition))
				bytes += len(records[len(records)-1].Value)
				last := i == len(changes)-1
				full := len(records) >= atOnce || bytes >= soManyBytes
				if !last && (!full || c.kind == put && changes[i+1].chunk.Until == c.chunk.Until) {
					continue
				}
				if err := fn(records); err != nil {
					return err
				}
				records, bytes = nil, 0
			}
			return nil
		})
	})
}

// whole is what a stream's records would say. The entries of a bucket of time go to the bucket's chunks in
// their order, as many to each as a commit may have: which of them brought which is not known any more.
func (t tables) whole(st Stream, state streamState) (changes []change, err error) {
	lo, hi := prefixes(state.id)
	chunks, err := t.chunksOf(st, state)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	if err := ascend(t.ledger, lo, hi, func(k, v []byte) (bool, error) {
		_, e, err := parseEntry(k, v)
		entries = append(entries, e)
		return err == nil, err
	}); err != nil {
		return nil, err
	}
	for _, key := range chunks {
		if key.Void { // what it has taken out is in none of those that follow
			continue
		}
		n := 0
		for n < len(entries) && n < MaxEntries && entries[n].At < key.Until {
			n++
		}
		if n > 0 {
			changes = append(changes, change{kind: put, stream: st, chunk: key, entries: entries[:n:n]})
			entries = entries[n:]
		}
	}
	if err := ascend(t.rows, lo, hi, func(k, v []byte) (bool, error) {
		_, row, err := parseRow(k, v)
		changes = append(changes, row.change(st))
		return err == nil, err
	}); err != nil {
		return nil, err
	}
	if err := t.eachBlockOf(state.id, func(b idBlock) { changes = append(changes, b.change(st)) }); err != nil {
		return nil, err
	}
	if state.position.Seq > 0 {
		changes = append(changes, change{kind: move, stream: st, position: state.position})
	}
	return changes, nil
}

func (t tables) forgotten(st Stream, state streamState) (changes []change, err error) {
	lo, hi := prefixes(state.id)
	chunks, err := t.chunksOf(st, state)
	if err != nil {
		return nil, err
	}
	for _, key := range chunks {
		changes = append(changes, change{kind: expire, stream: st, chunk: key})
	}
	err = ascend(t.rows, lo, hi, func(k, v []byte) (bool, error) {
		_, row, err := parseRow(k, v)
		changes = append(changes, change{kind: unset, stream: st, row: RowState{ID: row.ID}})
		return err == nil, err
	})
	err = errors.Join(err, t.eachBlockOf(state.id, func(b idBlock) {
		changes = append(changes, idBlock{set: b.set, from: b.from}.change(st))
	}))
	return append(changes, change{kind: forget, stream: st}), err
}

// eachBlockOf gives the blocks of all sets of a stream.
func (t tables) eachBlockOf(stream uint32, fn func(idBlock)) error {
	lo, hi := prefixes(stream)
	return ascend(t.ids, lo, hi, func(k, v []byte) (bool, error) {
		_, b, err := parseBlockPair(k, v)
		if err == nil {
			fn(b)
		}
		return err == nil, err
	})
}

func (t tables) chunksOf(st Stream, state streamState) (keys []ChunkKey, err error) {
	lo, hi := prefixes(state.id)
	err = ascend(t.chunks, lo, hi, func(k, v []byte) (bool, error) {
		row, err := parseChunk(k, v)
		keys = append(keys, ChunkKey{Stream: st, Until: row.until, Seq: row.seq, Void: row.void})
		return err == nil, err
	})
	return keys, err
}
