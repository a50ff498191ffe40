package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"go.etcd.io/bbolt"
)

func (c counts) plus(d counts) counts {
	return counts{streams: c.streams + d.streams, chunks: c.chunks + d.chunks, entries: c.entries + d.entries}
}

// update is one bbolt transaction that takes changes in the order of the topic.
type update struct {
	tables
	next    int64
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
	next, err := metaUint(t.meta, keyNext)
	return &update{tables: t, next: int64(next), known: map[Stream]*streamState{}, moved: map[Stream]bool{}}, err
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
		return fmt.Errorf("checkpoint: commit %d of %v follows %d: %w", c.Position.Seq, c.Stream, have, ErrBehind)
	}
	for _, ch := range c.changes() {
		if err := u.take(ch); err != nil {
			return err
		}
	}
	return nil
}

// take carries out one change.
func (u *update) take(c change) error {
	if c.kind == fence {
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
	key := appendChunkKey(nil, stream, c.chunk.Until, c.chunk.Seq)
	if u.chunks.Get(key) == nil {
		u.counts.chunks++
	}
	u.pending.add(stream, c.entries)
	return u.chunks.Put(key, seal(key, nil))
}

// expire removes the chunk. When no chunk of its bucket or of an older one is left, the entries below
// the bucket's end go too.
func (u *update) expire(chunk ChunkKey, stream uint32) error {
	key := appendChunkKey(nil, stream, chunk.Until, chunk.Seq)
	if u.chunks.Get(key) == nil {
		return nil
	}
	if err := u.chunks.Delete(key); err != nil {
		return err
	}
	u.counts.chunks--
	lo, _ := prefixes(stream)
	drained := true
	if err := ascend(u.chunks, lo, appendChunkKey(nil, stream, chunk.Until+1, 0), func(_, _ []byte) (bool, error) {
		drained = false
		return false, nil
	}); err != nil || !drained {
		return err
	}
	if err := u.flush(); err != nil {
		return err
	}
	n, err := deleteRange(u.ledger, lo, appendLedgerKey(nil, stream, chunk.Until, 0))
	u.counts.entries -= n
	return err
}

// forget removes all that is known of the stream.
func (u *update) forget(st Stream, stream uint32) error {
	if err := u.flush(); err != nil {
		return err
	}
	lo, hi := prefixes(stream)
	entries, err := deleteRange(u.ledger, lo, hi)
	if err != nil {
		return err
	}
	chunks, err := deleteRange(u.chunks, lo, hi)
	if err != nil {
		return err
	}
	u.counts = u.counts.plus(counts{streams: -1, chunks: -chunks, entries: -entries})
	delete(u.known, st)
	delete(u.moved, st)
	return u.streams.Delete(streamKey(st))
}

// flush writes the pending entries.
func (u *update) flush() error {
	n, err := u.pending.writeTo(u.ledger)
	u.counts.entries += n
	return err
}

// finish writes what the update has gathered, and how far it came.
func (u *update) finish(next int64) error {
	if err := u.flush(); err != nil {
		return err
	}
	for st := range maps.Keys(u.moved) {
		key := streamKey(st)
		if err := u.streams.Put(key, u.known[st].encode(key)); err != nil {
			return err
		}
	}
	u.next = max(u.next, next)
	return putMeta(u.meta, keyNext, binary.BigEndian.AppendUint64(nil, uint64(u.next)))
}
