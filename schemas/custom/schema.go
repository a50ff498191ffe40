package custom

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// lookupRecord is the Avro name of the record of a custom field's lookup value or other associated object.
const lookupRecord = "CustomLookup"

// suffix stands behind a record's name in that of the record of its custom fields.
const suffix = "CustomFields"

// withMap has the digests of texts in which FromSchema found the map: a thousand
// tenants that share a topic ask of the same text, and it is parsed for the first alone.
var withMap sync.Map // schematext.Digest → true

// FromSchema reads back how the custom fields are typed from the text of a
// schema that was made with Fields: that of the last version in a registry,
// whatever has been put around it. typed is false for the schema that has the map
// in place of the types. The error is that of a text that coupastream has not made.
func FromSchema(avsc string) (fields *Fields, typed bool, err error) {
	digest := schematext.Digest(avsc)
	if _, known := withMap.Load(digest); known {
		return new(Fields), false, nil
	}
	row, err := schematext.Parse([]byte(avsc))
	if err != nil {
		return nil, false, err
	}
	c := &Fields{records: map[string][]Field{}}
	row.Walk(func(r *schematext.Record) {
		i := slices.IndexFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleCustomFields })
		if i < 0 || r.Fields[i].Type.Record == nil {
			return
		}
		typed = true
		c.add(cmp.Or(r.Record, r.Name), append(typedIn(r.Fields[i].Type.Record, false), typedIn(r, true)...))
	})
	for record, fields := range c.records {
		if err := check(fields); err != nil {
			return nil, false, fmt.Errorf("custom fields of %s: %w", record, err)
		}
	}
	if !typed {
		withMap.Store(digest, true)
	}
	return c, typed, nil
}

// add takes in fields of a record that stands in the text in more
// than one form: a mapping may leave out different ones in each.
func (c *Fields) add(record string, fields []Field) {
	for _, f := range fields {
		if !slices.ContainsFunc(c.records[record], func(have Field) bool { return have.key() == f.key() }) {
			c.records[record] = append(c.records[record], f)
		}
	}
	globalsLast(c.records[record])
	if len(c.records[record]) == 0 {
		delete(c.records, record)
	}
}

// typedIn lists the custom fields that stand in a record itself.
func typedIn(r *schematext.Record, global bool) []Field {
	var fields []Field
	for _, f := range r.Fields {
		if len(f.Custom) == 0 {
			continue
		}
		one := Field{Name: f.CoupaName, List: f.Type.Items != nil, Global: global}
		for _, t := range f.Custom {
			one.Types = append(one.Types, Type(t))
		}
		fields = append(fields, one)
	}
	return fields
}

// Apply makes custom_fields of every record of the schema that has it a record of typed
// fields. carrier is the Avro type that carries decimals, "" for Avro's own decimal.
func (c *Fields) Apply(row *schematext.Record, carrier string) error {
	t := typer{carrier: carrier, namespace: row.Namespace, known: map[string]bool{}}
	t.retype(row, c)
	for _, name := range c.Records() {
		if !t.known[name] {
			return fmt.Errorf("there are custom fields of the record %s, which has none in this schema; give those of this object", name)
		}
	}
	return nil
}

// retype goes through the fields in the order of the text: a
// record must be defined where its name stands first.
func (t *typer) retype(r *schematext.Record, c *Fields) {
	var globals []Field
	defer func() { t.addGlobals(r, globals) }()
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Role == schematext.RoleCustomFields {
			t.known[r.Name] = true
			spaced, global := apart(c.records[r.Name])
			f.Type = schematext.Type{Nullable: true, Record: t.record(r, spaced)}
			f.Doc = "The custom fields; each by its API name."
			globals = global
			continue
		}
		if f.Type.Items != nil && f.Type.Items.Record != nil {
			t.retype(f.Type.Items.Record, c)
		}
		if f.Type.Record != nil {
			t.retype(f.Type.Record, c)
		}
	}
}

// apart gives the fields of each namespace.
func apart(fields []Field) (spaced, global []Field) {
	for _, f := range fields {
		if f.Global {
			global = append(global, f)
			continue
		}
		spaced = append(spaced, f)
	}
	return spaced, global
}

// addGlobals puts fields of the global namespace behind a record's own. One that is the
// record's own by now, since Coupa's API description has come to know it, is left out.
func (t *typer) addGlobals(r *schematext.Record, globals []Field) {
	names := []string{schematext.ParentField} // which a line's record has
	own := map[string]bool{}
	for _, f := range r.Fields {
		names = append(names, f.Name)
		own[f.CoupaName] = true
	}
	first := len(names)
	globals = slices.DeleteFunc(globals, func(f Field) bool { return own[f.Name] })
	for _, f := range globals {
		names = append(names, f.Name)
	}
	names = avroname.Fields(names)
	for i, f := range globals {
		field := t.field(names[first+i], f)
		field.Doc = "Custom field of the global namespace."
		r.Fields = append(r.Fields, field)
	}
}

type typer struct {
	carrier   string // as Apply has it
	namespace string
	lookup    bool            // the record of lookups is defined earlier in the text
	known     map[string]bool // the records that have custom fields
}

// record is that of the custom fields of r's object. The name unmapped goes to no custom field.
func (t *typer) record(r *schematext.Record, fields []Field) *schematext.Record {
	coupa := []string{schematext.RoleUnmapped}
	for _, f := range fields {
		coupa = append(coupa, f.Name)
	}
	names := avroname.Fields(coupa)[1:]
	typed := &schematext.Record{Type: "record", Name: r.Name + suffix, Namespace: r.Namespace}
	for i, f := range fields {
		typed.Fields = append(typed.Fields, t.field(names[i], f))
	}
	typed.Fields = append(typed.Fields, unmappedOf("JSON text of each custom field that has no field here, or whose value its field does not hold, by its API name."))
	return typed
}

func unmappedOf(doc string) schematext.Field {
	return schematext.Field{Name: schematext.RoleUnmapped, Type: schematext.Type{Nullable: true, Values: "string"},
		Role: schematext.RoleUnmapped, Doc: doc}
}

func (t *typer) field(name string, f Field) schematext.Field {
	field := schematext.Field{Name: name, CoupaName: f.Name, Custom: typeNames(f.Types)}
	branches := t.branches(f.Types)
	one := branches[0]
	one.Nullable = true
	switch {
	case f.List:
		field.Type = schematext.Type{Nullable: true, Items: &one}
	case len(branches) > 1:
		field.Type = schematext.Type{Nullable: true, Branches: branches}
	default:
		field.Type = one
	}
	if t.carrier != "" && slices.Contains(f.Types, Decimal) {
		field.CoupaType = schematext.TypeDecimal
	}
	return field
}

func typeNames(types []Type) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return names
}

// branches gives the Avro types; two that are carried alike are one branch.
func (t *typer) branches(types []Type) []schematext.Type {
	var branches []schematext.Type
	for _, c := range types {
		b := t.plain(c)
		same := func(other schematext.Type) bool { return b.Record == nil && b.Name == other.Name }
		if !slices.ContainsFunc(branches, same) {
			branches = append(branches, b)
		}
	}
	return branches
}

func (t *typer) plain(c Type) schematext.Type {
	switch c {
	case Decimal:
		if t.carrier != "" {
			return schematext.Type{Name: t.carrier}
		}
		return schematext.Type{Name: "bytes", Logical: "decimal", Precision: precision, Scale: scale}
	case Instant:
		return schematext.Type{Name: "long", Logical: "timestamp-millis"}
	case Lookup:
		if t.lookup {
			return schematext.Type{Name: t.namespace + "." + lookupRecord}
		}
		t.lookup = true
		return schematext.Type{Record: t.lookupRecord()}
	}
	return schematext.Type{Name: string(c)}
}

// lookupRecord holds what Coupa shows of a lookup value. What
// else it sends, as of another kind of object, is in unmapped.
func (t *typer) lookupRecord() *schematext.Record {
	r := &schematext.Record{Type: "record", Name: lookupRecord, Namespace: t.namespace, Fields: []schematext.Field{
		t.field("id", Field{Name: "id", Types: []Type{Long}}),
		t.field("active", Field{Name: "active", Types: []Type{Boolean}}),
	}}
	for _, name := range []string{"name", "description", "external-ref-num", "external-ref-code"} {
		r.Fields = append(r.Fields, t.field(avroname.Of(name), Field{Name: name, Types: []Type{String}}))
	}
	r.Fields = append(r.Fields, unmappedOf("JSON text of each further member, by Coupa's name."))
	return r
}
