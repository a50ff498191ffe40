package coupa

import (
	"encoding/json"
	"slices"
)

// field is an element of a query's `fields`: a member that is asked for.
type field struct {
	name string
	text string  // as it stands there
	sub  []field // what of the member is asked for, where it is a list of names
	size int     // bytes of text, escaped
}

// parseFields takes `fields` apart; false: it is none that this package can ask for in parts.
func parseFields(text string) (list []field, ok bool) {
	var elements []json.RawMessage
	if json.Unmarshal([]byte(text), &elements) != nil {
		return nil, false
	}
	for _, e := range elements {
		f := field{text: string(e), size: len(escaped(nil, string(e)))}
		var object map[string]json.RawMessage
		switch {
		case json.Unmarshal(e, &f.name) == nil:
		case json.Unmarshal(e, &object) == nil && len(object) == 1:
			for name, of := range object {
				f.name = name
				f.sub, _ = parseFields(string(of)) // {} asks for all of it
			}
		default:
			return nil, false
		}
		list = append(list, f)
	}
	return list, len(list) > 0
}

// appendFields appends the text that asks for fields.
func appendFields(b []byte, list []field) []byte {
	b = append(b, '[')
	for i, f := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, f.text...)
	}
	return append(b, ']')
}

// of makes the field that asks for parts of a member.
func of(name string, sub []field) field {
	b, _ := json.Marshal(name) // text always has a JSON form
	b = append(appendFields(append(append([]byte{'{'}, b...), ':'), sub), '}')
	return field{name: name, text: string(b), sub: sub, size: len(escaped(nil, string(b)))}
}

// stampsOf are those of the fields that every part asks for, so that nothing is put together which
// is not of one version: id and updated-at, and the same of the lines.
func stampsOf(list []field, lines string) []field {
	var stamps []field
	for _, f := range list {
		switch {
		case f.name == "id", isUpdatedAt([]byte(f.name)):
			stamps = append(stamps, f)
		case f.name == lines && f.sub != nil:
			if inner := stampsOf(f.sub, ""); len(inner) > 0 {
				stamps = append(stamps, of(f.name, inner))
			}
		case f.name == lines:
			stamps = append(stamps, of(f.name, []field{{name: "id", text: `"id"`}, {name: "updated_at", text: `"updated_at"`}}))
		}
	}
	return stamps
}

// without are the fields that no stamp asks for already.
func without(list, stamps []field) []field {
	return slices.DeleteFunc(slices.Clone(list), func(f field) bool {
		return slices.ContainsFunc(stamps, func(s field) bool { return s.text == f.text })
	})
}

// take returns the stamps with as many of the fields as have room: bytes for the escaped text. A field that
// has none in any part is divided, if there is an id in what is asked for of it. rest is what other parts
// are to ask for.
func take(list, stamps []field, room int) (part, rest []field) {
	part = slices.Clone(stamps)
	alone := sizeOf(part)
	size := alone
	put := func(f field) {
		at := slices.IndexFunc(part, func(p field) bool { return p.name == f.name })
		if at < 0 {
			part = append(part, f)
			size += f.size + len(",")
			return
		}
		size += f.size - part[at].size
		part[at] = f
	}
	for _, f := range list {
		switch {
		case size+f.size+len(",") <= room:
			put(f)
		case alone+f.size+len(",") <= room:
			rest = append(rest, f)
		default:
			piece, left, ok := f.divide(room - size - len(","))
			if ok {
				put(piece)
				f = left
			}
			rest = append(rest, f)
		}
	}
	return part, rest
}

// divide returns a field that asks for as much of f as has room, and one for the rest.
func (f field) divide(room int) (piece, left field, ok bool) {
	stamps := stampsOf(f.sub, "")
	if !slices.ContainsFunc(stamps, func(s field) bool { return s.name == "id" }) {
		return piece, left, false
	}
	around := of(f.name, nil).size - sizeOf(nil)
	part, rest := take(without(f.sub, stamps), stamps, room-around)
	if len(part) == len(stamps) || len(rest) == 0 {
		return piece, left, false
	}
	return of(f.name, part), of(f.name, append(stamps, rest...)), true
}

// sizeOf is how many bytes the text that asks for fields has at most, escaped.
func sizeOf(list []field) int {
	size := len(escaped(nil, "[]"))
	for _, f := range list {
		size += f.size + len(",")
	}
	return size
}

// unite puts together what two requests told of one row or of a part of it: a's members and
// those of b's that a has not. False: what both have is not the same, so that they are of two versions.
func unite(dst, a, b []byte) ([]byte, bool) {
	switch {
	case string(a) == string(b):
		return append(dst, a...), true
	case a[0] == '{' && b[0] == '{':
		return uniteObjects(dst, a, b)
	case a[0] == '[' && b[0] == '[':
		return uniteArrays(dst, a, b)
	}
	return dst, false
}

// uniteObjects unites two objects member by member.
func uniteObjects(dst, a, b []byte) (_ []byte, ok bool) {
	of, other := membersOf(a), membersOf(b)
	dst = append(dst, '{')
	for i, m := range of {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, m.key...), ':')
		at := slices.IndexFunc(other, func(o member) bool { return string(o.key) == string(m.key) })
		if at < 0 {
			dst = append(dst, m.value...)
			continue
		}
		if dst, ok = unite(dst, m.value, other[at].value); !ok {
			return dst, false
		}
		other = slices.Delete(other, at, at+1)
	}
	for i, m := range other {
		if i > 0 || len(of) > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, m.key...), ':'), m.value...)
	}
	return append(dst, '}'), true
}

// uniteArrays unites two arrays element by element.
func uniteArrays(dst, a, b []byte) (_ []byte, ok bool) {
	of, other := elementsOf(a), elementsOf(b)
	if len(of) != len(other) {
		return dst, false
	}
	dst = append(dst, '[')
	for i := range of {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, ok = unite(dst, of[i], other[i]); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

// member is one of an object's: its key with the quotes around it, and its value.
type member struct{ key, value []byte }

// membersOf lists the members of an object whose text was scanned before, so that nothing in it is wrong.
func membersOf(object []byte) []member {
	s := scanner{data: object, pos: 1}
	var all []member
	for c, err := s.peek(); err == nil && c != '}'; c, err = s.after('}') {
		from := s.pos
		_ = s.text()
		key := object[from:s.pos]
		_, _ = s.peek()
		s.pos++ // the colon
		_, _ = s.peek()
		from = s.pos
		_, _ = s.value()
		all = append(all, member{key, object[from:s.pos]})
	}
	return all
}

// elementsOf lists the elements of an array, likewise.
func elementsOf(array []byte) [][]byte {
	s := scanner{data: array, pos: 1}
	var all [][]byte
	for c, err := s.peek(); err == nil && c != ']'; c, err = s.after(']') {
		from := s.pos
		_, _ = s.value()
		all = append(all, array[from:s.pos])
	}
	return all
}
