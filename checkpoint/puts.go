package checkpoint

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// puts are ledger entries on their way to the file. They are gathered first and written in key order:
// a tree takes sorted keys many times faster than keys in the order of ids.
type puts [][ledgerKeyLen]byte

func (p *puts) add(stream uint32, entries []Entry) {
	*p = slices.Grow(*p, len(entries))
	for _, e := range entries {
		var key [ledgerKeyLen]byte
		appendLedgerKey(key[:0], stream, e)
		*p = append(*p, key)
	}
}

// writeTo empties p into the ledger and counts the keys that are new there.
func (p *puts) writeTo(u *update) (added int64, err error) {
	all := *p
	*p = all[:0]
	slices.SortFunc(all, func(a, b [ledgerKeyLen]byte) int { return bytes.Compare(a[:], b[:]) })
	all = slices.Compact(all)
	// bbolt copies keys, and keeps values until the transaction ends.
	values := make([]byte, 0, len(all)*sumLen)
	for i := range all {
		key := all[i][:]
		if u.ledger.Get(key) != nil {
			continue
		}
		values = binary.BigEndian.AppendUint32(values, checksum(key, nil))
		value := values[len(values)-sumLen:]
		u.counts.sum += sumOf(value)
		if err := u.ledger.Put(key, value); err != nil {
			return added, err
		}
		added++
	}
	return added, nil
}
