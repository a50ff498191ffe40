package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// inspect reads the whole file: its pages, then whose it is, and every key, order and checksum. A
// ledger of a million entries takes about a fifth of a second.
//
// A file without a bucket is new, or its first process died before it was laid out: it is laid out now.
func inspect(db *bbolt.DB, id Identity) (n counts, err error) {
	fresh := false
	err = guard(func() error {
		if err := checkPages(db); err != nil {
			return err
		}
		return db.View(func(tx *bbolt.Tx) error {
			if root, _ := tx.Cursor().First(); root == nil {
				fresh = true
				return nil
			}
			n, err = inspectTables(tx, id)
			return err
		})
	})
	var u *unusable
	switch {
	case errors.As(err, &u):
		return counts{}, err
	case err != nil:
		return counts{}, unusablef("it is damaged: %v", err)
	case !fresh:
		return n, nil
	}
	if err := db.Update(func(tx *bbolt.Tx) error { return createTables(tx, id) }); err != nil {
		return counts{}, placeError(db.Path(), err)
	}
	return counts{}, nil
}

func inspectTables(tx *bbolt.Tx, id Identity) (n counts, err error) {
	t, ok := tablesOf(tx)
	if t.meta == nil {
		return n, unusablef("it is not a state file of coupastream")
	}
	format, err := metaUint(t.meta, keyFormat)
	if err != nil {
		return n, err
	}
	if format != fileFormat {
		return n, unusablef("its format is %d, this version reads %d", format, fileFormat)
	}
	if !ok {
		return n, errors.New("a bucket is missing")
	}
	raw, err := unseal([]byte(keyIdentity), t.meta.Get([]byte(keyIdentity)))
	if err != nil {
		return n, err
	}
	whose, err := parseIdentity(raw)
	if err != nil {
		return n, err
	}
	if why := whose.differs(id); why != "" {
		return n, unusablef("%s", why)
	}
	_, sum, err := t.progress()
	if err != nil {
		return n, err
	}
	if n, err = t.inspect(); err == nil && n.sum != sum {
		err = errors.New("its pages are not all of one moment")
	}
	return n, err
}

// inspect checks every pair of the tables and counts them.
func (t tables) inspect() (n counts, err error) {
	known := map[uint32]bool{}
	if n.streams, err = inspectBucket(t.streams, &n.sum, func(k, v []byte) error {
		if _, err := parseStreamKey(k); err != nil {
			return err
		}
		s, err := parseStreamState(k, v)
		known[s.id] = true
		return err
	}); err != nil {
		return n, err
	}
	if n.chunks, err = inspectBucket(t.chunks, &n.sum, func(k, v []byte) error {
		row, err := parseChunk(k, v)
		return knownStream(known, row.stream, err)
	}); err != nil {
		return n, err
	}
	if n.rows, err = inspectBucket(t.rows, &n.sum, func(k, v []byte) error {
		stream, _, err := parseRow(k, v)
		return knownStream(known, stream, err)
	}); err != nil {
		return n, err
	}
	if n.lines, err = inspectBucket(t.lines, &n.sum, func(k, v []byte) error {
		_, err := parseOwner(k, v)
		if err == nil && len(k) < streamIDLen {
			err = errSum
		}
		if err != nil {
			return err
		}
		return knownStream(known, binary.BigEndian.Uint32(k), nil)
	}); err != nil {
		return n, err
	}
	if n.blocks, err = inspectBucket(t.ids, &n.sum, func(k, v []byte) error {
		stream, _, err := parseBlockPair(k, v)
		return knownStream(known, stream, err)
	}); err != nil {
		return n, err
	}
	n.entries, err = inspectBucket(t.ledger, &n.sum, func(k, v []byte) error {
		stream, _, err := parseEntry(k, v)
		return knownStream(known, stream, err)
	})
	return n, err
}

func knownStream(known map[uint32]bool, stream uint32, err error) error {
	if err == nil && !known[stream] {
		return fmt.Errorf("stream %d has no name", stream)
	}
	return err
}

// inspectBucket counts the pairs of b, and adds their checksums to sum. Keys that do
// not rise end it: a page that points back at itself would never do so otherwise.
func inspectBucket(b *bbolt.Bucket, sum *uint64, check func(k, v []byte) error) (n int64, err error) {
	var last []byte
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return n, errors.New("keys are out of order")
		}
		if err := check(k, v); err != nil {
			return n, err
		}
		last = k
		*sum += sumOf(v)
		n++
	}
	return n, nil
}
