package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// IDSet is one of the sets of rows' ids that a stream keeps while deletes are looked for.
type IDSet uint8

// The sets of a stream.
const (
	Known   IDSet = iota + 1 // rows that are in the topic
	Missing                  // of these, rows that a sweep has not found and that nobody has confirmed
	Gone                     // rows whose last record is a delete
)

// idSets are the sets as records name them.
var idSets = [...]string{Known: "known", Missing: "missing", Gone: "gone"}

// String names the set as records do: "known", "missing", "gone".
func (s IDSet) String() string {
	if s > 0 && int(s) < len(idSets) {
		return idSets[s]
	}
	return fmt.Sprintf("IDSet(%d)", uint8(s))
}

func parseIDSet(s string) (IDSet, error) {
	if i := slices.Index(idSets[:], s); i > 0 {
		return IDSet(i), nil
	}
	return 0, fmt.Errorf("unknown set of ids %q: %w", s, ErrNewer)
}

// IDChange is what a commit changes of a set: first it is emptied, if Clear says so, then ids go in and out.
type IDChange struct {
	Set         IDSet
	Clear       bool
	Add, Remove []int64 // in any order; one that is in both is out
}

// maxBlock is the most ids of a block: the least whose keys weigh little beside its ids. A
// single id that is new is written with half of that many on average.
const maxBlock = 512

// idBlock is a part of a set: the ids from one on, up to where the next block of the set begins. The
// first block of a set begins at 0, so that each id has a block that it belongs to.
type idBlock struct {
	set  IDSet
	from int64
	ids  []int64 // ascending, each once, at most maxBlock; none: the block is gone
}

func (b idBlock) change(st Stream) change {
	if len(b.ids) == 0 {
		return change{kind: unblock, stream: st, block: b}
	}
	return change{kind: block, stream: st, block: b}
}

const blockVersion = 1

// appendBlock appends the ids of a block in their one form; doc.go gives the bytes.
func appendBlock(dst []byte, b idBlock) []byte {
	dst = binary.AppendUvarint(append(dst, blockVersion), uint64(len(b.ids)))
	last := b.from
	for _, id := range b.ids {
		dst = binary.AppendUvarint(dst, uint64(id-last))
		last = id
	}
	return dst
}

var errBlock = errors.New("a block of ids is malformed")

// parseBlock reads what appendBlock writes behind the block's place.
func parseBlock(set IDSet, from int64, value []byte) (b idBlock, err error) {
	b.set, b.from = set, from
	if len(value) == 0 {
		return b, errBlock
	}
	if value[0] != blockVersion {
		return b, fmt.Errorf("block of ids of version %d, this one reads %d: %w", value[0], blockVersion, ErrNewer)
	}
	n, read := binary.Uvarint(value[1:])
	if value = value[1+max(0, read):]; read <= 0 || n == 0 || n > uint64(len(value)) || n > maxBlock || from < 0 {
		return b, errBlock
	}
	b.ids = make([]int64, n)
	last := from
	for i := range b.ids {
		d, read := binary.Uvarint(value)
		if read <= 0 || i > 0 && d == 0 || d > uint64(1<<63-1-last) {
			return b, errBlock
		}
		value, last = value[read:], last+int64(d)
		b.ids[i] = last
	}
	if len(value) > 0 {
		return b, errBlock
	}
	return b, nil
}

const blockKeyLen = streamIDLen + 1 + 8

// appendBlockKey appends stream | set | first id.
func appendBlockKey(b []byte, stream uint32, set IDSet, from int64) []byte {
	b = append(binary.BigEndian.AppendUint32(b, stream), byte(set))
	return binary.BigEndian.AppendUint64(b, uint64(from))
}

// parseBlockPair reads one pair of bucket ids and the number of its stream.
func parseBlockPair(key, sealed []byte) (uint32, idBlock, error) {
	v, err := unseal(key, sealed)
	if err != nil || len(key) != blockKeyLen || key[4] == 0 || int(key[4]) >= len(idSets) {
		return 0, idBlock{}, fmt.Errorf("ids: %w", errSum)
	}
	b, err := parseBlock(IDSet(key[4]), int64(binary.BigEndian.Uint64(key[5:])), v)
	return binary.BigEndian.Uint32(key), b, err
}

// blockOf is the block that an id belongs to, an empty one that begins at 0 where there is none yet, and
// where the next one begins; 0: there is none.
func (t tables) blockOf(stream uint32, set IDSet, id int64) (b idBlock, next int64, err error) {
	prefix := appendBlockKey(nil, stream, set, 0)[:streamIDLen+1]
	c := t.ids.Cursor()
	begins := func(k []byte) bool { return len(k) == blockKeyLen && string(k[:len(prefix)]) == string(prefix) }
	k, v := c.Seek(appendBlockKey(nil, stream, set, id))
	if begins(k) && int64(binary.BigEndian.Uint64(k[5:])) == id {
		_, b, err = parseBlockPair(k, v)
		k, _ = c.Next()
	} else {
		behind := k
		if k == nil {
			k, v = c.Last()
		} else {
			k, v = c.Prev()
		}
		b = idBlock{set: set}
		if begins(k) {
			_, b, err = parseBlockPair(k, v)
		}
		k = behind
	}
	if begins(k) {
		next = int64(binary.BigEndian.Uint64(k[5:]))
	}
	return b, next, err
}

// blocks are the blocks that changes of sets make of those of the file, those that are gone too.
func (t tables) blocks(stream uint32, all []IDChange) (changed []idBlock, err error) {
	for set := Known; int(set) < len(idSets); set++ {
		cleared, in := false, map[int64]bool{}
		for _, c := range all {
			if c.Set != set {
				continue
			}
			if c.Clear {
				cleared, in = true, map[int64]bool{}
			}
			for _, id := range c.Add {
				in[id] = true
			}
			for _, id := range c.Remove {
				in[id] = false
			}
		}
		made := map[int64]idBlock{}
		if cleared {
			if err := t.eachBlock(stream, set, 0, func(b idBlock) bool {
				made[b.from] = idBlock{set: set, from: b.from}
				return true
			}); err != nil {
				return nil, err
			}
		}
		for ids := slices.Sorted(maps.Keys(in)); len(ids) > 0; {
			was, next := idBlock{set: set}, int64(0)
			if !cleared {
				if was, next, err = t.blockOf(stream, set, ids[0]); err != nil {
					return nil, err
				}
			}
			n := len(ids)
			if next > 0 {
				n, _ = slices.BinarySearch(ids, next)
			}
			if b, differs := was.with(ids[:n], in); differs {
				for _, part := range b.split(was, next == 0) {
					made[part.from] = part
				}
			}
			ids = ids[n:]
		}
		for _, from := range slices.Sorted(maps.Keys(made)) {
			changed = append(changed, made[from])
		}
	}
	return changed, nil
}

// with is the block with ids that are in, and without those that are not.
func (b idBlock) with(ids []int64, in map[int64]bool) (merged idBlock, differs bool) {
	merged = idBlock{set: b.set, from: b.from, ids: make([]int64, 0, len(b.ids)+len(ids))}
	was := b.ids
	for _, id := range ids {
		for len(was) > 0 && was[0] < id {
			merged.ids, was = append(merged.ids, was[0]), was[1:]
		}
		had := len(was) > 0 && was[0] == id
		if had {
			was = was[1:]
		}
		if in[id] {
			merged.ids = append(merged.ids, id)
		}
		differs = differs || had != in[id]
	}
	merged.ids = append(merged.ids, was...)
	return merged, differs
}

// split cuts a block that has become too long: into full ones where ids came behind all that were there,
// as those of new rows do, and else into halves, so that there is room for more.
func (b idBlock) split(was idBlock, last bool) []idBlock {
	if len(b.ids) <= maxBlock {
		return []idBlock{b}
	}
	n := len(was.ids)
	size := maxBlock
	if grown := last && slices.Equal(b.ids[:min(n, len(b.ids))], was.ids); !grown {
		parts := (len(b.ids) + maxBlock - 1) / maxBlock
		size = (len(b.ids) + parts - 1) / parts
	}
	var parts []idBlock
	for ids := range slices.Chunk(b.ids, size) {
		from := ids[0]
		if parts == nil {
			from = b.from
		}
		parts = append(parts, idBlock{set: b.set, from: from, ids: ids})
	}
	return parts
}

// eachBlock gives the blocks of a set from the one on that an id belongs to.
func (t tables) eachBlock(stream uint32, set IDSet, id int64, fn func(idBlock) bool) error {
	first, _, err := t.blockOf(stream, set, id)
	if err != nil {
		return err
	}
	hi := appendBlockKey(nil, stream, set+1, 0)
	return ascend(t.ids, appendBlockKey(nil, stream, set, first.from), hi, func(k, v []byte) (bool, error) {
		_, b, err := parseBlockPair(k, v)
		return err == nil && fn(b), err
	})
}

// IDs gives the ids of a set above one (-1: all), in order, at most limit of them.
func (s *Store) IDs(st Stream, set IDSet, after int64, limit int) (ids []int64, err error) {
	err = s.view(func(t tables) error {
		state, ok, err := t.stream(st)
		if !ok || err != nil {
			return err
		}
		return t.eachBlock(state.id, set, max(0, after), func(b idBlock) bool {
			i, had := slices.BinarySearch(b.ids, after)
			if had {
				i++
			}
			ids = append(ids, b.ids[i:i+min(len(b.ids)-i, limit-len(ids))]...)
			return len(ids) < limit
		})
	})
	return ids, err
}

// joinIDs works out which blocks the commit's changes of sets make. It needs what the commit before left.
func (t tables) joinIDs(c *Commit, state streamState) (err error) {
	if len(c.IDs) == 0 {
		return nil
	}
	if state.position.Seq+1 != c.Position.Seq {
		return fmt.Errorf("commit %d of %v changes sets of ids, and the file stands at %d: %w", c.Position.Seq, c.Stream, state.position.Seq, ErrBehind)
	}
	c.blocks, err = t.blocks(state.id, c.IDs)
	c.blocked = err == nil
	return err
}

func (c IDChange) check() error {
	if c.Set == 0 || int(c.Set) >= len(idSets) {
		return fmt.Errorf("%v is no set of ids", c.Set)
	}
	for _, ids := range [][]int64{c.Add, c.Remove} {
		if len(ids) > 0 && slices.Min(ids) < 0 {
			return errors.New("ids are not negative")
		}
	}
	return nil
}

// setBlock and unsetBlock keep bucket ids.
func (u *update) setBlock(b idBlock, stream uint32) error {
	key := appendBlockKey(nil, stream, b.set, b.from)
	added, err := u.set(u.ids, key, seal(key, appendBlock(nil, b)))
	if added {
		u.counts.blocks++
	}
	return err
}

func (u *update) unsetBlock(b idBlock, stream uint32) error {
	removed, err := u.remove(u.ids, appendBlockKey(nil, stream, b.set, b.from))
	if removed {
		u.counts.blocks--
	}
	return err
}

// void takes entries out of the ledger, and of the young chunks that have them: what those hold is written
// again when they are joined.
func (u *update) void(c change, stream uint32) error {
	if err := u.flush(); err != nil {
		return err
	}
	if len(c.entries) == 0 {
		return nil
	}
	out := map[Entry]bool{}
	for _, e := range c.entries {
		out[e] = true
		removed, err := u.remove(u.ledger, appendLedgerKey(nil, stream, e))
		if err != nil {
			return err
		}
		if removed {
			u.counts.entries--
		}
	}
	var young []chunkRow
	_, hi := prefixes(stream)
	if err := ascend(u.chunks, appendTimeKey(nil, stream, c.entries[0].At), hi, func(k, v []byte) (bool, error) {
		row, err := parseChunk(k, v)
		if slices.ContainsFunc(row.young, func(e Entry) bool { return out[e] }) {
			young = append(young, row)
		}
		return err == nil, err
	}); err != nil {
		return err
	}
	for _, row := range young {
		row.young = slices.DeleteFunc(row.young, func(e Entry) bool { return out[e] })
		key := ChunkKey{Until: row.until, Seq: row.seq}.fileKey(stream)
		if _, err := u.set(u.chunks, key, seal(key, encodeChunk(row.young))); err != nil {
			return err
		}
	}
	key := c.chunk.fileKey(stream)
	added, err := u.set(u.chunks, key, seal(key, nil))
	if added {
		u.counts.chunks++
	}
	return err
}

// voids is the change that takes the commit's voided entries out of
// the ledger. It stays in the topic until the last chunk that may have one of them is gone.
func (c Commit) voids() (ch change, any bool) {
	if len(c.Voided) == 0 {
		return ch, false
	}
	entries := sorted(c.Voided)
	until := BucketEnd(entries[len(entries)-1].At, c.Retention)
	return change{kind: void, stream: c.Stream, chunk: ChunkKey{Stream: c.Stream, Until: until, Seq: c.Position.Seq, Void: true}, entries: entries}, true
}
