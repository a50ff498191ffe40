package checkpoint

import (
	"cmp"
	"fmt"
)

// Entry is one published version of a row, kept under the time At: its updated-at, or, in an entry of
// its own, the newest updated-at of its lines where that is later. Two entries that differ in any
// field are two entries: several versions of a row in one second are all kept.
type Entry struct {
	ID        int64  // Coupa's id, 0 or more
	At        int64  // unix seconds; orders and expires the entry
	UpdatedAt int64  // unix seconds, the row's own
	Digest    uint64 // content hash of the row as it was published
}

// compare orders entries as the ledger holds them: by At, ID, UpdatedAt, Digest.
func (e Entry) compare(o Entry) int {
	return cmp.Or(cmp.Compare(e.At, o.At), cmp.Compare(e.ID, o.ID), cmp.Compare(e.UpdatedAt, o.UpdatedAt), cmp.Compare(e.Digest, o.Digest))
}

func (e Entry) check() error {
	if e.ID < 0 || min(e.At, e.UpdatedAt) < minUnix || max(e.At, e.UpdatedAt) > maxUnix {
		return fmt.Errorf("row %d: ids are not negative and times lie in the years 1 to 9999", e.ID)
	}
	return nil
}
