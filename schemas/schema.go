package schemas

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/internal/jsonschema"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// DecimalMode says how a schema carries Coupa's decimals, in
// the terms of Kafka Connect's decimal.handling.mode.
type DecimalMode string

// The ways to carry a decimal.
const (
	DecimalPrecise DecimalMode = "precise" // Avro's decimal, exact; the default
	DecimalString  DecimalMode = "string"  // the text as Coupa sends it
	DecimalDouble  DecimalMode = "double"  // the nearest binary floating-point number: not exact
)

// UnmappedMode says how a record carries what it has no field for, or can't hold exactly.
type UnmappedMode string

// The ways to carry it.
const (
	UnmappedMap  UnmappedMode = "map"  // a map of JSON text, by Coupa's key; the default
	UnmappedJSON UnmappedMode = "json" // the JSON object of the same members, as one text
	UnmappedOff  UnmappedMode = "off"  // not at all: Encoder.LeftOut tells of it
)

// Options shape a schema. The zero value is the default.
type Options struct {
	// Namespace is that of every record, Avro names with dots between; "" is DefaultNamespace. The
	// envelope's has the object's path behind it. The key's, coupa.Key, is always the default.
	Namespace string
	Decimals  DecimalMode  // "" is DecimalPrecise
	Unmapped  UnmappedMode // "" is UnmappedMap
	// TenantField is the name of a nullable string, the first field of rows and behind ParentField of
	// lines, that has what Encoder.Tenant says; "": there is none.
	TenantField string
	// WithoutCustomFields leaves custom_fields out of every record, and out of what is asked of Coupa.
	WithoutCustomFields bool
	// Custom makes custom_fields a record of typed fields in place of a map of JSON text; nil keeps
	// the map. It must be of the same object. It counts for nothing with WithoutCustomFields.
	Custom *custom.Fields
	// Envelope puts Debezium's envelope around the row, see Envelope.
	Envelope bool
	// Mapping changes what the schema holds; nil changes nothing. It must be of the same object.
	Mapping Mapping
}

// DefaultNamespace is that of all records that have no other.
const DefaultNamespace = "coupa"

// Mapping changes the schema of an object by the user's rules:
// package mapping makes it, and rewrites the rows accordingly.
type Mapping interface {
	// Hash is equal for mappings that make equal schemas.
	Hash() string
	// Apply changes the schema, and gives what is to be
	// asked of Coupa for it. Several goroutines may call it.
	Apply(row *schematext.Record) (asked *schematext.Record, err error)
}

// Schema is the Avro schema of one object's rows. It never changes and may be shared.
type Schema struct {
	name       string
	text       string
	pretty     string
	fields     string
	row        *schematext.Record
	asked      *schematext.Record // what fields asks for: row, unless a mapping changed that
	path       string             // of the object
	enveloped  bool
	plan       func() (*Plan, error)
	jsonSchema func() (string, error)
	shape      func() (*custom.Shape, error)
	splits     [2]func() (*Split, error) // lines cut out of the rows, and kept in them
}

// made keeps schemas with their plans: a thousand tenants share one per
// object and shape. Of those with typed custom fields, a mapping or a namespace, of which
// there is one per tenant and version, or a field for the tenant, it keeps just what somebody holds.
var made sync.Map // shape → *Schema, or weak.Pointer[Schema] where the shape has any of these

type shape struct {
	path     string
	space    string // the namespace; "" for the default
	decimals DecimalMode
	unmapped UnmappedMode // "" for the map
	tenant   string       // the name of the field
	without  bool
	envelope bool
	custom   string // the hash; "" for the map
	mapping  string // the hash; "" for none
}

func shapeOf(path string, o Options) shape {
	s := shape{path: path, decimals: o.Decimals, tenant: o.TenantField, without: o.WithoutCustomFields, envelope: o.Envelope}
	if o.Unmapped != UnmappedMap {
		s.unmapped = o.Unmapped
	}
	if o.Namespace != DefaultNamespace {
		s.space = o.Namespace
	}
	if o.Custom != nil && !o.WithoutCustomFields {
		s.custom = o.Custom.Hash()
	}
	if o.Mapping != nil {
		s.mapping = o.Mapping.Hash()
	}
	return s
}

// For gives the schema of the object whose collection has the path, "invoices". The error
// of an unknown path names the nearest known one. The result is shared between callers.
func For(path string, o Options) (*Schema, error) {
	key := shapeOf(path, o)
	if s := key.made(); s != nil {
		return s, nil
	}
	s, err := build(path, o)
	if err != nil {
		return nil, err
	}
	return key.keep(s), nil
}

// made is the schema of the shape if there is one, else nil.
func (key shape) made() *Schema {
	kept, _ := made.Load(key)
	switch kept := kept.(type) {
	case *Schema:
		return kept
	case weak.Pointer[Schema]:
		return kept.Value()
	}
	return nil
}

// keep gives the schema that callers share from now on: s, or one that was made meanwhile.
func (key shape) keep(s *Schema) *Schema {
	if key.custom == "" && key.mapping == "" && key.space == "" && key.tenant == "" {
		first, _ := made.LoadOrStore(key, s)
		return first.(*Schema)
	}
	own := weak.Make(s)
	for {
		kept, there := made.LoadOrStore(key, own)
		if !there {
			runtime.AddCleanup(s, func(key shape) { made.CompareAndDelete(key, own) }, key)
			return s
		}
		if first := kept.(weak.Pointer[Schema]).Value(); first != nil {
			return first
		}
		made.CompareAndDelete(key, kept)
	}
}

func build(path string, o Options) (*Schema, error) {
	row, err := readObject(path)
	if err != nil {
		return nil, err
	}
	row.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	if err := carryDecimals(row, o.Decimals); err != nil {
		return nil, err
	}
	if o.WithoutCustomFields {
		row.Walk(func(r *schematext.Record) {
			r.Fields = slices.DeleteFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleCustomFields })
		})
	} else if o.Custom != nil {
		if err := o.Custom.Apply(row, o.Decimals.carrier()); err != nil {
			return nil, fmt.Errorf("typing the custom fields of %s: %w", path, err)
		}
	}
	if err := carryUnmapped(row, o.Unmapped); err != nil {
		return nil, err
	}
	asked := row
	if o.Mapping != nil {
		if asked, err = o.Mapping.Apply(row); err != nil {
			return nil, fmt.Errorf("mapping %s: %w", path, err)
		}
	}
	if o.TenantField != "" {
		if err := putTenant(row, 0, o.TenantField); err != nil {
			return nil, fmt.Errorf("making the schema of %s: %w", path, err)
		}
	}
	s, err := newSchema(row, asked, path, o.Envelope)
	if err != nil {
		return nil, fmt.Errorf("making the schema of %s: %w", path, err)
	}
	return s, nil
}

// newSchema makes the schema of a record; asked is what Coupa is asked for, most often the same.
func newSchema(row, asked *schematext.Record, path string, envelope bool) (*Schema, error) {
	plain, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	whole, text := row, plain
	if envelope {
		whole = schematext.Enveloped(row, path)
		if text, err = json.Marshal(whole); err != nil {
			return nil, err
		}
	}
	pretty, err := schematext.Pretty(whole)
	if err != nil {
		return nil, err
	}
	s := &Schema{
		name: whole.Namespace + "." + whole.Name, text: string(text), pretty: string(pretty), fields: requestFields(asked), row: row, asked: asked, path: path, enveloped: envelope,
	}
	s.plan = sync.OnceValues(func() (*Plan, error) { return Compile(string(plain)) })
	s.shape = sync.OnceValues(s.shapeOfRows)
	s.splits[0] = sync.OnceValues(func() (*Split, error) { return s.split(false) })
	s.splits[1] = sync.OnceValues(func() (*Split, error) { return s.split(true) })
	s.jsonSchema = sync.OnceValues(func() (string, error) { return jsonschema.Of(whole) })
	return s, nil
}

// Name is the full Avro name, "coupa.InvoiceHeader", or of the envelope, "coupa.invoices.Envelope".
func (s *Schema) Name() string { return s.name }

// JSON is the schema on one line, as it is registered.
func (s *Schema) JSON() string { return s.text }

// Pretty is the schema for people, a line a field, ending with a newline.
func (s *Schema) Pretty() string { return s.pretty }

// Fields is the value of Coupa's request parameter `fields` that asks for just what
// the schema holds: a JSON array of names with underscores, an association as an
// object of one key, {"custom_fields":{}} for all custom fields (Coupa's API Return
// Formats page). It is not URL-encoded. Coupa answers with hyphens all the same.
func (s *Schema) Fields() string { return s.fields }

// FieldsWith is Fields that asks for more members by name, by the record that
// has them: custom fields of the global namespace that are known by name alone
// (see custom.Discovery.Globals). Those that Fields asks for already change nothing.
func (s *Schema) FieldsWith(more map[string][]string) string {
	if len(more) == 0 {
		return s.fields
	}
	return requestWith(s.asked, more)
}

// JSONSchema is the JSON Schema of what Plan.AppendJSON gives,
// and the envelope around it, on one line, as it is registered.
func (s *Schema) JSONSchema() (string, error) { return s.jsonSchema() }

// Plan is the row's schema compiled for encoding, by the first call.
func (s *Schema) Plan() (*Plan, error) { return s.plan() }

// carrier is the Avro type that carries decimals, "" where it is Avro's own decimal.
func (m DecimalMode) carrier() string {
	if m == DecimalPrecise {
		return ""
	}
	return string(m)
}

// carryDecimals changes every decimal of the schema to what the mode says.
func carryDecimals(row *schematext.Record, mode DecimalMode) error {
	switch mode {
	case "", DecimalPrecise:
		return nil
	case DecimalString, DecimalDouble:
	default:
		return fmt.Errorf("decimal.handling.mode %q is unknown; use %q, %q or %q", mode, DecimalPrecise, DecimalString, DecimalDouble)
	}
	row.Walk(func(r *schematext.Record) {
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Type.Logical == "decimal" {
				f.Type = schematext.Type{Nullable: f.Type.Nullable, Name: string(mode)}
				if f.CoupaType == "" {
					f.CoupaType = schematext.TypeDecimal
				}
			}
		}
	})
	return nil
}

// carryUnmapped changes the field for what has no place, of every record of the schema, to what the mode
// says.
func carryUnmapped(row *schematext.Record, mode UnmappedMode) error {
	switch mode {
	case "", UnmappedMap:
		return nil
	case UnmappedJSON:
		row.Walk(func(r *schematext.Record) {
			for i := range r.Fields {
				if f := &r.Fields[i]; f.Role == schematext.RoleUnmapped {
					f.Type = schematext.Type{Nullable: true, Name: "string"}
					f.Doc = "A JSON object, by Coupa's key, of what this record has no field for or cannot hold exactly."
				}
			}
		})
	case UnmappedOff:
		row.Walk(func(r *schematext.Record) {
			r.Fields = slices.DeleteFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleUnmapped })
		})
	default:
		return fmt.Errorf("unmapped %q is unknown; use %q, %q or %q", mode, UnmappedMap, UnmappedJSON, UnmappedOff)
	}
	return nil
}

// putTenant gives a record the field for the tenant, in a place. Custom fields of the global namespace, which
// rows alone tell of, get other names where it takes theirs; of any other field the name is an error.
func putTenant(r *schematext.Record, at int, name string) error {
	names := []string{name}
	for _, f := range r.Fields {
		if f.Name == name && len(f.Custom) == 0 {
			return fmt.Errorf("the record %s has a field %s already; give the tenant's another name", r.Name, name)
		}
		names = append(names, f.Name)
	}
	names = avroname.Fields(names)[1:]
	r.Fields = slices.Clone(r.Fields)
	for i := range r.Fields {
		if f := &r.Fields[i]; len(f.Custom) > 0 {
			f.Name = names[i]
		}
	}
	r.Fields = slices.Insert(r.Fields, at, schematext.Field{
		Name: name, Type: schematext.Type{Nullable: true, Name: "string"}, Role: schematext.RoleTenant, Doc: "The tenant, as in the key.",
	})
	return nil
}
