package custom

import (
	"maps"
	"slices"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Discovery learns the custom fields of one object from its rows. What it
// knows depends on the set of rows that it has seen, not on their order
// or number, so that workers who see the same rows make the same schema:
//
//	d, err := schemas.NewDiscovery("invoices")
//	err = d.Observe(row)                      // for each row
//	fields = fields.Evolve(d.Fields())        // of the last version, or of new(custom.Fields)
//	s, err := schemas.For("invoices", schemas.Options{Custom: fields})
//
// A value is of the type that Type documents; null, "", [] and {} tell nothing.
// A field of several types is a list if any value was one, else a lookup if any was
// one. Of plain types string stands for all, decimal for long, string for long and
// instant together. Of a record's fields the Max first by name are known.
//
// At the top of an object with custom fields, a member that neither its schema
// nor Coupa's API description names is a custom field of the global namespace.
// Only rows that were asked for without `fields` show which there are.
//
// One goroutine at a time may use it.
type Discovery struct {
	row  *Shape
	seen map[string]map[fieldKey]seenTypes // by record
	// by record: names of the global namespace, with a value or without
	globals map[string]map[string]bool
	in      rowtext.Scanner
}

// Shape is a record of an object's schema, as far as it tells where in rows custom fields are.
type Shape struct {
	Name    string            // the record's, without namespace
	Members map[string]Member // by the keys that lead to the record's fields
	// Documented tells of a key that leads to no field whether Coupa's
	// API description names it. It is nil where no custom fields are.
	Documented func(key string) bool
}

// Member is a field of a record.
type Member struct {
	Record *Shape // of an associated object, or of each in a list; nil for all else
	List   bool
	Custom bool // the object's custom fields
}

// seenTypes is a set: bit i of the low byte is allTypes[i], of the high byte a list with such items.
type seenTypes uint16

const seenItems = 8 // the shift of the high byte

// NewDiscovery makes one for rows of an object, whose record has the shape.
func NewDiscovery(row *Shape) *Discovery {
	return &Discovery{row: row, seen: map[string]map[fieldKey]seenTypes{}, globals: map[string]map[string]bool{}}
}

// Observe learns from a row, one JSON object in full. On error, a
// *rowtext.FieldError, nothing was learned. The row is only read during the call.
func (d *Discovery) Observe(row []byte) error {
	d.in.Reset(row)
	defer func() { d.in.Row = nil }()
	if d.in.Next() != '{' {
		return rowtext.AsFieldError(d.in.Syntax(d.in.Pos, "a row is an object"))
	}
	if err := d.in.Skip(0); err != nil {
		return rowtext.AsFieldError(err)
	}
	if d.in.Next() != 0 || d.in.Pos < len(row) {
		return rowtext.AsFieldError(d.in.Syntax(d.in.Pos, "something follows the row"))
	}
	d.in.Pos = 0
	d.in.Next()
	return d.record(d.row, 0)
}

// members calls take at each value of the object at pos; take passes over it.
func (d *Discovery) members(depth int, take func(key []byte) error) error {
	if err := d.in.Enter(depth); err != nil {
		return err
	}
	for first := true; ; first = false {
		key, more, err := d.in.Member(first)
		if err != nil || !more {
			return err
		}
		if err := take(key); err != nil {
			return err
		}
	}
}

// elements calls take at each element of the list at pos; take passes over it.
func (d *Discovery) elements(depth int, take func() error) error {
	if err := d.in.Enter(depth); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := d.in.Element(first)
		if err != nil || !more {
			return err
		}
		if err := take(); err != nil {
			return err
		}
	}
}

func (d *Discovery) record(r *Shape, depth int) error {
	return d.members(depth, func(key []byte) error {
		m, ok := r.Members[string(key)]
		if ok {
			return d.value(r, m, depth+1)
		}
		if r.Documented == nil || r.Documented(string(key)) {
			return d.in.Skip(depth + 1)
		}
		types, err := d.customValue(depth + 1)
		if err == nil {
			d.noteGlobal(r.Name, string(key))
			d.note(r.Name, fieldKey{string(key), true}, types)
		}
		return err
	})
}

// value looks for custom fields in a value of the row itself, which r has.
func (d *Discovery) value(r *Shape, m Member, depth int) error {
	switch c := d.in.Peek(); {
	case m.Record != nil && c == '{': // a lone object may stand for a list of one
		return d.record(m.Record, depth)
	case m.Record != nil && m.List && c == '[':
		item := Member{Record: m.Record}
		return d.elements(depth, func() error { return d.value(r, item, depth+1) })
	case m.Custom && c == '{':
		return d.members(depth, func(key []byte) error {
			types, err := d.customValue(depth + 1)
			if err == nil {
				d.note(r.Name, fieldKey{string(key), false}, types)
			}
			return err
		})
	}
	return d.in.Skip(depth)
}

// customValue gives the type of the custom field's value at pos, 0 where it tells none.
func (d *Discovery) customValue(depth int) (seenTypes, error) {
	if d.in.Peek() != '[' {
		return d.single(depth)
	}
	items, nested := seenTypes(0), false
	err := d.elements(depth, func() error {
		nested = nested || d.in.Peek() == '['
		t, err := d.single(depth + 1)
		items |= t
		return err
	})
	if nested {
		return 0, err
	}
	return items << seenItems, err
}

// single gives the type of a value that is no list.
func (d *Discovery) single(depth int) (seenTypes, error) {
	c, start := d.in.Peek(), d.in.Pos
	switch c {
	case '{':
		err := d.in.Skip(depth)
		inside := rowtext.Scanner{Row: d.in.Row[:d.in.Pos], Pos: start + 1}
		if inside.Next() == '}' {
			return 0, err
		}
		return typeBit(Lookup), err
	case 'n', '[':
		return 0, d.in.Skip(depth)
	case '"':
		text, err := d.in.Text()
		if len(text) == 0 {
			return 0, err
		}
		return typeBit(textType(text)), err
	}
	err := d.in.Skip(depth)
	return typeBit(TypeOf(c, d.in.Row[start:d.in.Pos])), err
}

func typeBit(t Type) seenTypes { return 1 << slices.Index(allTypes, t) }

// note adds types to what is known of a member. Beyond the bound the last name in order goes: one that
// is among the first of all names is among the first of any part of them, and so is never one of those.
func (d *Discovery) note(record string, key fieldKey, types seenTypes) {
	if types == 0 || !validName(key.name) {
		return
	}
	fields := d.seen[record]
	if fields == nil {
		fields = map[fieldKey]seenTypes{}
		d.seen[record] = fields
	}
	fields[key] |= types
	if len(fields) > Max {
		delete(fields, slices.MaxFunc(slices.Collect(maps.Keys(fields)), fieldKey.compare))
	}
}

// noteGlobal adds a name of the global namespace, whatever its value, under the same bound.
func (d *Discovery) noteGlobal(record, name string) {
	if !validName(name) {
		return
	}
	names := d.globals[record]
	if names == nil {
		names = map[string]bool{}
		d.globals[record] = names
	}
	names[name] = true
	if len(names) > Max {
		delete(names, slices.Max(slices.Collect(maps.Keys(names))))
	}
}

// Globals lists the names of the global namespace by record, also of fields
// that had no value yet: what a request with `fields` must ask for by name.
func (d *Discovery) Globals() map[string][]string {
	all := map[string][]string{}
	for record, names := range d.globals {
		all[record] = slices.Sorted(maps.Keys(names))
	}
	return all
}

// Fields is what is known so far, each record's fields in
// the order of their names, those of the global namespace last.
func (d *Discovery) Fields() *Fields {
	c := &Fields{records: map[string][]Field{}}
	for record, fields := range d.seen {
		for _, key := range slices.SortedFunc(maps.Keys(fields), fieldKey.compare) {
			c.records[record] = append(c.records[record], settle(key, fields[key]))
		}
	}
	return c
}

// settle chooses the field for what was seen.
func settle(key fieldKey, seen seenTypes) Field {
	if items := seen >> seenItems; items != 0 {
		types := reduce(items)
		if len(types) > 1 {
			types = []Type{String}
		}
		return Field{Name: key.name, Types: types, List: true, Global: key.global}
	}
	return Field{Name: key.name, Types: reduce(seen), Global: key.global}
}

// reduce gives the types of a union that holds values of all
// types seen, of lookups alone where there were some.
func reduce(seen seenTypes) []Type {
	has := func(t Type) bool { return seen&typeBit(t) != 0 }
	switch {
	case has(Lookup):
		return []Type{Lookup}
	case has(String), has(Long) && has(Instant):
		return []Type{String}
	}
	var types []Type
	for _, t := range allTypes {
		if has(t) && !(t == Long && has(Decimal)) {
			types = append(types, t)
		}
	}
	return types
}
