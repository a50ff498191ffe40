package schemas

import (
	"encoding/binary"
	"errors"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// frame is a record while its object is read.
type frame struct {
	rec     *planRecord
	depth   int
	start   int  // where it begins in the output
	spans   int  // where its spans begin
	extras  int  // where its extras begin
	written int  // fields that stand in the output in schema order, from the first on
	ordered bool // nothing stands behind those
	filled  int  // fields that hold something besides null
}

var errRequired = errors.New("is required, and the row has null there or nothing; ask Coupa for it")

// object appends the record of the object at pos. filled tells whether the object holds
// anything but nulls. Where it does not and its place is optional, nothing is appended.
func (e *Encoder) object(out []byte, rec *planRecord, depth int, optional bool) (_ []byte, filled bool, err error) {
	if err := e.in.Enter(depth); err != nil {
		return out, false, err
	}
	f := e.open(rec, len(out), depth)
	if rec.tenant >= 0 && e.Tenant != "" {
		out = e.fillTo(out, &f, rec.tenant)
		begin := len(out)
		out = append(binary.AppendVarint(append(out, 2), int64(len(e.Tenant))), e.Tenant...)
		e.spans[f.spans+rec.tenant], f.written = span{start: begin, end: len(out)}, rec.tenant+1
	}
	for first := true; ; first = false {
		key, more, err := e.in.Member(first)
		if err != nil {
			return out, false, err
		}
		if !more {
			break
		}
		if out, err = e.field(out, &f, key); err != nil {
			return out, false, err
		}
	}
	out, err = e.close(out, &f, optional)
	return out, f.filled > 0, err
}

func (e *Encoder) open(rec *planRecord, start, depth int) frame {
	f := frame{rec: rec, depth: depth, start: start, spans: len(e.spans), extras: len(e.extras), ordered: true}
	for range rec.fields {
		e.spans = append(e.spans, span{})
	}
	return f
}

// field takes the value at pos, which the object has under key.
func (e *Encoder) field(out []byte, f *frame, key []byte) ([]byte, error) {
	i, as := f.find(key)
	if as == absent || as < e.spans[f.spans+i].as {
		return out, e.keepUnknown(f, key)
	}
	if i < f.written {
		f.ordered = false
	} else if f.ordered {
		out = e.fillTo(out, f, i)
		f.written = i + 1
	}
	n := &f.rec.fields[i].planNode
	begin, at := len(out), e.in.Pos
	out, v, err := e.put(out, n, f.depth+1)
	unreadable := false
	if err == nil && v == misfit {
		unreadable, err = e.refuse(n)
	}
	if err != nil {
		return out, rowtext.InField(f.rec.fields[i].key, err)
	}
	s := span{start: begin, end: len(out), as: as, full: v == stored}
	if v == misfit || as == byTwin {
		e.extras = append(e.extras, extra{key: key, text: e.in.Row[at:e.in.Pos], hidden: v != misfit, unreadable: unreadable})
		s.extra = len(e.extras)
	}
	e.supersede(f, i, s)
	return out, nil
}

// refuse gives the error that a value without room in n is, if it is one. unreadable
// tells that it would be one if the encoder did not keep such values.
func (e *Encoder) refuse(n *planNode) (unreadable bool, err error) {
	why := e.unreadable
	e.unreadable = nil
	switch {
	case !n.nullable && why != nil:
		return false, why
	case !n.nullable:
		return false, &rowtext.FieldError{Err: errors.New("has no room for the value, and may not be null")}
	case n.strict && !e.KeepUnreadable:
		return false, &rowtext.FieldError{Err: errors.New("has no room for the value in the type that the mapping gives it; correct the row in Coupa, or the mapping")}
	}
	return n.strict || why != nil, nil
}

// supersede makes s the field's span. What an earlier value of the same key kept is dropped; an
// earlier value under the underscored twin is kept under that key, now that it is not the field's.
func (e *Encoder) supersede(f *frame, i int, s span) {
	old := &e.spans[f.spans+i]
	if old.extra > 0 {
		e.extras[old.extra-1].hidden = old.as == s.as
	}
	if old.full {
		f.filled--
	}
	if s.full {
		f.filled++
	}
	*old = s
}

// find looks up the field that key leads to.
func (f *frame) find(key []byte) (int, spelling) {
	m, ok := f.rec.keys.find(key)
	switch {
	case !ok:
		return 0, absent
	case m.twin:
		return m.field, byTwin
	}
	return m.field, byExact
}

// fillTo writes the nulls of the fields before i that have not come yet.
func (e *Encoder) fillTo(out []byte, f *frame, i int) []byte {
	for j := f.written; j < i; j++ {
		s := &e.spans[f.spans+j]
		s.start = len(out)
		if f.rec.fields[j].nullable {
			out = append(out, 0)
		}
		s.end = len(out)
	}
	f.written = max(f.written, i)
	return out
}

// close ends the record: what was kept becomes its unmapped, and its fields are put in the schema's order.
func (e *Encoder) close(out []byte, f *frame, optional bool) ([]byte, error) {
	out = e.closeUnmapped(out, f)
	spans := e.spans[f.spans:]
	defer func() { e.spans = e.spans[:f.spans] }()
	if optional && f.filled == 0 {
		return out[:f.start], nil
	}
	for _, i := range f.rec.required {
		if spans[i].start == spans[i].end {
			return out, rowtext.InField(f.rec.fields[i].key, errRequired)
		}
	}
	if !f.ordered {
		return reorder(out, f, spans), nil
	}
	return e.fillTo(out, f, len(spans)), nil
}

// reorder puts the pieces of a record in the schema's order
// and drops what later values of the same key replaced.
func reorder(out []byte, f *frame, spans []span) []byte {
	end := len(out)
	for _, s := range spans {
		if s.start == s.end { // no value came, and the field is nullable: close has looked after the others
			out = append(out, 0)
			continue
		}
		out = append(out, out[s.start:s.end]...)
	}
	n := copy(out[f.start:], out[end:])
	return out[:f.start+n]
}
