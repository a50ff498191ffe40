package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Splitter takes lines out of encoded rows, by cutting their bytes: a line is encoded within its row, by
// the row's plan, so that whatever holds for rows (mappings, custom fields, what becomes of a value without
// room) holds for lines. What it gives is valid until the next Split. One goroutine at a time may use it.
type Splitter struct {
	plan  *Plan
	keep  bool
	lists []int // by field of the row: place in Split.Lists, or -1
	ids   []int // by list: the field of its lines that is their id

	renderer
	cursor rowtext.Cursor
	row    []byte
	line   []byte // room for the lines' values
	tenant []byte // the row's field for the tenant, which lines have too; nothing where there is none
	lines  []Line
	gone   []bool // by list: the field is null
	kept   []bool // by list: it is in unmapped of the row, or left out

	restDigest uint64 // of the row without its lists

	// of the list at hand
	lastID int64          // the greatest id so far, -1 at first
	seen   map[int64]bool // all ids so far, once one was not greater than those before it
}

// Line is a line of a row.
type Line struct {
	List int // place in Split.Lists
	ID   int64
	// equal for equal content, in whatever order Coupa sends
	// it and whatever fields the schema has got meanwhile
	Digest uint64
	Value  []byte // Avro, by the schema of its list

	end int
}

// Splitter makes one.
func (s *Split) Splitter() (*Splitter, error) {
	plan, err := s.whole.Plan()
	if err != nil {
		return nil, err
	}
	n := len(s.Lists)
	sp := &Splitter{plan: plan, keep: s.keep, lists: make([]int, len(plan.root.fields)), ids: make([]int, n), gone: make([]bool, n), kept: make([]bool, n), seen: map[int64]bool{}}
	for i := range sp.lists {
		sp.lists[i] = -1
	}
	for n, l := range s.Lists {
		at, ok := plan.root.keys.find([]byte(l.Coupa))
		if !ok || plan.root.fields[at.field].items == nil || plan.root.fields[at.field].items.record == nil {
			return nil, fmt.Errorf("%s is no list of records", l.Coupa)
		}
		id, ok := plan.root.fields[at.field].items.record.keys.find([]byte("id"))
		if !ok {
			return nil, fmt.Errorf("the lines of %s have no id", l.Coupa)
		}
		sp.lists[at.field], sp.ids[n] = n, id.field
	}
	return sp, nil
}

// Split takes apart value, the Avro of the row with this id by the schema that
// was split, without framing. A *rowtext.FieldError: the row has lines that can't be
// told apart. Any other error: value is none that an Encoder of the plan made.
func (s *Splitter) Split(id int64, value []byte) error {
	s.renderer = renderer{avro: value}
	s.row, s.line, s.lines, s.restDigest = s.row[:0], s.line[:0], s.lines[:0], 0
	clear(s.kept)
	if s.tenant = nil; s.plan.root.tenant >= 0 {
		s.tenant = []byte{0} // a row that was widened by the field has it last, and null
	}
	copied := 0 // of value, into row
	rec := s.plan.root
	for i := range rec.fields {
		f, begin := &rec.fields[i], s.pos
		switch n := s.lists[i]; {
		case n >= 0:
			if err := s.list(id, n, f); err != nil {
				return err
			}
			if !s.keep {
				s.row = append(s.row, value[copied:begin]...)
				copied = s.pos
			}
		case i == rec.tenant:
			s.skip(&f.planNode)
			s.tenant = value[begin:s.pos]
		case i == rec.unmapped:
			s.findKept(f.kind)
			fallthrough
		default:
			s.pass(f, begin)
		}
	}
	if s.err != nil || s.pos != len(value) {
		return errors.Join(errNotOurs, s.err)
	}
	s.row = append(s.row, value[copied:]...)
	from := 0
	for i := range s.lines {
		s.lines[i].Value = s.line[from:s.lines[i].end:s.lines[i].end]
		from = s.lines[i].end
	}
	return nil
}

// pass goes on behind a field of the row that stays in it, from where it begins.
func (s *Splitter) pass(f *planField, begin int) {
	if s.pos = begin; s.keep || s.err != nil {
		s.skip(&f.planNode)
		return
	}
	if sum, filled := s.sum(&f.planNode); filled {
		s.restDigest += mixDigest(f.hash, sum)
	}
}

// Row is the row's value by Split.Row.
func (s *Splitter) Row() []byte { return s.row }

// Digest is that of Row, as Line.Digest; 0 where lines stay in the row.
func (s *Splitter) Digest() uint64 { return s.restDigest }

// Lines are those of the row, in its order, list by list.
func (s *Splitter) Lines() []Line { return s.lines }

// NoteLeftOut takes in what the encoder left out of the row that was split, which it encoded last: the
// value does not tell of that.
func (s *Splitter) NoteLeftOut(e *Encoder) {
	for _, u := range e.left {
		if u.rec == s.plan.root {
			s.noteKept(u.key)
		}
	}
}

// Unread tells that the row has something in the place of a list that could
// not be read as one, and is in unmapped or left out: there may be lines, or not.
func (s *Splitter) Unread(list int) bool { return s.gone[list] && s.kept[list] }

// list takes in the lines of the list at pos.
func (s *Splitter) list(id int64, n int, f *planField) error {
	if s.gone[n] = f.nullable && s.long() == 0; s.gone[n] {
		return nil
	}
	clear(s.seen)
	s.lastID = -1
	items, first := f.items, len(s.lines)
	for blocks := s.block(); blocks > 0 && s.err == nil; blocks = s.block() {
		for ; blocks > 0 && s.err == nil; blocks-- {
			if items.nullable && s.long() == 0 {
				continue
			}
			line, err := s.readLine(id, n, items.record)
			if err == nil && !s.unique(line.ID, s.lines[first:]) {
				err = fmt.Errorf("another line of the list has the id %d too, which is the key of their records", line.ID)
			}
			if err != nil {
				return rowtext.InField(f.key, rowtext.InElement(len(s.lines)-first, err))
			}
			s.lines = append(s.lines, line)
		}
	}
	return nil
}

// unique tells that none of the lines before in the list at hand has the id, and remembers it.
// Most lists are in order of id, and take no more than a comparison.
func (s *Splitter) unique(id int64, before []Line) bool {
	if id > s.lastID && len(s.seen) == 0 {
		s.lastID = id
		return true
	}
	if len(s.seen) == 0 {
		for _, l := range before {
			s.seen[l.ID] = true
		}
	}
	known := s.seen[id]
	s.seen[id] = true
	return !known
}

var errNoLineID = errors.New("a line needs an id, which is the key of its record; correct the row in Coupa, or write lines=embedded for the object")

// readLine reads the line at pos, and puts its value behind those before it.
func (s *Splitter) readLine(parent int64, list int, rec *planRecord) (Line, error) {
	line, begin := Line{List: list, ID: -1}, s.pos
	for i := range rec.fields {
		f, at := &rec.fields[i], s.pos
		sum, filled := s.sum(&f.planNode)
		if filled {
			line.Digest += mixDigest(f.hash, sum)
		}
		if i == s.ids[list] && filled {
			room := renderer{avro: s.avro, pos: at}
			if f.nullable {
				room.long()
			}
			line.ID = room.long()
		}
	}
	s.line = append(binary.AppendVarint(s.line, parent), s.tenant...)
	s.line = append(s.line, s.avro[begin:s.pos]...)
	line.end = len(s.line)
	if line.ID < 0 && s.err == nil {
		return line, errNoLineID
	}
	return line, nil
}

// findKept reads unmapped of the row and notes lists that are kept there.
func (s *Splitter) findKept(kind planKind) {
	if s.long() == 0 {
		return
	}
	if kind == kindUnmappedText {
		s.cursor.Open(s.bytes())
		_ = s.cursor.Object(func(key []byte, _ int) error { // of an encoder, which writes no other
			s.noteKept(key)
			_, err := s.cursor.Skip()
			return err
		})
		return
	}
	for blocks := s.block(); blocks > 0 && s.err == nil; blocks = s.block() {
		for ; blocks > 0 && s.err == nil; blocks-- {
			s.noteKept(s.bytes())
			s.bytes()
		}
	}
}

// noteKept notes that a member of the row has no place; it may be a list, under either spelling.
func (s *Splitter) noteKept(key []byte) {
	if m, ok := s.plan.root.keys.find(key); ok && s.lists[m.field] >= 0 {
		s.kept[s.lists[m.field]] = true
	}
}

// skip passes over a value.
func (r *renderer) skip(n *planNode) {
	branch := int64(1)
	if n.nullable {
		if branch = r.long(); branch == 0 {
			return
		}
	}
	r.skipBranch(n, branch)
}

// skipBranch passes over a value behind the number of its branch.
func (r *renderer) skipBranch(n *planNode, branch int64) {
	switch n.kind {
	case kindString, kindDecimal, kindUnmappedText, kindTenant:
		r.bytes()
	case kindBoolean:
		r.take(1)
	case kindDouble:
		r.take(8)
	case kindInt, kindLong, kindTimestamp, kindDate:
		r.long()
	case kindChoice:
		if b := n.chosen(branch); b != nil {
			r.skip(b)
			return
		}
		r.fail()
	case kindRecord:
		for i := range n.record.fields {
			r.skip(&n.record.fields[i].planNode)
		}
	case kindArray:
		for blocks := r.block(); blocks > 0 && r.err == nil; blocks = r.block() {
			for ; blocks > 0 && r.err == nil; blocks-- {
				r.skip(n.items)
			}
		}
	case kindMap, kindUnmapped:
		for blocks := r.block(); blocks > 0 && r.err == nil; blocks = r.block() {
			for ; blocks > 0 && r.err == nil; blocks-- {
				r.bytes()
				r.bytes()
			}
		}
	}
}

// chosen is the type of a choice that a branch of the union stands for; nil: there is none.
func (n *planNode) chosen(branch int64) *planNode {
	if branch < 1 || branch > int64(len(n.branches)) {
		return nil
	}
	return &n.branches[branch-1]
}

// sum passes over a value and gives a digest of it; filled is false where it is null. Fields
// that are null count for nothing, and the order of fields and of a map's entries neither.
func (s *Splitter) sum(n *planNode) (sum uint64, filled bool) {
	branch := int64(1)
	if n.nullable {
		if branch = s.long(); branch == 0 || s.err != nil {
			return 0, false
		}
	}
	switch n.kind {
	case kindChoice:
		b := n.chosen(branch)
		if b == nil {
			s.fail()
			return 0, false
		}
		sum, _ = s.sum(b)
		return sum, true
	case kindRecord:
		for i := range n.record.fields {
			f := &n.record.fields[i]
			if inner, filled := s.sum(&f.planNode); filled {
				sum += mixDigest(f.hash, inner)
			}
		}
	case kindArray:
		for blocks := s.block(); blocks > 0 && s.err == nil; blocks = s.block() {
			for ; blocks > 0 && s.err == nil; blocks-- {
				inner, _ := s.sum(n.items)
				sum = mixDigest(sum+1, inner)
			}
		}
	case kindUnmappedText: // the digest that its members have as a map
		s.cursor.Open(s.bytes())
		sum, _ = s.sumMembers()
		return mixDigest(uint64(kindUnmapped), sum), true
	case kindMap, kindUnmapped:
		for blocks := s.block(); blocks > 0 && s.err == nil; blocks = s.block() {
			for ; blocks > 0 && s.err == nil; blocks-- {
				key := xxhash.Sum64(s.bytes())
				sum += mixDigest(key, s.sumJSON(s.bytes()))
			}
		}
	default:
		begin := s.pos
		s.skipBranch(n, branch)
		return mixDigest(uint64(n.kind), xxhash.Sum64(s.avro[begin:s.pos])), true
	}
	return mixDigest(uint64(n.kind), sum), true
}

// sumJSON is the digest of a JSON text, independent of white space and of the order of members.
func (s *Splitter) sumJSON(text []byte) uint64 {
	s.cursor.Open(text)
	sum, err := s.sumValue()
	if err != nil || s.cursor.Close() != nil { // not JSON, which the encoder never keeps
		return xxhash.Sum64(text)
	}
	return sum
}

func (s *Splitter) sumValue() (sum uint64, err error) {
	switch c := s.cursor.First(); c {
	case '{':
		sum, err = s.sumMembers()
		return mixDigest('{', sum), err
	case '[':
		err = s.cursor.List(func() error {
			inner, err := s.sumValue()
			sum = mixDigest(sum+1, inner)
			return err
		})
		return mixDigest('[', sum), err
	default:
		text, err := s.cursor.Skip()
		return xxhash.Sum64(text), err
	}
}

func (s *Splitter) sumMembers() (sum uint64, err error) {
	err = s.cursor.Object(func(key []byte, _ int) error {
		name := xxhash.Sum64(key)
		inner, err := s.sumValue()
		sum += mixDigest(name, inner)
		return err
	})
	return sum, err
}
