package record

import (
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/coupa"
)

// Unmarked is the list under which a row's state has the row's stamps while it is still to
// be marked as exported in Coupa, see package exported.
const Unmarked = "=unmarked"

// Stamps tell versions of a row apart where its content is not at hand: its updated-at and that
// of its newest line, in unix seconds modulo 2^32; 0: there is none. They are compared, and no more.
type Stamps struct{ ID, UpdatedAt, LinesAt int64 }

// StampsOf are those of a row as Coupa sent it.
func StampsOf(r coupa.Row) Stamps { return Stamps{r.ID, seconds(r.UpdatedAt), seconds(r.LinesAt)} }

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return int64(uint32(t.Unix()))
}

// Line is how a row's state has them.
func (s Stamps) Line() checkpoint.Line {
	return checkpoint.Line{List: Unmarked, ID: s.ID, Digest: uint64(s.UpdatedAt)<<32 | uint64(s.LinesAt)}
}

// StampsIn are those that a row's state has under Unmarked; false: it has none.
func StampsIn(row checkpoint.RowState) (Stamps, bool) {
	for _, l := range row.Lines {
		if l.List == Unmarked {
			return Stamps{l.ID, int64(l.Digest >> 32), int64(uint32(l.Digest))}, true
		}
	}
	return Stamps{}, false
}

// Before tells whether both lie before an instant.
func (s Stamps) Before(t time.Time) bool {
	return s.UpdatedAt < seconds(t) && s.LinesAt < seconds(t)
}
