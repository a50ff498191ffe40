package schemas

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Properties of a schema's fields that steer the encoder.
const (
	propName = "coupa.name" // the key in Coupa's JSON; without it the field's name with - for _
	propRole = "coupa.role" // of a map of string, or of a string: roleUnmapped; of a map: roleCustomFields
	// typeText: Coupa describes the field as text; typeRetyped: a mapping gave the field its type
	propType = "coupa.type"
	// propRecord is there on a record that a mapping gave a name of its own: the name that it had.
	propRecord = "coupa.record"
	// propBranch is there on a union of several types besides
	// null: the number of the one that values are written as.
	propBranch = "coupa.branch"
	// propCustom is there on a typed custom field: its value is
	// stored exactly, or like any other that has no place, and never an error.
	propCustom = "coupa.custom"

	roleUnmapped     = "unmapped"      // what the row has and the record has no place for
	roleCustomFields = "custom-fields" // an object's custom fields

	typeText    = schematext.TypeText
	typeRetyped = schematext.TypeRetyped
)

// planKind says how a JSON value becomes an Avro one.
type planKind uint8

const (
	kindString planKind = iota
	kindBoolean
	kindInt
	kindLong
	kindDouble
	kindDecimal
	kindTimestamp
	kindDate
	kindRecord
	kindArray
	kindMap      // custom fields
	kindChoice   // a custom field of plain types
	kindUnmapped // filled from what no other field takes, as a map
	// the same as one JSON text; behind the others, whose numbers are in digests
	kindUnmappedText
	kindTenant // filled with Encoder.Tenant
)

// Plan is an Avro schema made ready to encode Coupa's rows. It never changes once
// compiled, so any number of goroutines may share it; each takes its own Encoder.
type Plan struct {
	root *planRecord
}

// planRecord is one record type. A record that occurs in
// several places, or within itself, is one planRecord.
type planRecord struct {
	name     string
	fields   []planField
	keys     keyTable
	required []int // fields that may not be null
	unmapped int   // index of the field of role unmapped; -1: there is none
	tenant   int   // likewise, of role tenant
	// holder is the record of an object with custom fields: of this
	// one, or of the one whose typed custom fields this one is.
	holder string
	owner  bool // it is the holder itself
	typed  bool // the holder's custom fields are typed
}

type planField struct {
	key    string // as Coupa spells it
	label  string // the name, quoted, and a colon: what stands before the value in JSON
	hash   uint64 // of the name
	custom bool
	planNode
}

// planNode is a type in a place: of a field or of an array's items.
type planNode struct {
	kind      planKind
	nullable  bool // a union that begins with "null"
	branch    byte // T's number in it, as Avro writes it
	text      bool // a text that is no T is kept in unmapped; elsewhere it is an error
	strict    bool // what has no room is an error; elsewhere it is kept in unmapped
	record    *planRecord
	items     *planNode
	branches  []planNode // of a choice: the union's types behind "null"
	precision int
	scale     int
}

// noKey is the key of a field that no key of a row leads to: keys are always valid UTF-8.
const noKey = "\xff"

// Compile makes a plan from the text of an Avro schema: a record whose fields
// name their key in Coupa's JSON with the property "coupa.name" (without it:
// the field's name with - for _). A field's type is T or ["null", T], T one of
//
//   - string, boolean, int, long, double
//   - bytes with logicalType decimal, long with timestamp-millis, int with date
//   - a record, in place or by name; an array of any of these
//   - a map of string, with the property "coupa.role": "custom-fields" or "unmapped"
//   - a string with the property "coupa.role": "unmapped" or "tenant"
//
// With the property "coupa.branch": N the type is ["null", T1, T2…], and values are
// written as TN (see Schema.Widen). With the property "coupa.custom" a field is a typed
// custom field (see custom.Fields): ["null", T1, T2…] of string, boolean, long, double,
// decimal and timestamp-millis; ["null", record]; or ["null", array] with items of these.
//
// A record without a field of role unmapped leaves out what it has no place for (see Encoder.LeftOut).
// A key that matches no field is tried as the underscored twin of
// one (postal_code for postal-code), since some of Coupa's older endpoints answer so;
// where two fields share a twin it leads to neither. The error names the record and field.
func Compile(avsc string) (*Plan, error) {
	// An own cache: schemas share names, such as
	// coupa.SupplierRef, and hamba's default cache would mix them.
	parsed, err := avro.ParseWithCache(avsc, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("compiling schema: %w", err)
	}
	root, ok := parsed.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("compiling schema: the top is of type %s, not a record", parsed.Type())
	}
	c := compiler{records: map[string]*planRecord{}}
	rec, err := c.record(root)
	if err != nil {
		return nil, fmt.Errorf("compiling schema %s: %w", root.FullName(), err)
	}
	return &Plan{root: rec}, nil
}

// compiler holds what the records of one schema share.
type compiler struct {
	records map[string]*planRecord // by full name; entered before its fields, so a record may contain itself
}

func (c *compiler) record(s *avro.RecordSchema) (*planRecord, error) {
	if r := c.records[s.FullName()]; r != nil {
		return r, nil
	}
	r := &planRecord{name: s.FullName(), unmapped: -1, tenant: -1}
	c.records[s.FullName()] = r
	r.fields = make([]planField, len(s.Fields()))
	for i, f := range s.Fields() {
		if err := c.field(s, r, i, f); err != nil {
			return nil, fmt.Errorf("record %s, field %s: %w", r.name, f.Name(), err)
		}
	}
	r.addTwins()
	return r, nil
}

func (c *compiler) field(s *avro.RecordSchema, r *planRecord, i int, f *avro.Field) error {
	role, _ := f.Prop(propRole).(string)
	custom := f.Prop(propCustom) != nil
	plan := c.node
	if custom {
		plan = c.custom
	} else if branch, ok := number(f.Prop(propBranch)); ok {
		plan = func(s avro.Schema, role string) (planNode, error) { return c.chosen(s, role, branch) }
	}
	n, err := plan(f.Type(), role)
	if err != nil {
		return err
	}
	key, ok := f.Prop(propName).(string)
	switch {
	case role == schematext.RoleComputed || role == schematext.RoleParent && !ok:
		key = schematext.ComputedKey(f.Name())
	case !ok:
		key = strings.ReplaceAll(f.Name(), "_", "-")
	}
	n.text, n.strict = f.Prop(propType) == typeText, f.Prop(propType) == typeRetyped
	if n.kind == kindUnmapped || n.kind == kindUnmappedText {
		if r.unmapped >= 0 || !n.nullable {
			return fmt.Errorf("a record has one field of role %q, of type [\"null\", map of string] or [\"null\", \"string\"]", roleUnmapped)
		}
		key, r.unmapped = noKey, i
	} else if n.kind == kindTenant {
		key, r.tenant = noKey, i
	} else {
		if m, taken := r.keys.find([]byte(key)); taken {
			return fmt.Errorf("its key %q is also that of field number %d; give one of them another %s", key, m.field, propName)
		}
		r.keys.add(key, keyMatch{field: i})
	}
	if !n.nullable {
		r.required = append(r.required, i)
	}
	r.fields[i] = planField{key: key, label: string(appendQuoted(nil, []byte(f.Name()))) + ":", hash: xxhash.Sum64String(f.Name()), custom: custom, planNode: n}
	if role == roleCustomFields {
		r.holder, r.owner = r.name, true
		if was, ok := s.Prop(propRecord).(string); ok {
			r.holder = was
		}
		if n.kind == kindRecord {
			n.record.holder = r.holder
			r.typed, n.record.typed = true, true
		}
	}
	return nil
}

// addTwins lets the underscored spelling of a key lead to its field, unless that is another field's
// key or twin. The names of custom fields are the customer's own, who may have one of each spelling.
func (r *planRecord) addTwins() {
	owners := map[string][]int{}
	for i, f := range r.fields {
		if strings.Contains(f.key, "-") && !f.custom {
			twin := strings.ReplaceAll(f.key, "-", "_")
			owners[twin] = append(owners[twin], i)
		}
	}
	for twin, fields := range owners {
		if _, taken := r.keys.find([]byte(twin)); !taken && len(fields) == 1 {
			r.keys.add(twin, keyMatch{field: fields[0], twin: true})
		}
	}
}

// node plans a type. role is the field's, "" for an array's items.
func (c *compiler) node(s avro.Schema, role string) (planNode, error) {
	switch s := s.(type) {
	case *avro.UnionSchema:
		types := s.Types()
		if len(types) != 2 || types[0].Type() != avro.Null {
			return planNode{}, errors.New(`a union other than ["null", T] cannot be encoded`)
		}
		return c.chosen(s, role, 1)
	case *avro.RefSchema:
		return c.node(s.Schema(), role)
	case *avro.RecordSchema:
		r, err := c.record(s)
		return planNode{kind: kindRecord, record: r}, err
	case *avro.ArraySchema:
		items, err := c.node(s.Items(), "")
		return planNode{kind: kindArray, items: &items}, err
	case *avro.MapSchema:
		return mapNode(s, role)
	case *avro.PrimitiveSchema:
		n, err := primitiveNode(s)
		if role == roleUnmapped && n.kind == kindString {
			n.kind = kindUnmappedText
		}
		if role == schematext.RoleTenant && n.kind == kindString {
			n.kind = kindTenant
		}
		return n, err
	}
	return planNode{}, fmt.Errorf("type %s cannot be encoded", s.Type())
}

// number reads a property that is a whole number.
func number(prop any) (int, bool) {
	f, ok := prop.(float64)
	return int(f), ok
}

// chosen plans a union with null by one of its types.
func (c *compiler) chosen(s avro.Schema, role string, branch int) (planNode, error) {
	union, ok := s.(*avro.UnionSchema)
	if !ok || branch < 1 || branch >= len(union.Types()) || branch >= 64 || union.Types()[0].Type() != avro.Null {
		return planNode{}, fmt.Errorf(`%s = %d does not name one of the types of a union that begins with "null"`, propBranch, branch)
	}
	n, err := c.node(union.Types()[branch], role)
	n.nullable, n.branch = true, byte(2*branch)
	return n, err
}

// custom plans the type of a typed custom field, or of the items of one.
func (c *compiler) custom(s avro.Schema, _ string) (planNode, error) {
	union, ok := s.(*avro.UnionSchema)
	if !ok || union.Types()[0].Type() != avro.Null {
		return planNode{}, errors.New("a custom field, and the items of one, must be a union whose first type is null")
	}
	types := union.Types()[1:]
	if len(types) == 1 {
		switch t := types[0].(type) {
		case *avro.RecordSchema, *avro.RefSchema:
			return c.node(s, "")
		case *avro.ArraySchema:
			items, err := c.custom(t.Items(), "")
			return planNode{kind: kindArray, nullable: true, branch: 2, items: &items}, err
		}
	}
	n := planNode{kind: kindChoice, nullable: true, branch: 2, branches: make([]planNode, len(types))}
	for i, t := range types {
		p, ok := t.(*avro.PrimitiveSchema)
		if !ok {
			return planNode{}, fmt.Errorf("type %s cannot be one of a custom field's union", t.Type())
		}
		var err error
		if n.branches[i], err = primitiveNode(p); err != nil {
			return planNode{}, err
		}
	}
	return n, nil
}

func mapNode(s *avro.MapSchema, role string) (planNode, error) {
	kinds := map[string]planKind{roleUnmapped: kindUnmapped, roleCustomFields: kindMap}
	kind, ok := kinds[role]
	if !ok || s.Values().Type() != avro.String {
		return planNode{}, fmt.Errorf("a map must be of string and its field have the property %q: %q or %q", propRole, roleUnmapped, roleCustomFields)
	}
	return planNode{kind: kind}, nil
}

func primitiveNode(s *avro.PrimitiveSchema) (planNode, error) {
	logical := avro.LogicalType("")
	if s.Logical() != nil {
		logical = s.Logical().Type()
	}
	plain := map[avro.Type]planKind{
		avro.String: kindString, avro.Boolean: kindBoolean, avro.Int: kindInt, avro.Long: kindLong, avro.Double: kindDouble,
	}
	switch {
	case s.Type() == avro.Bytes && logical == avro.Decimal:
		d, ok := s.Logical().(*avro.DecimalLogicalSchema)
		if !ok || d.Precision() < 1 || d.Scale() < 0 || d.Scale() > d.Precision() {
			return planNode{}, errors.New("a decimal needs a precision of at least 1 and a scale between 0 and the precision")
		}
		return planNode{kind: kindDecimal, precision: d.Precision(), scale: d.Scale()}, nil
	case s.Type() == avro.Long && logical == avro.TimestampMillis:
		return planNode{kind: kindTimestamp}, nil
	case s.Type() == avro.Int && logical == avro.Date:
		return planNode{kind: kindDate}, nil
	case logical != "" && s.Type() != avro.String:
		return planNode{}, fmt.Errorf("type %s with logicalType %s cannot be encoded", s.Type(), logical)
	}
	kind, ok := plain[s.Type()]
	if !ok {
		return planNode{}, fmt.Errorf("type %s cannot be encoded; use string, boolean, int, long, double, or bytes with logicalType decimal", s.Type())
	}
	return planNode{kind: kind}, nil
}
