package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"go.etcd.io/bbolt"
)

// counts say what the tables hold: how many pairs, and the sum of the checksums of all of them. The
// file keeps the sum beside next: pages of two different moments, as a copy of a file in use may
// have them, don't add up to it.
type counts struct {
	streams, chunks, entries, rows, lines, blocks int64
	sum                                           uint64 // wraps around
}

func (c counts) plus(d counts) counts {
	return counts{
		streams: c.streams + d.streams, chunks: c.chunks + d.chunks, entries: c.entries + d.entries, rows: c.rows + d.rows, lines: c.lines + d.lines, blocks: c.blocks + d.blocks, sum: c.sum + d.sum,
	}
}

// update is one bbolt transaction that takes changes in the order of the topic.
type update struct {
	tables
	next    int64  // as the file has it, then as finish wrote it
	sum     uint64 // as the file had it
	counts  counts // what this update adds or, negative, removes
	known   map[Stream]*streamState
	moved   map[Stream]bool // position changed: to be written by finish
	pending puts
}

// fillPercent is how full a page may get before it is split. Keys of a stream come almost in order of
// time, so a page behind the front will hardly grow again.
const fillPercent = 0.95

func newUpdate(tx *bbolt.Tx) (*update, error) {
	t, ok := tablesOf(tx)
	if !ok {
		return nil, errors.New("a bucket is missing")
	}
	t.ledger.FillPercent, t.chunks.FillPercent = fillPercent, fillPercent
	next, sum, err := t.progress()
	return &update{tables: t, next: next, sum: sum, known: map[Stream]*streamState{}, moved: map[Stream]bool{}}, err
}

// set writes one pair and tells whether its key is new. bbolt keeps sealed until the transaction ends.
func (u *update) set(b *bbolt.Bucket, key, sealed []byte) (added bool, err error) {
	old := b.Get(key)
	u.counts.sum += sumOf(sealed) - sumOf(old)
	return old == nil, b.Put(key, sealed)
}

// remove deletes one pair and tells whether it was there.
func (u *update) remove(b *bbolt.Bucket, key []byte) (removed bool, err error) {
	old := b.Get(key)
	if old == nil {
		return false, nil
	}
	u.counts.sum -= sumOf(old)
	return true, b.Delete(key)
}

// removeRange removes the keys from lo up to hi, exclusive, and counts them. It gathers a batch of
// keys before it deletes them, since a cursor loses its place when the tree changes below it.
func (u *update) removeRange(b *bbolt.Bucket, lo, hi []byte) (n int64, err error) {
	const batch = 10_000
	for {
		keys := make([][]byte, 0, batch)
		if err := ascend(b, lo, hi, func(k, _ []byte) (bool, error) {
			keys = append(keys, bytes.Clone(k))
			return len(keys) < batch, nil
		}); err != nil || len(keys) == 0 {
			return n, err
		}
		for _, k := range keys {
			if _, err := u.remove(b, k); err != nil {
				return n, err
			}
		}
		n += int64(len(keys))
		lo = keys[len(keys)-1]
	}
}

// commit takes the steps of one commit, where the file lacks it.
func (u *update) commit(c Commit) error {
	state, err := u.state(c.Stream)
	if err != nil {
		return err
	}
	switch have := state.position.Seq; {
	case c.Position.Seq <= have:
		return nil
	case c.Position.Seq != have+1:
		return fmt.Errorf("commit %d of %v follows %d: %w", c.Position.Seq, c.Stream, have, ErrBehind)
	}
	for _, ch := range c.changes() {
		if err := u.take(ch); err != nil {
			return err
		}
	}
	return u.putEnds(c.Written)
}

// take carries out one change.
func (u *update) take(c change) error {
	if c.kind == fence || c.kind == anchor {
		return nil
	}
	state, err := u.state(c.stream)
	if err != nil {
		return err
	}
	switch c.kind {
	case move:
		return u.move(c, state)
	case put:
		return u.put(c, state.id)
	case expire:
		return u.expire(c.chunk, state.id)
	case set:
		return u.setRow(c.row, state.id)
	case unset:
		return u.unsetRow(c.row, state.id)
	case block:
		return u.setBlock(c.block, state.id)
	case unblock:
		return u.unsetBlock(c.block, state.id)
	case void:
		return u.void(c, state.id)
	default:
		return u.forget(c.stream, state.id)
	}
}

// state finds the stream, and gives a number to a new one.
func (u *update) state(st Stream) (*streamState, error) {
	if s, ok := u.known[st]; ok {
		return s, nil
	}
	s, ok, err := u.stream(st)
	if err != nil {
		return nil, err
	}
	if !ok {
		n, err := u.streams.NextSequence()
		if err != nil {
			return nil, err
		}
		s.id = uint32(n)
		u.moved[st] = true
		u.counts.streams++
	}
	u.known[st] = &s
	return &s, nil
}

// move sets the position. Along the topic a stream's seq only grows: one that falls says that the
// topic was cut back below what the file has applied.
func (u *update) move(c change, state *streamState) error {
	if c.position.Seq < state.position.Seq {
		return fmt.Errorf("%w: commit %d of %v comes after %d", errCut, c.position.Seq, c.stream, state.position.Seq)
	}
	state.position = c.position
	u.moved[c.stream] = true
	return nil
}

// put notes the chunk and its entries; the entries wait in pending, to be written in key order.
func (u *update) put(c change, stream uint32) error {
	key := c.chunk.fileKey(stream)
	u.pending.add(stream, c.entries)
	added, err := u.set(u.chunks, key, seal(key, youngValue(c.entries)))
	if added {
		u.counts.chunks++
	}
	return err
}

// expire removes the chunk. When no chunk of its bucket or of an older one is left, the entries below
// the bucket's end go too.
func (u *update) expire(chunk ChunkKey, stream uint32) error {
	key := chunk.fileKey(stream)
	if had, err := u.remove(u.chunks, key); !had || err != nil {
		return err
	}
	u.counts.chunks--
	lo, _ := prefixes(stream)
	drained := true
	if err := ascend(u.chunks, lo, appendTimeKey(nil, stream, chunk.Until+1), func(_, _ []byte) (bool, error) {
		drained = false
		return false, nil
	}); err != nil || !drained {
		return err
	}
	if err := u.flush(); err != nil {
		return err
	}
	n, err := u.removeRange(u.ledger, lo, appendTimeKey(nil, stream, chunk.Until))
	u.counts.entries -= n
	return err
}

func (u *update) setRow(r RowState, stream uint32) error {
	if err := u.reown(r, stream); err != nil {
		return err
	}
	key := appendRowKey(nil, stream, r.ID)
	added, err := u.set(u.rows, key, seal(key, appendLines(nil, r.Lines)))
	if added {
		u.counts.rows++
	}
	return err
}

func (u *update) unsetRow(r RowState, stream uint32) error {
	if err := u.reown(RowState{ID: r.ID}, stream); err != nil {
		return err
	}
	removed, err := u.remove(u.rows, appendRowKey(nil, stream, r.ID))
	if removed {
		u.counts.rows--
	}
	return err
}

// reown keeps bucket lines, the other way round of bucket rows, in step with a state that is
// about to change. Of a line that two states of one commit hand over, either may come first.
func (u *update) reown(r RowState, stream uint32) error {
	last, err := u.row(stream, r.ID)
	if err != nil {
		return err
	}
	has := make(map[lineKey]bool, len(r.Lines))
	for _, l := range r.Lines {
		has[l.key()] = true
	}
	for _, l := range last.Lines {
		if has[l.key()] {
			delete(has, l.key())
			continue
		}
		key := appendLineKey(nil, stream, l.List, l.ID)
		sealed := u.lines.Get(key)
		if sealed == nil {
			continue
		}
		owner, err := parseOwner(key, sealed)
		if err != nil {
			return err
		}
		if owner == r.ID {
			if _, err := u.remove(u.lines, key); err != nil {
				return err
			}
			u.counts.lines--
		}
	}
	for _, l := range r.Lines {
		if !has[l.key()] {
			continue
		}
		key := appendLineKey(nil, stream, l.List, l.ID)
		added, err := u.set(u.lines, key, seal(key, binary.BigEndian.AppendUint64(nil, uint64(r.ID))))
		if err != nil {
			return err
		}
		if added {
			u.counts.lines++
		}
	}
	return nil
}

// forget removes all that is known of the stream.
func (u *update) forget(st Stream, stream uint32) error {
	if err := u.flush(); err != nil {
		return err
	}
	lo, hi := prefixes(stream)
	entries, err := u.removeRange(u.ledger, lo, hi)
	if err != nil {
		return err
	}
	chunks, err := u.removeRange(u.chunks, lo, hi)
	if err != nil {
		return err
	}
	rows, err := u.removeRange(u.rows, lo, hi)
	if err != nil {
		return err
	}
	lines, err := u.removeRange(u.lines, lo, hi)
	if err != nil {
		return err
	}
	blocks, err := u.removeRange(u.ids, lo, hi)
	if err != nil {
		return err
	}
	u.counts = u.counts.plus(counts{streams: -1, chunks: -chunks, entries: -entries, rows: -rows, lines: -lines, blocks: -blocks})
	delete(u.known, st)
	delete(u.moved, st)
	_, err = u.remove(u.streams, streamKey(st))
	return err
}

// flush writes the pending entries.
func (u *update) flush() error {
	added, err := u.pending.writeTo(u)
	u.counts.entries += added
	return err
}

// finish writes what the update has gathered, and how far it came.
func (u *update) finish(next int64) error {
	if err := u.flush(); err != nil {
		return err
	}
	for st := range maps.Keys(u.moved) {
		key := streamKey(st)
		if _, err := u.set(u.streams, key, u.known[st].encode(key)); err != nil {
			return err
		}
	}
	u.next = max(u.next, next)
	return u.putProgress(u.next, u.sum+u.counts.sum)
}
