package schemas

import (
	"encoding/binary"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Encoder turns rows into Avro, one row at a time in a single pass over its bytes: no
// tree, no maps, no allocation once its memory has grown to the largest row. Values
// are written as they arrive; where a row's keys stand in the schema's order that is
// already the record, elsewhere the pieces are put in order at the object's end.
//
// One goroutine at a time may use it.
type Encoder struct {
	// KeepUnreadable lets a row go whose values can't be read as their fields' types: each stays in unmapped
	// like a value without room, and is told by Unreadable. To be set before the first row.
	KeepUnreadable bool
	// Tenant stands in the field for it, if the schema has one; "": null does. To be set likewise.
	Tenant string

	in     rowtext.Scanner
	plan   *Plan
	spans  []span  // where the fields of the open records are in the output
	extras []extra // what the open records and maps keep as JSON text
	unfit  []unfit // of the last row
	unread []unfit // likewise: values that were kept though they can't be read
	left   []unfit // likewise: members for which there is no place at all
	// why the misfit at hand can't be read; nil: it can, or the field around it has seen to it
	unreadable error
	utf8       []byte     // room to repair text that is not UTF-8
	text       []byte     // room for a JSON object
	tens       [20]uint64 // powers of ten
}

// span is one field of an open record.
type span struct {
	start, end int  // in the output; end 0: not written yet
	full       bool // holds more than null
	as         spelling
	extra      int // 1 + the place in extras of the value as sent, 0: not kept
}

// spelling tells by what key a field was given.
type spelling uint8

const (
	absent  spelling = iota
	byTwin           // by the underscored twin of its key
	byExact          // by its key
)

// verdict tells what became of a value.
type verdict uint8

const (
	stored verdict = iota
	blank          // null, or what Coupa sends for it
	misfit         // good JSON that the type has no room for
)

// Encoder makes an encoder with memory of its own.
func (p *Plan) Encoder() *Encoder {
	e := &Encoder{plan: p}
	e.tens[0] = 1
	for i := 1; i < len(e.tens); i++ {
		e.tens[i] = e.tens[i-1] * 10
	}
	return e
}

// Append appends the Avro bytes of row, one JSON object, without the registry's header.
// On error dst comes back at its former length and the error is a *rowtext.FieldError.
// The row is only read during the call.
//
// What becomes of a value:
//   - Absent and null are null, also as a member of custom fields or
//     under an unknown key. Of a key given twice the last counts.
//   - "" is null, except where the type is string. For records and lists "", []
//     (an empty list for a list) and an object without any value are null too.
//   - Values of another JSON type are read where that is exact: numbers in texts,
//     texts from numbers and booleans, booleans from 0, 1 and texts, a lone
//     object as a list of one. A null or "" in a list of records is left out.
//   - What the type has no room for stays, as the JSON text that was sent, in unmapped
//     of the record around it, under its key, and its field is null: a decimal of more
//     digits, an integer beyond 64 bits, an instant before the year 1 or after 9999 in UTC,
//     an object for a number. So do unknown keys. Where the record has no unmapped, all this is left out.
//   - Text that is no number, boolean or date where one is declared is an error: no reading of it is safe.
//     In a typed custom field it goes to unmapped like anything else that the field cannot hold exactly.
//     With KeepUnreadable it does so everywhere, and so does what has no room in a type that a mapping
//     gave; what may not be null, as the id, has no place and stays an error.
//   - An instant is floored to the millisecond. A date is the
//     calendar day as written, whatever the hour and offset.
func (e *Encoder) Append(dst, row []byte) ([]byte, error) {
	e.in.Reset(row)
	e.spans, e.extras, e.unfit = e.spans[:0], e.extras[:0], e.unfit[:0]
	e.unread, e.unreadable, e.left = e.unread[:0], nil, e.left[:0]
	start := len(dst)
	out, err := e.top(dst)
	e.in.Row = nil
	if err != nil {
		return out[:start], rowtext.AsFieldError(err)
	}
	return out, nil
}

func (e *Encoder) top(out []byte) ([]byte, error) {
	if e.in.Next() != '{' {
		return out, e.in.Syntax(e.in.Pos, "a row is an object")
	}
	out, _, err := e.object(out, e.plan.root, 0, false)
	if err != nil {
		return out, err
	}
	if e.in.Next() != 0 || e.in.Pos < len(e.in.Row) {
		return out, e.in.Syntax(e.in.Pos, "something follows the row")
	}
	return out, nil
}

// put appends one value of the row. On blank and misfit it appends the null of a
// nullable type, and nothing for another; the value is passed over in any case.
func (e *Encoder) put(out []byte, n *planNode, depth int) ([]byte, verdict, error) {
	start, at := len(out), e.in.Pos
	if n.nullable {
		out = append(out, n.branch)
	}
	out, v, err := e.value(out, n, depth)
	if err != nil || v == stored {
		return out, v, err
	}
	if v == misfit {
		e.in.Pos = at
		if err := e.in.Skip(depth); err != nil {
			return out, v, err
		}
	}
	out = out[:start]
	if n.nullable {
		out = append(out, 0)
	}
	return out, v, nil
}

func (e *Encoder) value(out []byte, n *planNode, depth int) ([]byte, verdict, error) {
	c := e.in.Peek()
	if c == 'n' {
		return out, blank, e.in.Literal("null")
	}
	switch n.kind {
	case kindRecord:
		return e.association(out, n, c, depth)
	case kindArray:
		return e.list(out, n, c, depth)
	case kindMap:
		return e.customFields(out, c, depth)
	case kindChoice:
		return e.choice(out, n, c)
	}
	return e.scalar(out, n, c)
}

// association appends the record of an associated object.
func (e *Encoder) association(out []byte, n *planNode, c byte, depth int) ([]byte, verdict, error) {
	if c != '{' {
		v, err := e.emptiness(c)
		return out, v, err
	}
	out, filled, err := e.object(out, n.record, depth, n.nullable)
	if !filled && n.nullable {
		return out, blank, err
	}
	return out, stored, err
}

// emptiness reads what stands where an object belongs: "" and [] mean that there is none.
func (e *Encoder) emptiness(c byte) (verdict, error) {
	switch c {
	case '"':
		body, _, err := e.in.Quoted()
		if err == nil && len(body) == 0 {
			return blank, nil
		}
		return misfit, err
	case '[':
		e.in.Pos++
		if e.in.Next() == ']' {
			e.in.Pos++
			return blank, nil
		}
	}
	return misfit, nil
}

// list appends an array as one block.
func (e *Encoder) list(out []byte, n *planNode, c byte, depth int) ([]byte, verdict, error) {
	switch {
	case c == '{' && n.items.kind == kindRecord:
		out = append(out, 2) // a count of 1
		out, v, err := e.put(out, n.items, depth)
		return append(out, 0), v, err
	case c != '[':
		v, err := e.emptiness(c)
		return out, v, err
	}
	if err := e.in.Enter(depth); err != nil {
		return out, misfit, err
	}
	at, count := len(out), 0
	out = append(out, 0) // the count, when it is below 64
	for i := 0; ; i++ {
		more, err := e.in.Element(i == 0)
		if err != nil {
			return out, misfit, err
		}
		if !more {
			return closeBlock(out, at, count), stored, nil
		}
		begin, v := len(out), stored
		if out, v, err = e.put(out, n.items, depth+1); err != nil {
			return out, misfit, rowtext.InElement(i, err)
		}
		if v == misfit {
			// an element has no unmapped of its own: the field keeps the list as sent
			return out, misfit, nil
		}
		if len(out) > begin {
			count++
		}
	}
}

// closeBlock writes the count of the block that begins at at, behind
// one byte of room, and the block's end. An empty block is its own end.
func closeBlock(out []byte, at, count int) []byte {
	if count == 0 {
		return out
	}
	out = append(out, 0)
	if count < 64 {
		out[at] = byte(count << 1)
		return out
	}
	var room [10]byte
	head := binary.AppendVarint(room[:0], int64(count))
	end := len(out)
	out = append(out, head[1:]...)
	copy(out[at+len(head):], out[at+1:end])
	copy(out[at:], head)
	return out
}

// appendText appends an Avro string or bytes. Avro's long is
// zigzag in base 128, as binary.AppendVarint writes it.
func appendText(dst, text []byte) []byte {
	return append(binary.AppendVarint(dst, int64(len(text))), text...)
}
