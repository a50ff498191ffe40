package custom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what is typed. Custom fields beyond them stay JSON text in unmapped.
const (
	Max     = 500 // of one record
	MaxName = 255 // bytes of the API name
)

// Fields says how the custom fields of one object's rows are typed,
// record by record: made by a Discovery, carried on by Evolve, kept as JSON.
// It never changes once made and may be shared. The zero value types none.
//
// The JSON form is canonical, equal values have equal text (here with a line break):
//
//	{"InvoiceHeader":[{"name":"cost-center","types":["long","string"]},
//	                  {"name":"gpo-entity","types":["string"],"global":true}]}
//
// A record is known by its Avro name without namespace. Its fields stand in the
// order of the schema, in which they were learned, those of the global namespace
// behind the others; the order of types is that of the union's branches.
type Fields struct {
	records map[string][]Field
}

// Field is one typed custom field.
type Field struct {
	Name string `json:"name"` // the API name, as Coupa spells it
	// Types are the branches of the field's union behind null, at least one: plain
	// types, each once and long and instant not both, or Lookup alone.
	Types []Type `json:"types"`
	List  bool   `json:"list,omitempty"` // an array, whose items are of the one type and may be null
	// Global: of the global namespace, whose fields Coupa shows
	// at the top of the object and not under custom-fields.
	Global bool `json:"global,omitempty"`
}

// fieldKey tells the custom fields of one record apart: both namespaces may have a name.
type fieldKey struct {
	name   string
	global bool
}

func (f Field) key() fieldKey { return fieldKey{f.Name, f.Global} }

// compare orders by name, the global namespace last.
func (k fieldKey) compare(other fieldKey) int {
	if k.global != other.global {
		if k.global {
			return 1
		}
		return -1
	}
	return strings.Compare(k.name, other.name)
}

// Type is a type of a custom field's values.
type Type string

// The types, with what is of each in a row and its Avro type.
const (
	Boolean Type = "boolean" // true or false: boolean
	Long    Type = "long"    // a JSON integer of 64 bits: long
	// a JSON number, or text like "12.50": as Options.Decimals says, scale 9
	Decimal Type = "decimal"
	Instant Type = "instant" // text like "2024-04-01T00:00:00+03:00": timestamp-millis
	String  Type = "string"  // any other text: string
	Lookup  Type = "lookup"  // an object: the record CustomLookup
)

// allTypes are all types in the order in which a union has those that were learned together.
var allTypes = []Type{Boolean, Long, Decimal, Instant, String, Lookup}

// MarshalJSON writes the canonical text.
func (c *Fields) MarshalJSON() ([]byte, error) {
	if c.records == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(c.records) // with the records by name
}

// UnmarshalJSON reads what MarshalJSON writes. Call it on a new value alone.
func (c *Fields) UnmarshalJSON(text []byte) error {
	var records map[string][]Field
	if err := json.Unmarshal(text, &records); err != nil {
		return fmt.Errorf("reading custom fields: %w", err)
	}
	for record, fields := range records {
		if err := check(fields); err != nil {
			return fmt.Errorf("reading custom fields of %s: %w", record, err)
		}
	}
	c.records = records
	return nil
}

func check(fields []Field) error {
	if len(fields) == 0 || len(fields) > Max {
		return fmt.Errorf("there are %d; a record has 1 to %d", len(fields), Max)
	}
	names := map[fieldKey]bool{}
	for _, f := range fields {
		if !validName(f.Name) || !utf8.ValidString(f.Name) || names[f.key()] {
			return fmt.Errorf("the name %.40q is empty, too long or given twice", f.Name)
		}
		names[f.key()] = true
		if err := f.check(); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

func validName(name string) bool { return name != "" && len(name) <= MaxName }

func (f Field) check() error {
	for i, t := range f.Types {
		if !slices.Contains(allTypes, t) || slices.Contains(f.Types[:i], t) {
			return fmt.Errorf("the type %q is unknown or given twice; there are %q", t, allTypes)
		}
	}
	switch {
	case len(f.Types) == 0:
		return errors.New("it has no type")
	case len(f.Types) > 1 && (f.List || slices.Contains(f.Types, Lookup)):
		return errors.New("a list or lookup has one type")
	case slices.Contains(f.Types, Long) && slices.Contains(f.Types, Instant):
		return errors.New("long and instant are one type in Avro, which a union has once")
	}
	return nil
}

// Hash is a short name of the value: equal for equal values, and different for others.
func (c *Fields) Hash() string {
	text, _ := c.MarshalJSON() // names and types always have a JSON form
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Records lists the records that have typed custom fields, in order.
func (c *Fields) Records() []string { return slices.Sorted(maps.Keys(c.records)) }

// Of lists the typed custom fields of a record in the schema's order.
func (c *Fields) Of(record string) []Field {
	fields := slices.Clone(c.records[record])
	for i := range fields {
		fields[i].Types = slices.Clone(fields[i].Types)
	}
	return fields
}

// Evolve gives c with what next knows besides, so that a reader of the new schema reads
// all that was written with c's (compatibility BACKWARD): fields that c lacks come behind
// c's own, as far as Max allows; a plain field of which next knows another
// type gets that as a further branch of its union. No field goes, is renamed or changes
// between plain, lookup and list, and no branch moves. Neither c nor next changes.
func (c *Fields) Evolve(next *Fields) *Fields {
	evolved := &Fields{records: maps.Clone(c.records)}
	if evolved.records == nil {
		evolved.records = map[string][]Field{}
	}
	for record, fields := range next.records {
		evolved.records[record] = evolveFields(c.records[record], fields)
	}
	return evolved
}

// Extend is Evolve without the further types of fields that c has:
// under some levels of compatibility a registry takes new fields alone.
func (c *Fields) Extend(next *Fields) *Fields {
	added := &Fields{records: map[string][]Field{}}
	for record, fields := range next.records {
		known := map[fieldKey]bool{}
		for _, f := range c.records[record] {
			known[f.key()] = true
		}
		fields = slices.DeleteFunc(slices.Clone(fields), func(f Field) bool { return known[f.key()] })
		if len(fields) > 0 {
			added.records[record] = fields
		}
	}
	return c.Evolve(added)
}

// Single gives c with one type for each field, that of most of what may come: a number is a
// decimal, so that a first 10 leaves room for 10.5, and a field of which values of several types
// were seen is a string, which holds every plain value as its text. c does not change.
func (c *Fields) Single() *Fields {
	single := &Fields{records: make(map[string][]Field, len(c.records))}
	for record, fields := range c.records {
		fields = slices.Clone(fields)
		for i := range fields {
			fields[i].Types = []Type{singleType(fields[i].Types)}
		}
		single.records[record] = fields
	}
	return single
}

func singleType(types []Type) Type {
	switch {
	case len(types) > 1:
		return String
	case types[0] == Long:
		return Decimal
	}
	return types[0]
}

func evolveFields(old, next []Field) []Field {
	fields := slices.Clone(old)
	places := make(map[fieldKey]int, len(fields))
	for i, f := range fields {
		places[f.key()] = i
	}
	for _, f := range next {
		if i, ok := places[f.key()]; ok {
			fields[i].Types = widen(fields[i], f)
			continue
		}
		if len(fields) < Max {
			fields = append(fields, f)
		}
	}
	globalsLast(fields)
	return fields
}

// globalsLast puts the fields of the global namespace behind the others, as a schema has them.
func globalsLast(fields []Field) {
	slices.SortStableFunc(fields, func(a, b Field) int {
		return fieldKey{global: a.Global}.compare(fieldKey{global: b.Global})
	})
}

// widen gives the types of a field that was old's and has values as next's.
func widen(old, next Field) []Type {
	if old.List || next.List || old.Types[0] == Lookup || next.Types[0] == Lookup {
		return old.Types
	}
	types := slices.Clone(old.Types)
	for _, t := range next.Types {
		types = addBranch(types, t)
	}
	return types
}

// addBranch adds a plain type behind types unless they hold its values as they are. A string
// holds every plain value as its text, and takes the place of a type that the union cannot have.
func addBranch(types []Type, t Type) []Type {
	has := func(t Type) bool { return slices.Contains(types, t) }
	switch {
	case has(t), has(String), t == Long && has(Decimal):
		return types
	case t == Long && has(Instant), t == Instant && has(Long):
		t = String
	}
	return append(types, t)
}
