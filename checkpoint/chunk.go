package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	chunkVersion = 1
	digestLen    = 8
	// entryMin is the least that an entry takes: one byte for each difference, and the digest.
	entryMin = 3 + digestLen
)

var errChunkShort = errors.New("ledger chunk ends early")

// encodeChunk writes entries that are sorted, each once; doc.go gives the bytes.
func encodeChunk(entries []Entry) []byte {
	b := make([]byte, 0, 16+len(entries)*(entryMin+4))
	b = append(b, chunkVersion)
	b = binary.AppendUvarint(b, uint64(len(entries)))
	var last Entry
	for _, e := range entries {
		b = binary.AppendVarint(b, e.At-last.At)
		b = binary.AppendVarint(b, e.ID-last.ID)
		b = binary.AppendVarint(b, e.At-e.UpdatedAt)
		b = binary.BigEndian.AppendUint64(b, e.Digest)
		last = e
	}
	return b
}

// decodeChunk reads a chunk back, and trusts nothing in it: a length that the bytes can't hold, an
// order that the writer never leaves, and bytes behind the last entry are errors.
func decodeChunk(b []byte) ([]Entry, error) {
	if len(b) == 0 {
		return nil, errChunkShort
	}
	if b[0] != chunkVersion {
		return nil, fmt.Errorf("ledger chunk of version %d, this one reads %d: %w", b[0], chunkVersion, ErrNewer)
	}
	count, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return nil, errChunkShort
	}
	b = b[1+n:]
	if count > uint64(len(b)/entryMin) {
		return nil, errChunkShort
	}
	entries := make([]Entry, count)
	for i := range entries {
		var last Entry
		if i > 0 {
			last = entries[i-1]
		}
		var err error
		if entries[i], b, err = decodeEntry(b, last); err != nil {
			return nil, err
		}
		if i > 0 && last.compare(entries[i]) >= 0 {
			return nil, fmt.Errorf("ledger chunk: row %d is out of order", entries[i].ID)
		}
	}
	if len(b) > 0 {
		return nil, errors.New("ledger chunk: bytes behind the last entry")
	}
	return entries, nil
}

// decodeEntry reads one entry, as a difference from last, and returns what follows it.
func decodeEntry(b []byte, last Entry) (Entry, []byte, error) {
	var diffs [3]int64 // At, ID, At less UpdatedAt
	for i := range diffs {
		d, n := binary.Varint(b)
		if n <= 0 {
			return Entry{}, nil, errChunkShort
		}
		diffs[i], b = d, b[n:]
	}
	if len(b) < digestLen {
		return Entry{}, nil, errChunkShort
	}
	// Sums may wrap around: then they are not what check takes.
	at := last.At + diffs[0]
	e := Entry{ID: last.ID + diffs[1], At: at, UpdatedAt: at - diffs[2], Digest: binary.BigEndian.Uint64(b)}
	if err := e.check(); err != nil {
		return Entry{}, nil, fmt.Errorf("ledger chunk: %w", err)
	}
	return e, b[digestLen:], nil
}
