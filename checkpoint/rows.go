package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// RowState is what was last published of a row's lines under keys
// of their own. Unlike ledger entries, states do not expire.
type RowState struct {
	ID    int64
	Lines []Line // at most MaxLines, in any order, each once; none: the row has no state
}

// Line is one line of a row as it was published.
type Line struct {
	List   string // of the row's lists that it stands in, by any name that stays
	ID     int64
	Digest uint64 // of what was published
}

// MaxLines is the most lines of one row: with names of lists as long
// as Coupa's, its record stays below Kafka's default limit of 1 MB.
const MaxLines = 50_000

// maxListName is the longest name of a list, and maxLists the most lists of a row.
const (
	maxListName = 255
	maxLists    = 255
)

// lineKey is what a line is known by.
type lineKey struct {
	list string
	id   int64
}

func (l Line) key() lineKey { return lineKey{l.List, l.ID} }

func (r RowState) check() error {
	lists := map[string]bool{}
	seen := make(map[lineKey]bool, len(r.Lines))
	for _, l := range r.Lines {
		switch {
		case l.ID < 0:
			return fmt.Errorf("state of row %d: line %d of %s: ids are not negative", r.ID, l.ID, l.List)
		case l.List == "" || len(l.List) > maxListName:
			return fmt.Errorf("state of row %d: line %d: the name of its list has %d bytes, it needs 1 to %d", r.ID, l.ID, len(l.List), maxListName)
		case seen[l.key()]:
			return fmt.Errorf("state of row %d: line %d of %s is there twice", r.ID, l.ID, l.List)
		}
		seen[l.key()], lists[l.List] = true, true
	}
	switch {
	case r.ID < 0:
		return fmt.Errorf("state of row %d: ids are not negative", r.ID)
	case len(r.Lines) > MaxLines:
		return fmt.Errorf("state of row %d: %d lines, at most %d fit", r.ID, len(r.Lines), MaxLines)
	case len(lists) > maxLists:
		return fmt.Errorf("state of row %d: %d lists, at most %d fit", r.ID, len(lists), maxLists)
	}
	return nil
}

func (r RowState) change(st Stream) change {
	if len(r.Lines) == 0 {
		return change{kind: unset, stream: st, row: r}
	}
	return change{kind: set, stream: st, row: r}
}

// appendLines appends the lines of a state in their one form: by list, then id.
func appendLines(dst []byte, lines []Line) []byte {
	lines = slices.SortedFunc(slices.Values(lines), func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.List, b.List), cmp.Compare(a.ID, b.ID))
	})
	for len(lines) > 0 {
		list := lines[0].List
		n := 1
		for n < len(lines) && lines[n].List == list {
			n++
		}
		dst = append(binary.AppendUvarint(dst, uint64(len(list))), list...)
		dst = binary.AppendUvarint(dst, uint64(n))
		last := int64(0)
		for _, l := range lines[:n] {
			dst = binary.AppendUvarint(dst, uint64(l.ID-last))
			dst = binary.BigEndian.AppendUint64(dst, l.Digest)
			last = l.ID
		}
		lines = lines[n:]
	}
	return dst
}

var errLines = errors.New("the state of a row is malformed")

// parseLines reads what appendLines writes; nil for no lines.
func parseLines(b []byte) (lines []Line, err error) {
	uvarint := func() uint64 {
		n, read := binary.Uvarint(b)
		if read <= 0 {
			err = errLines
			return 0
		}
		b = b[read:]
		return n
	}
	for len(b) > 0 {
		size := uvarint()
		if err != nil || size > uint64(len(b)) {
			return nil, errLines
		}
		list := string(b[:size])
		if b = b[size:]; len(lines) > 0 && list <= lines[len(lines)-1].List {
			return nil, errLines
		}
		n, last := uvarint(), int64(0)
		if err != nil || n == 0 || n > uint64(len(b)) {
			return nil, errLines
		}
		lines = slices.Grow(lines, int(n))
		for range n {
			last += int64(uvarint())
			if err != nil || len(b) < 8 {
				return nil, errLines
			}
			lines = append(lines, Line{List: list, ID: last, Digest: binary.BigEndian.Uint64(b)})
			b = b[8:]
		}
	}
	return lines, nil
}
