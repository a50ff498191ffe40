package schemas

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// extra is a value that is kept as the JSON text that was sent.
type extra struct {
	key    []byte
	text   []byte
	hidden bool // superseded, or held only in case that another spelling of its key comes
	// it would be an error if the encoder did not keep what can't be read
	unreadable bool
}

// keepUnknown keeps the value at pos, whose key leads to no field of the record.
func (e *Encoder) keepUnknown(f *frame, key []byte) error {
	at := e.in.Pos
	if err := e.in.Skip(f.depth + 1); err != nil {
		return err
	}
	e.keep(f.extras, key, e.in.Row[at:e.in.Pos])
	return nil
}

// keep adds a value to the extras from base on. A null counts as
// absent: it is noted only where it may replace an earlier value.
func (e *Encoder) keep(base int, key, text []byte) {
	if len(e.extras) == base && isNull(text) {
		return
	}
	e.extras = append(e.extras, extra{key: key, text: text})
}

func isNull(text []byte) bool { return string(text) == "null" }

// closeUnmapped writes the record's field of role unmapped and gives its extras back.
func (e *Encoder) closeUnmapped(out []byte, f *frame) []byte {
	if len(e.extras) == f.extras {
		return out
	}
	if f.rec.typed {
		e.noteUnfit(f)
	}
	if e.KeepUnreadable {
		e.noteUnreadable(f)
	}
	i := f.rec.unmapped
	if i < 0 {
		e.leaveOut(f)
		return out
	}
	if i < f.written {
		f.ordered = false
	} else if f.ordered {
		out = e.fillTo(out, f, i)
	}
	begin := len(out)
	out = append(out, 2)
	as := e.appendExtras
	if f.rec.fields[i].kind == kindUnmappedText {
		as = e.appendExtrasText
	}
	out, count := as(out, f.extras)
	if count == 0 {
		return out[:begin]
	}
	e.spans[f.spans+i] = span{start: begin, end: len(out)}
	if f.ordered {
		f.written = i + 1
	}
	f.filled++
	return out
}

// unfit is a member of an object that no field of its record took.
type unfit struct {
	rec *planRecord
	key []byte
}

// Unfit is a member of a row that went to unmapped of an object with typed custom fields.
type Unfit struct {
	Record string // without namespace, as in custom.Fields
	Name   string
	Global bool // it stands at the top of the object
	Known  bool // there is a field for it, which does not hold the value
}

// Unfit lists what the last row has that the custom fields are not typed for: fields
// that came up since they were learned, values of another type and, at the top of the
// object, whatever else the schema has no field for. It is nil for nearly every row,
// and always without typed custom fields. Call it before the row's bytes change.
func (e *Encoder) Unfit() []Unfit {
	if len(e.unfit) == 0 {
		return nil
	}
	all := make([]Unfit, len(e.unfit))
	for i, u := range e.unfit {
		_, known := u.rec.keys.find(u.key)
		holder := u.rec.holder
		all[i] = Unfit{
			Record: holder[strings.LastIndexByte(holder, '.')+1:], Name: string(u.key), Global: u.rec.owner, Known: known,
		}
	}
	return all
}

func (e *Encoder) noteUnfit(f *frame) {
	for _, x := range e.extras[f.extras:] {
		m, known := f.rec.keys.find(x.key)
		if ordinary := known && !f.rec.fields[m.field].custom; !ordinary && !x.hidden && !isNull(x.text) {
			e.unfit = append(e.unfit, unfit{f.rec, x.key})
		}
	}
}

// Unreadable lists the values of the last row that KeepUnreadable has kept, each as the record without
// namespace, a point, and the key: "InvoiceHeader.invoice-date". It is nil for nearly every row.
func (e *Encoder) Unreadable() []string {
	return namesOf(e.unread)
}

// LeftOut lists, in the same way, what the last row has that stands nowhere, since the record that it
// belongs to has no field of role unmapped. It is nil for nearly every row.
func (e *Encoder) LeftOut() []string { return namesOf(e.left) }

func namesOf(members []unfit) []string {
	if len(members) == 0 {
		return nil
	}
	all := make([]string, len(members))
	for i, u := range members {
		all[i] = u.rec.name[strings.LastIndexByte(u.rec.name, '.')+1:] + "." + string(u.key)
	}
	return all
}

// leaveOut notes a record's extras, and gives them back.
func (e *Encoder) leaveOut(f *frame) {
	for _, x := range e.lasting(f.extras) {
		e.left = append(e.left, unfit{f.rec, x.key})
	}
	e.extras = e.extras[:f.extras]
}

func (e *Encoder) noteUnreadable(f *frame) {
	for _, x := range e.extras[f.extras:] {
		if x.unreadable && !x.hidden {
			e.unread = append(e.unread, unfit{f.rec, x.key})
		}
	}
}

// customFields appends the map of an object's custom fields: each value as the JSON text that was sent.
func (e *Encoder) customFields(out []byte, c byte, depth int) ([]byte, verdict, error) {
	if c != '{' {
		v, err := e.emptiness(c)
		return out, v, err
	}
	if err := e.in.Enter(depth); err != nil {
		return out, misfit, err
	}
	base := len(e.extras)
	for first := true; ; first = false {
		key, more, err := e.in.Member(first)
		if err != nil {
			return out, misfit, err
		}
		if !more {
			break
		}
		at := e.in.Pos
		if err := e.in.Skip(depth + 1); err != nil {
			return out, misfit, err
		}
		e.keep(base, key, e.in.Row[at:e.in.Pos])
	}
	out, count := e.appendExtras(out, base)
	if count == 0 {
		return out, blank, nil
	}
	return out, stored, nil
}

// lasting gives what counts of the extras from base on, until they are given back. They are sorted by
// key, so that equal content gives equal bytes; of one key the last counts.
func (e *Encoder) lasting(base int) []extra {
	kept := slices.DeleteFunc(e.extras[base:], func(x extra) bool { return x.hidden })
	slices.SortStableFunc(kept, func(a, b extra) int { return bytes.Compare(a.key, b.key) })
	count := 0
	for i, x := range kept {
		superseded := i+1 < len(kept) && bytes.Equal(x.key, kept[i+1].key)
		if superseded || isNull(x.text) {
			continue
		}
		kept[count] = x
		count++
	}
	return kept[:count]
}

// appendExtras appends the extras from base on as a map of string and gives them back.
func (e *Encoder) appendExtras(out []byte, base int) ([]byte, int) {
	kept, at := e.lasting(base), len(out)
	out = append(out, 0)
	for _, x := range kept {
		out = appendText(out, x.key)
		out = appendText(out, e.repaired(x.text))
	}
	e.extras = e.extras[:base]
	return closeBlock(out, at, len(kept)), len(kept)
}

// appendExtrasText appends them as the text of a JSON object, and gives them back.
func (e *Encoder) appendExtrasText(out []byte, base int) ([]byte, int) {
	kept, text := e.lasting(base), append(e.text[:0], '{')
	for i, x := range kept {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(appendQuoted(text, x.key), ':')
		text = append(text, e.repaired(x.text)...)
	}
	e.extras, e.text = e.extras[:base], append(text, '}')
	return appendText(out, e.text), len(kept)
}

// repaired gives JSON text as valid UTF-8, with U+FFFD for what is not.
func (e *Encoder) repaired(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	e.utf8 = e.utf8[:0]
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		e.utf8 = utf8.AppendRune(e.utf8, r)
		text = text[n:]
	}
	return e.utf8
}
