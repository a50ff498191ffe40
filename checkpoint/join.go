package checkpoint

import (
	"bytes"
	"slices"

	"go.etcd.io/bbolt"
)

// youngBelow is the number of entries from which on a chunk is not written again.
const youngBelow = 64

// young is the last chunk of a bucket, while it holds less than youngBelow entries.
type young struct {
	key     ChunkKey
	entries []Entry
}

// youngValue is what bucket chunks keeps of a chunk: its bytes while it is young.
func youngValue(entries []Entry) []byte {
	if len(entries) >= youngBelow {
		return nil
	}
	return encodeChunk(entries)
}

// Join makes the commit go on with the young chunks of the buckets that it touches: each is written
// again under its own key, with the commit's entries added. Otherwise a stream that publishes a row
// now and then would leave a record for each in the topic, most of it key.
//
// Young is the last chunk of a bucket while it holds less than 64 entries. It is read from the file,
// which must have applied the stream's commit before this one; where it has not, the commit comes
// back as it is and begins chunks of its own, which is never wrong.
//
// Records and Apply are to be given the same commit. One that is made anew is joined anew.
func (s *Store) Join(c Commit) (Commit, error) {
	c.joined, c.blocks, c.blocked = nil, nil, false
	err := s.view(func(t tables) error {
		state, ok, err := t.stream(c.Stream)
		if err == nil {
			err = t.joinIDs(&c, state)
		}
		if !ok || err != nil || state.position.Seq+1 != c.Position.Seq {
			return err
		}
		for until := range c.buckets() {
			row, ok, err := lastChunk(t.chunks, state.id, until)
			if err != nil {
				return err
			}
			key := ChunkKey{Stream: c.Stream, Until: until, Seq: row.seq}
			held := slices.DeleteFunc(row.young, func(e Entry) bool { return slices.Contains(c.Voided, e) })
			if ok && len(held) > 0 && !slices.Contains(c.Expired, key) {
				c.joined = append(c.joined, young{key: key, entries: held})
			}
		}
		return nil
	})
	return c, err
}

// lastChunk is the chunk of the bucket with the highest seq; ok is false where the bucket has none.
func lastChunk(chunks *bbolt.Bucket, stream uint32, until int64) (row chunkRow, ok bool, err error) {
	c := chunks.Cursor()
	before := c.Prev
	if behind, _ := c.Seek(appendTimeKey(nil, stream, until+1)); behind == nil {
		before = c.Last
	}
	k, v := before()
	if !bytes.HasPrefix(k, appendTimeKey(nil, stream, until)) {
		return chunkRow{}, false, nil
	}
	row, err = parseChunk(k, v)
	return row, err == nil, err
}
