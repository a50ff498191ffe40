package schemas

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// lookupRecord is the Avro name of the record of a custom field's lookup value or other associated object.
const lookupRecord = "CustomLookup"

// customSuffix stands behind a record's name in that of the record of its custom fields.
const customSuffix = "CustomFields"

// CustomFieldsOf reads back how the custom fields are typed from the text of a
// schema that was made with Options.Custom: that of the last version in a registry,
// whatever has been put around it. typed is false for the schema that has the map
// in place of the types. The error is that of a text that coupastream has not made.
func CustomFieldsOf(avsc string) (fields *CustomFields, typed bool, err error) {
	row, err := schematext.Parse([]byte(avsc))
	if err != nil {
		return nil, false, err
	}
	c := &CustomFields{records: map[string][]CustomField{}}
	row.Walk(func(r *schematext.Record) {
		i := slices.IndexFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleCustomFields })
		if i < 0 || r.Fields[i].Type.Record == nil {
			return
		}
		typed = true
		c.add(cmp.Or(r.Record, r.Name), append(customOf(r.Fields[i].Type.Record, false), customOf(r, true)...))
	})
	for record, fields := range c.records {
		if err := checkCustom(fields); err != nil {
			return nil, false, fmt.Errorf("custom fields of %s: %w", record, err)
		}
	}
	return c, typed, nil
}

// add takes in fields of a record that stands in the text in more
// than one form: a mapping may leave out different ones in each.
func (c *CustomFields) add(record string, fields []CustomField) {
	for _, f := range fields {
		if !slices.ContainsFunc(c.records[record], func(have CustomField) bool { return have.key() == f.key() }) {
			c.records[record] = append(c.records[record], f)
		}
	}
	slices.SortStableFunc(c.records[record], func(a, b CustomField) int {
		switch {
		case a.Global == b.Global:
			return 0
		case b.Global:
			return -1
		}
		return 1
	})
	if len(c.records[record]) == 0 {
		delete(c.records, record)
	}
}

// customOf lists the custom fields that stand in a record itself.
func customOf(r *schematext.Record, global bool) []CustomField {
	var fields []CustomField
	for _, f := range r.Fields {
		if len(f.Custom) == 0 {
			continue
		}
		one := CustomField{Name: f.CoupaName, List: f.Type.Items != nil, Global: global}
		for _, t := range f.Custom {
			one.Types = append(one.Types, CustomType(t))
		}
		fields = append(fields, one)
	}
	return fields
}

// apply makes custom_fields of every record of the schema that has it a record of typed fields.
func (c *CustomFields) apply(row *schematext.Record, mode DecimalMode) error {
	t := customTyper{mode: mode, namespace: row.Namespace, known: map[string]bool{}}
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
func (t *customTyper) retype(r *schematext.Record, c *CustomFields) {
	var globals []CustomField
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
func apart(fields []CustomField) (spaced, global []CustomField) {
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
func (t *customTyper) addGlobals(r *schematext.Record, globals []CustomField) {
	names := []string{ParentField} // which a line's record has
	own := map[string]bool{}
	for _, f := range r.Fields {
		names = append(names, f.Name)
		own[f.CoupaName] = true
	}
	first := len(names)
	globals = slices.DeleteFunc(globals, func(f CustomField) bool { return own[f.Name] })
	for _, f := range globals {
		names = append(names, f.Name)
	}
	names = FieldNames(names)
	for i, f := range globals {
		field := t.field(names[first+i], f)
		field.Doc = "Custom field of the global namespace."
		r.Fields = append(r.Fields, field)
	}
}

type customTyper struct {
	mode      DecimalMode
	namespace string
	lookup    bool            // the record of lookups is defined earlier in the text
	known     map[string]bool // the records that have custom fields
}

// record is that of the custom fields of r's object. The name unmapped goes to no custom field.
func (t *customTyper) record(r *schematext.Record, fields []CustomField) *schematext.Record {
	coupa := []string{schematext.RoleUnmapped}
	for _, f := range fields {
		coupa = append(coupa, f.Name)
	}
	names := FieldNames(coupa)[1:]
	typed := &schematext.Record{Type: "record", Name: r.Name + customSuffix, Namespace: r.Namespace}
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

func (t *customTyper) field(name string, f CustomField) schematext.Field {
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
	if t.carried() && slices.Contains(f.Types, CustomDecimal) {
		field.CoupaType = schematext.TypeDecimal
	}
	return field
}

func typeNames(types []CustomType) []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return names
}

// carried tells that decimals are not Avro's own.
func (t *customTyper) carried() bool { return t.mode == DecimalString || t.mode == DecimalDouble }

// branches gives the Avro types; two that are carried alike are one branch.
func (t *customTyper) branches(types []CustomType) []schematext.Type {
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

func (t *customTyper) plain(c CustomType) schematext.Type {
	switch c {
	case CustomDecimal:
		if t.carried() {
			return schematext.Type{Name: string(t.mode)}
		}
		return schematext.Type{Name: "bytes", Logical: "decimal", Precision: customPrecision, Scale: customScale}
	case CustomInstant:
		return schematext.Type{Name: "long", Logical: "timestamp-millis"}
	case CustomLookup:
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
func (t *customTyper) lookupRecord() *schematext.Record {
	r := &schematext.Record{Type: "record", Name: lookupRecord, Namespace: t.namespace, Fields: []schematext.Field{
		t.field("id", CustomField{Name: "id", Types: []CustomType{CustomLong}}),
		t.field("active", CustomField{Name: "active", Types: []CustomType{CustomBoolean}}),
	}}
	for _, name := range []string{"name", "description", "external-ref-num", "external-ref-code"} {
		r.Fields = append(r.Fields, t.field(avroName(name), CustomField{Name: name, Types: []CustomType{CustomString}}))
	}
	r.Fields = append(r.Fields, unmappedOf("JSON text of each further member, by Coupa's name."))
	return r
}
