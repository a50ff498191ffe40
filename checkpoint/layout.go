package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"go.etcd.io/bbolt"
)

// fileFormat is the version of the file's layout; doc.go gives the bytes.
const fileFormat = 4

// Buckets of the file, and the keys of bucket meta.
const (
	bucketMeta    = "meta"
	bucketStreams = "streams"
	bucketLedger  = "ledger"
	bucketChunks  = "chunks"
	bucketRows    = "rows"
	bucketLines   = "lines"
	bucketIDs     = "ids"
	bucketRoom    = "room" // only while Open claims it

	keyFormat   = "format"
	keyIdentity = "identity"
	keyNext     = "next"
)

const (
	sumLen       = 4
	streamIDLen  = 4
	ledgerKeyLen = streamIDLen + 8 + 8 + 8 + 8
	chunkKeyLen  = streamIDLen + 8 + 8
	rowKeyLen    = streamIDLen + 8
)

var errSum = errors.New("a value does not match its checksum")

// tables are the buckets of one transaction.
type tables struct{ meta, streams, ledger, chunks, rows, lines, ids *bbolt.Bucket }

// tablesOf opens the buckets; ok is false where one is missing.
func tablesOf(tx *bbolt.Tx) (t tables, ok bool) {
	t = tables{
		meta:    tx.Bucket([]byte(bucketMeta)),
		streams: tx.Bucket([]byte(bucketStreams)),
		ledger:  tx.Bucket([]byte(bucketLedger)),
		chunks:  tx.Bucket([]byte(bucketChunks)),
		rows:    tx.Bucket([]byte(bucketRows)),
		lines:   tx.Bucket([]byte(bucketLines)),
		ids:     tx.Bucket([]byte(bucketIDs)),
	}
	return t, t.meta != nil && t.streams != nil && t.ledger != nil && t.chunks != nil && t.rows != nil && t.lines != nil && t.ids != nil
}

// createTables lays out an empty file.
func createTables(tx *bbolt.Tx, id Identity) error {
	for _, name := range []string{bucketMeta, bucketStreams, bucketLedger, bucketChunks, bucketRows, bucketLines, bucketIDs} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	t, _ := tablesOf(tx)
	if err := putMeta(t.meta, keyFormat, binary.BigEndian.AppendUint64(nil, fileFormat)); err != nil {
		return err
	}
	return putMeta(t.meta, keyIdentity, id.encode())
}

func putMeta(b *bbolt.Bucket, name string, value []byte) error {
	return b.Put([]byte(name), seal([]byte(name), value))
}

// metaUint reads a number of bucket meta, 0 where there is none.
func metaUint(b *bbolt.Bucket, name string) (uint64, error) {
	sealed := b.Get([]byte(name))
	if sealed == nil {
		return 0, nil
	}
	v, err := unseal([]byte(name), sealed)
	if err != nil || len(v) != 8 {
		return 0, fmt.Errorf("%s: %w", name, errSum)
	}
	return binary.BigEndian.Uint64(v), nil
}

// progress gives the offset up to which the file is applied, and the sum of all checksums; zeros for
// a file that has taken nothing yet.
func (t tables) progress() (next int64, sum uint64, err error) {
	sealed := t.meta.Get([]byte(keyNext))
	if sealed == nil {
		return 0, 0, nil
	}
	v, err := unseal([]byte(keyNext), sealed)
	if err != nil || len(v) != 16 {
		return 0, 0, fmt.Errorf("%s: %w", keyNext, errSum)
	}
	return int64(binary.BigEndian.Uint64(v)), binary.BigEndian.Uint64(v[8:]), nil
}

func (t tables) putProgress(next int64, sum uint64) error {
	v := binary.BigEndian.AppendUint64(nil, uint64(next))
	return putMeta(t.meta, keyNext, binary.BigEndian.AppendUint64(v, sum))
}

// sumOf is the checksum that a sealed value ends in; 0 for nil.
func sumOf(sealed []byte) uint64 {
	if sealed == nil {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(sealed[len(sealed)-sumLen:]))
}

// seal appends a checksum over key and value: bbolt has none of its own for what lies in its pages,
// and a flipped bit in an updated-at would hide later changes of a row.
func seal(key, value []byte) []byte {
	out := make([]byte, 0, len(value)+sumLen)
	return appendSum(append(out, value...), key)
}

// appendSum seals value in place.
func appendSum(value, key []byte) []byte {
	return binary.BigEndian.AppendUint32(value, checksum(key, value))
}

// unseal gives the value back, or errSum.
func unseal(key, sealed []byte) ([]byte, error) {
	n := len(sealed) - sumLen
	if n < 0 || binary.BigEndian.Uint32(sealed[n:]) != checksum(key, sealed[:n]) {
		return nil, errSum
	}
	return sealed[:n], nil
}

func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // one table for the whole process
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// streamKey is the name of a stream in bucket streams.
func streamKey(s Stream) []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.Tenant)))
	return append(append(b, s.Tenant...), s.Object...)
}

func parseStreamKey(b []byte) (Stream, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return Stream{}, errors.New("a stream's name is malformed")
	}
	rest := b[n:]
	return Stream{Tenant: string(rest[:size]), Object: string(rest[size:])}, nil
}

// streamState is a row of bucket streams: the number that stands for the stream in the keys of the
// other buckets, and its position (Seq 0 until its first position record was read).
type streamState struct {
	id       uint32
	position Position
}

func (s streamState) encode(key []byte) []byte {
	v := binary.BigEndian.AppendUint32(nil, s.id)
	if s.position.Seq > 0 {
		v = append(v, encodePosition(s.position)...)
	}
	return seal(key, v)
}

func parseStreamState(key, sealed []byte) (streamState, error) {
	id, position, err := splitStreamState(key, sealed)
	s := streamState{id: id}
	if len(position) > 0 {
		s.position, err = decodePosition(position)
	}
	return s, err
}

// splitStreamState leaves the position's text as it is: most readers need the number
// alone, and the text takes longer to read than what they read then.
func splitStreamState(key, sealed []byte) (id uint32, position []byte, err error) {
	v, err := unseal(key, sealed)
	if err != nil || len(v) < streamIDLen {
		return 0, nil, errSum
	}
	return binary.BigEndian.Uint32(v), v[streamIDLen:], nil
}

// orderedTime is a time whose bytes sort as the times do, also before 1970.
func orderedTime(unix int64) uint64 { return uint64(unix) ^ 1<<63 }

func timeOf(ordered uint64) int64 { return int64(ordered ^ 1<<63) }

// appendTimeKey appends stream | time, the beginning of keys of bucket ledger and of bucket chunks:
// time first, so that a window is one run of keys and expiry cuts the front off.
func appendTimeKey(b []byte, stream uint32, unix int64) []byte {
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint64(b, orderedTime(unix))
}

// appendLedgerKey appends the whole entry: stream | at | id | updated-at | digest.
func appendLedgerKey(b []byte, stream uint32, e Entry) []byte {
	b = appendTimeKey(b, stream, e.At)
	b = binary.BigEndian.AppendUint64(b, uint64(e.ID))
	b = binary.BigEndian.AppendUint64(b, orderedTime(e.UpdatedAt))
	return binary.BigEndian.AppendUint64(b, e.Digest)
}

// parseEntry reads one pair of bucket ledger and the number of its stream.
func parseEntry(key, sealed []byte) (uint32, Entry, error) {
	v, err := unseal(key, sealed)
	if err != nil || len(key) != ledgerKeyLen || len(v) != 0 {
		return 0, Entry{}, fmt.Errorf("ledger: %w", errSum)
	}
	return binary.BigEndian.Uint32(key), Entry{
		At:        timeOf(binary.BigEndian.Uint64(key[4:])),
		ID:        int64(binary.BigEndian.Uint64(key[12:])),
		UpdatedAt: timeOf(binary.BigEndian.Uint64(key[20:])),
		Digest:    binary.BigEndian.Uint64(key[28:]),
	}, nil
}

// fileKey is stream | end of bucket | seq, and of a chunk that takes entries out a byte more.
func (k ChunkKey) fileKey(stream uint32) []byte {
	b := binary.BigEndian.AppendUint64(appendTimeKey(nil, stream, k.Until), k.Seq)
	if k.Void {
		b = append(b, 1)
	}
	return b
}

// chunkRow is a row of bucket chunks.
type chunkRow struct {
	stream uint32
	until  int64
	seq    uint64
	void   bool
	young  []Entry // what a young chunk holds; nil for any other
}

// parseChunk reads one pair of bucket chunks.
func parseChunk(key, sealed []byte) (row chunkRow, err error) {
	v, err := unseal(key, sealed)
	void := len(key) == chunkKeyLen+1
	if err != nil || len(key) != chunkKeyLen && !void {
		return row, fmt.Errorf("chunks: %w", errSum)
	}
	row = chunkRow{stream: binary.BigEndian.Uint32(key), until: timeOf(binary.BigEndian.Uint64(key[4:])), seq: binary.BigEndian.Uint64(key[12:]), void: void}
	if len(v) > 0 {
		row.young, err = decodeChunk(v)
	}
	return row, err
}

// appendRowKey appends stream | id.
func appendRowKey(b []byte, stream uint32, id int64) []byte {
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

// parseRow reads one pair of bucket rows and the number of its stream.
func parseRow(key, sealed []byte) (uint32, RowState, error) {
	v, err := unseal(key, sealed)
	if err != nil || len(key) != rowKeyLen {
		return 0, RowState{}, fmt.Errorf("rows: %w", errSum)
	}
	lines, err := parseLines(v)
	return binary.BigEndian.Uint32(key), RowState{ID: int64(binary.BigEndian.Uint64(key[streamIDLen:])), Lines: lines}, err
}

// appendLineKey appends stream | list | id.
func appendLineKey(b []byte, stream uint32, list string, id int64) []byte {
	b = binary.BigEndian.AppendUint32(b, stream)
	b = append(binary.AppendUvarint(b, uint64(len(list))), list...)
	return binary.BigEndian.AppendUint64(b, uint64(id))
}

// parseOwner reads the value of one pair of bucket lines: the row that has the line.
func parseOwner(key, sealed []byte) (int64, error) {
	v, err := unseal(key, sealed)
	if err != nil || len(v) != 8 {
		return 0, fmt.Errorf("lines: %w", errSum)
	}
	return int64(binary.BigEndian.Uint64(v)), nil
}

// ascend calls fn for the pairs of b in order, from the key lo up to hi, exclusive, until fn returns
// false or an error.
func ascend(b *bbolt.Bucket, lo, hi []byte, fn func(k, v []byte) (bool, error)) error {
	c := b.Cursor()
	for k, v := c.Seek(lo); k != nil && bytes.Compare(k, hi) < 0; k, v = c.Next() {
		if more, err := fn(k, v); !more || err != nil {
			return err
		}
	}
	return nil
}

// prefixes gives the bounds of all keys of one stream, in
// each of the buckets whose keys begin with its number.
func prefixes(stream uint32) (lo, hi []byte) {
	lo = binary.BigEndian.AppendUint32(nil, stream)
	if stream == math.MaxUint32 {
		return lo, bytes.Repeat([]byte{0xff}, ledgerKeyLen+1)
	}
	return lo, binary.BigEndian.AppendUint32(nil, stream+1)
}
