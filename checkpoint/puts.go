package checkpoint

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"
)

// puts are ledger entries on their way to the file. They are gathered first and written in key order:
// a tree takes sorted keys many times faster than keys in the order of ids.
type puts []pending

type pending struct {
	key    [ledgerKeyLen]byte
	digest uint64
}

func (p *puts) add(stream uint32, entries []Entry) {
	*p = slices.Grow(*p, len(entries))
	for _, e := range entries {
		one := pending{digest: e.Digest}
		appendLedgerKey(one.key[:0], stream, e.UpdatedAt, e.ID)
		*p = append(*p, one)
	}
}

// writeTo empties p into the ledger and counts the keys that are new there. Of several entries for
// one version of a row the one added last stays.
func (p *puts) writeTo(ledger *bbolt.Bucket) (added int64, err error) {
	all := *p
	*p = all[:0]
	slices.SortStableFunc(all, func(a, b pending) int { return bytes.Compare(a.key[:], b.key[:]) })
	// bbolt copies keys, and keeps values until the transaction ends.
	values := make([]byte, 0, len(all)*(digestLen+sumLen))
	for i := range all {
		one := &all[i]
		if i+1 < len(all) && all[i+1].key == one.key {
			continue
		}
		start := len(values)
		values = binary.BigEndian.AppendUint64(values, one.digest)
		values = binary.BigEndian.AppendUint32(values, checksum(one.key[:], values[start:]))
		if ledger.Get(one.key[:]) == nil {
			added++
		}
		if err := ledger.Put(one.key[:], values[start:len(values):len(values)]); err != nil {
			return added, err
		}
	}
	return added, nil
}

// deleteRange removes the keys from lo up to hi, exclusive, and counts them. It gathers a batch of
// keys before it deletes them, since a cursor loses its place when the tree changes below it.
func deleteRange(b *bbolt.Bucket, lo, hi []byte) (removed int64, err error) {
	const batch = 10_000
	for {
		keys := make([][]byte, 0, batch)
		if err := ascend(b, lo, hi, func(k, _ []byte) (bool, error) {
			keys = append(keys, bytes.Clone(k))
			return len(keys) < batch, nil
		}); err != nil || len(keys) == 0 {
			return removed, err
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return removed, err
			}
			removed++
		}
		lo = keys[len(keys)-1]
	}
}
