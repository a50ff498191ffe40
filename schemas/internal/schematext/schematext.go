// Package schematext holds the text of an Avro schema as a tree that keeps its order,
// so that a schema can be made, changed and written again with nothing moved. It
// knows the part of Avro that coupastream's schemas use, and their own properties:
//
//	coupa.object  on a record: the Coupa object that it shows
//	coupa.record  on a record: its name before a mapping gave it one of its own
//	coupa.rules   on the record of rows or lines: what a mapping hides in them, by Coupa's path
//	coupa.name    on a field: its key in Coupa's JSON
//	coupa.role    on a field: what a map of string holds, RoleCustomFields or RoleUnmapped, the latter
//	              also as one string; or what else is no field of Coupa's, RoleComputed, RoleParent or
//	              RoleTenant
//	coupa.type    on a field: "decimal" where the schema carries a decimal as string or double; "text"
//	              where Coupa describes a text and sends something narrower; "retyped" where a mapping
//	              gave it its type
//	coupa.branch  on a field whose type is a union of null and several types: the place of the one that
//	              values are written as
//	coupa.custom  on a custom field that a tenant's rows taught: the types that its values had
//
// A field with personal data has confluent:tags, by the name that registries' catalogs know them: TagPII, and
// with it most often what kind of data it is.
package schematext

import (
	"encoding/json"
	"fmt"
)

// What a field of JSON text holds.
const (
	RoleCustomFields = "custom-fields" // an object's custom fields, by their own names
	RoleUnmapped     = "unmapped"      // what Coupa sent that the record has no place for, by Coupa's names
)

// RoleComputed is the coupa.role of a field that Coupa does not have: a mapping
// computes it. Its key in the JSON to encode is ComputedKey of its name.
const RoleComputed = "computed"

// RoleParent is the coupa.role of the field that tells which row a line is of, or which row the one at
// hand is below. Its key in the JSON to encode is ComputedKey of its name, unless it has a coupa.name.
const RoleParent = "parent"

// RoleTenant is the coupa.role of the field that tells which tenant a row or line is of.
const RoleTenant = "tenant"

// ParentField is the name of that field.
const ParentField = "parent_id"

// ComputedKey is the key of a computed field's value: none that Coupa gives to anything.
func ComputedKey(name string) string { return "=" + name }

// TypeRetyped is the coupa.type of a field to which a mapping gave
// another type: a value that has no room in it is a fault of the row.
const TypeRetyped = "retyped"

// TypeDecimal is the coupa.type of a decimal that is carried as string or double.
const TypeDecimal = "decimal"

// TypeText is the coupa.type of a field that Coupa describes as text although its
// answers have, say, decimals there. A text that is none is no fault of the row.
const TypeText = "text"

// Record is an Avro record.
type Record struct {
	Type      string `json:"type"` // "record"
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Doc       string `json:"doc,omitempty"`
	Object    string `json:"coupa.object,omitempty"`
	Record    string `json:"coupa.record,omitempty"`
	// what a mapping hides in rows: "hash supplier.name", "mask:5e884898 supplier.number"
	Rules  []string `json:"coupa.rules,omitempty"`
	Fields []Field  `json:"fields"`
}

// Field is a field of a record. A nullable field has the default null.
type Field struct {
	Name      string    `json:"name"`
	Type      Type      `json:"type"`
	Default   *struct{} `json:"default"` // always null in the text; left out of it unless Type is nullable
	Doc       string    `json:"doc,omitempty"`
	CoupaName string    `json:"coupa.name,omitempty"`
	CoupaType string    `json:"coupa.type,omitempty"`
	Role      string    `json:"coupa.role,omitempty"`
	Custom    []string  `json:"coupa.custom,omitempty"`
	Branch    int       `json:"coupa.branch,omitempty"`
	Tags      []string  `json:"confluent:tags,omitempty"`
}

// TagPII is the tag of every field with personal data.
const TagPII = "PII"

// MarshalJSON writes the field; the default stands there only where the type is nullable, as Avro asks.
func (f Field) MarshalJSON() ([]byte, error) {
	type plain Field
	if f.Type.Nullable {
		return json.Marshal(plain(f))
	}
	return json.Marshal(struct {
		plain
		Default any `json:"default,omitempty"` // hides the one of plain
	}{plain: plain(f)})
}

// Type is the type of a field or of an array's items: exactly
// one of Name, Record, Items, Values and Branches is set.
type Type struct {
	Nullable  bool    // the union ["null", T]; always with Branches
	Name      string  // a primitive type, or the name of a record that stands earlier in the text
	Logical   string  // logicalType of the primitive type, "" for none
	Precision int     // of a decimal
	Scale     int     // of a decimal
	Record    *Record // a record in place
	Items     *Type   // an array
	Values    string  // a map of this primitive type
	Branches  []Type  // the union ["null", T1, T2…] of two primitive types or more
}

// logical is a primitive type that carries a meaning, as Avro spells it.
type logical struct {
	Type      string `json:"type"`
	Logical   string `json:"logicalType"`
	Precision int    `json:"precision,omitempty"`
	Scale     int    `json:"scale,omitempty"`
}

type array struct {
	Type  string `json:"type"`
	Items *Type  `json:"items"`
}

type mapping struct {
	Type   string `json:"type"`
	Values string `json:"values"`
}

// MarshalJSON writes the type as Avro spells it.
func (t Type) MarshalJSON() ([]byte, error) {
	var v any
	switch {
	case len(t.Branches) > 0:
		union := []any{"null"}
		for _, b := range t.Branches {
			union = append(union, b)
		}
		return json.Marshal(union)
	case t.Record != nil:
		v = t.Record
	case t.Items != nil:
		v = array{Type: "array", Items: t.Items}
	case t.Values != "":
		v = mapping{Type: "map", Values: t.Values}
	case t.Logical != "":
		v = logical{Type: t.Name, Logical: t.Logical, Precision: t.Precision, Scale: t.Scale}
	default:
		v = t.Name
	}
	if t.Nullable {
		v = []any{"null", v}
	}
	return json.Marshal(v)
}

// Parse reads the text of a schema: what MarshalJSON writes. Other forms of Avro are refused.
//
// The text is taken apart once, and the tree made from that: types that read
// their own part of it would have each part scanned again at every depth.
func Parse(text []byte) (*Record, error) {
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading schema text: %w", err)
	}
	r, err := recordOf(all)
	if err != nil {
		return nil, fmt.Errorf("reading schema text: %w", err)
	}
	return r, nil
}

func recordOf(m map[string]any) (*Record, error) {
	r := &Record{
		Type: textOf(m["type"]), Name: textOf(m["name"]), Namespace: textOf(m["namespace"]), Doc: textOf(m["doc"]),
		Object: textOf(m["coupa.object"]), Record: textOf(m["coupa.record"]),
	}
	r.Rules = textsOf(m["coupa.rules"])
	fields, ok := m["fields"].([]any)
	if r.Type != "record" || r.Name == "" || !ok {
		return nil, fmt.Errorf("a record has the type \"record\", a name and fields, not %.200v", m)
	}
	r.Fields = make([]Field, len(fields))
	for i, one := range fields {
		var err error
		if r.Fields[i], err = fieldOf(one); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return r, nil
}

func fieldOf(v any) (Field, error) {
	m, _ := v.(map[string]any)
	f := Field{
		Name: textOf(m["name"]), Doc: textOf(m["doc"]), CoupaName: textOf(m["coupa.name"]), CoupaType: textOf(m["coupa.type"]),
		Role: textOf(m["coupa.role"]), Branch: numberOf(m["coupa.branch"]),
	}
	if f.Name == "" {
		return f, fmt.Errorf("a field without a name: %.200v", v)
	}
	f.Custom, f.Tags = textsOf(m["coupa.custom"]), textsOf(m["confluent:tags"])
	var err error
	if f.Type, err = typeOf(m["type"]); err != nil {
		return f, fmt.Errorf("%s: %w", f.Name, err)
	}
	return f, nil
}

func typeOf(v any) (Type, error) {
	switch v := v.(type) {
	case string:
		return Type{Name: v}, nil
	case []any:
		return unionOf(v)
	case map[string]any:
		switch name := textOf(v["type"]); name {
		case "record":
			r, err := recordOf(v)
			return Type{Record: r}, err
		case "array":
			items, err := typeOf(v["items"])
			return Type{Items: &items}, err
		case "map":
			return Type{Values: textOf(v["values"])}, nil
		default:
			return Type{Name: name, Logical: textOf(v["logicalType"]), Precision: numberOf(v["precision"]), Scale: numberOf(v["scale"])}, nil
		}
	}
	return Type{}, fmt.Errorf("a type is a name, an object or a union, not %v", v)
}

func unionOf(members []any) (Type, error) {
	if len(members) < 2 || members[0] != "null" {
		return Type{}, fmt.Errorf(`a union other than ["null", T] or ["null", T1, T2…] has no place in these schemas`)
	}
	if len(members) == 2 {
		t, err := typeOf(members[1])
		t.Nullable = true
		return t, err
	}
	t := Type{Nullable: true, Branches: make([]Type, len(members)-1)}
	for i := range t.Branches {
		var err error
		if t.Branches[i], err = typeOf(members[i+1]); err != nil {
			return t, err
		}
	}
	return t, nil
}

// textOf is a property that is a text, "" where it is absent or something
// else: a registry's schema may have properties of others' by these names.
func textOf(v any) string {
	s, _ := v.(string)
	return s
}

func textsOf(v any) (all []string) {
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, textOf(one))
	}
	return all
}

func numberOf(v any) int {
	n, _ := v.(float64)
	return int(n)
}

// Walk calls visit for every record in the text, outermost first, each once and where it is defined.
func (r *Record) Walk(visit func(*Record)) {
	visit(r)
	for i := range r.Fields {
		t := &r.Fields[i].Type
		if t.Items != nil {
			t = t.Items
		}
		if t.Record != nil {
			t.Record.Walk(visit)
		}
	}
}

// Records gives every record of the text by the name that references use.
func (r *Record) Records() map[string]*Record {
	all := map[string]*Record{}
	r.Walk(func(n *Record) { all[n.Name] = n })
	return all
}

// Inner is the record that the type, or its items, are of; nil for plain types.
// Records that stand in the text by name are looked up in records.
func (t Type) Inner(records map[string]*Record) *Record {
	if t.Items != nil {
		t = *t.Items
	}
	if t.Record != nil {
		return t.Record
	}
	return records[t.Name]
}
