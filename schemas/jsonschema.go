package schemas

import (
	"encoding/json"
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// jsonSchemaDialect is the one that the registry's own serializers write. It
// stands first in the text, by which package registry tells JSON Schema from Avro.
const jsonSchemaDialect = "http://json-schema.org/draft-07/schema#"

// jsonSchema is a JSON Schema, as far as these schemas need it. Members stand in this order.
type jsonSchema struct {
	Dialect     string                 `json:"$schema,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Ref         string                 `json:"$ref,omitempty"`
	OneOf       []*jsonSchema          `json:"oneOf,omitempty"`
	Type        any                    `json:"type,omitempty"` // a name, or a list of names
	Format      string                 `json:"format,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	Properties  *jsonProperties        `json:"properties,omitempty"`
	Required    []string               `json:"required,omitempty"`
	Additional  *bool                  `json:"additionalProperties,omitempty"`
	Definitions map[string]*jsonSchema `json:"definitions,omitempty"`
}

// jsonProperties are the members of an object in the order of the record's fields.
type jsonProperties struct {
	names []string
	types []*jsonSchema
}

func (p *jsonProperties) add(name string, s *jsonSchema) {
	p.names, p.types = append(p.names, name), append(p.types, s)
}

// MarshalJSON keeps the order.
func (p *jsonProperties) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, name := range p.names {
		if i > 0 {
			out = append(out, ',')
		}
		text, err := json.Marshal(p.types[i])
		if err != nil {
			return nil, err
		}
		out = append(append(appendQuoted(out, []byte(name)), ':'), text...)
	}
	return append(out, '}'), nil
}

// jsonSchemaOf describes what Plan.AppendJSON makes of a row's values, or the envelope around
// them. Objects are closed (additionalProperties: false), but for unmapped and the map of custom
// fields: under the registry's rule BACKWARD a field may be added only to what was closed before.
func jsonSchemaOf(r *schematext.Record) (string, error) {
	d := describer{definitions: map[string]*jsonSchema{}}
	top := d.object(r)
	if rowOf(r) != r { // an envelope, whose before is always there and null
		before := &top.Properties.types[0]
		*before = &jsonSchema{OneOf: []*jsonSchema{{Type: "null"}, *before}}
		// Kafka Connect's converter takes the title for the name by which Debezium knows an envelope
		top.Title = r.Namespace + "." + r.Name
	}
	top.Dialect, top.Definitions = jsonSchemaDialect, d.definitions
	text, err := json.Marshal(top)
	return string(text), err
}

// keyJSONSchema is the JSON Schema of keys as AppendJSONKey writes them.
const keyJSONSchema = `{"$schema":"` + jsonSchemaDialect + `","title":"Key","type":"object",` +
	`"properties":{"tenant":{"type":"string"},"id":{"type":"integer"}},"required":["tenant","id"],"additionalProperties":false}`

// KeyJSONSchema gives the JSON Schema of every record's key where values are JSON too.
func KeyJSONSchema() string { return keyJSONSchema }

// describer collects the records below the top by their names.
type describer struct {
	definitions map[string]*jsonSchema
}

func (d describer) object(r *schematext.Record) *jsonSchema {
	closed := false
	s := &jsonSchema{Title: r.Name, Description: r.Doc, Type: "object", Properties: new(jsonProperties), Additional: &closed}
	for _, f := range r.Fields {
		of := d.field(f)
		if of.Ref == "" { // what stands beside a $ref is ignored in this dialect
			of.Description = f.Doc
		}
		s.Properties.add(f.Name, of)
		if !f.Type.Nullable {
			s.Required = append(s.Required, f.Name)
		}
	}
	return s
}

func (d describer) field(f schematext.Field) *jsonSchema {
	if f.Branch > 0 { // values are written as this one of the union's types
		return d.typed(f.Type.Branches[f.Branch-1])
	}
	return d.typed(f.Type)
}

// nullOr describes an item of a list, which may be null.
func (d describer) nullOr(t schematext.Type) *jsonSchema {
	s := d.typed(t)
	if !t.Nullable {
		return s
	}
	return &jsonSchema{OneOf: []*jsonSchema{{Type: "null"}, s}}
}

func (d describer) typed(t schematext.Type) *jsonSchema {
	switch {
	case len(t.Branches) > 0:
		return d.choice(t.Branches)
	case t.Record != nil:
		if d.definitions[t.Record.Name] == nil {
			d.definitions[t.Record.Name] = new(jsonSchema) // it may contain itself
			d.definitions[t.Record.Name] = d.object(t.Record)
		}
		return &jsonSchema{Ref: "#/definitions/" + t.Record.Name}
	case t.Items != nil:
		return &jsonSchema{Type: "array", Items: d.nullOr(*t.Items)}
	case t.Values != "":
		return &jsonSchema{Type: "object"}
	}
	switch t.Logical {
	case "decimal":
		return &jsonSchema{Type: "number"}
	case "timestamp-millis":
		return &jsonSchema{Type: "string", Format: "date-time"}
	case "date":
		return &jsonSchema{Type: "string", Format: "date"}
	}
	if name, ok := map[string]string{"string": "string", "boolean": "boolean", "int": "integer", "long": "integer", "double": "number"}[t.Name]; ok {
		return &jsonSchema{Type: name}
	}
	return &jsonSchema{Ref: "#/definitions/" + t.Name[strings.LastIndexByte(t.Name, '.')+1:]}
}

// choice describes a union of plain types by their names in JSON, each once.
func (d describer) choice(branches []schematext.Type) *jsonSchema {
	var names []string
	seen := map[string]bool{}
	for _, b := range branches {
		name := d.typed(b).Type.(string)
		if !seen[name] {
			names = append(names, name)
		}
		seen[name] = true
	}
	if len(names) == 1 {
		return &jsonSchema{Type: names[0]}
	}
	return &jsonSchema{Type: names}
}
