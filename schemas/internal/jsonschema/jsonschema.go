// Package jsonschema describes, as JSON Schema, the JSON that schemas.Plan.AppendJSON makes of rows.
package jsonschema

import (
	"encoding/json"
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Dialect is the one that the registry's own serializers write. It stands first
// in the text, by which package registry tells JSON Schema from Avro.
const Dialect = "http://json-schema.org/draft-07/schema#"

// schema is a JSON Schema, as far as these schemas need it. Members stand in this order.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Comment     string             `json:"$comment,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	OneOf       []*schema          `json:"oneOf,omitempty"`
	Type        any                `json:"type,omitempty"` // a name, or a list of names
	Format      string             `json:"format,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  *properties        `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  *bool              `json:"additionalProperties,omitempty"`
	Tags        []string           `json:"confluent:tags,omitempty"`
	Definitions map[string]*schema `json:"definitions,omitempty"`
}

// properties are the members of an object in the order of the record's fields.
type properties struct {
	names []string
	types []*schema
}

func (p *properties) add(name string, s *schema) {
	p.names, p.types = append(p.names, name), append(p.types, s)
}

// MarshalJSON keeps the order.
func (p *properties) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, name := range p.names {
		if i > 0 {
			out = append(out, ',')
		}
		text, err := json.Marshal(p.types[i])
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, '"'), name...), `":`...) // an Avro name needs no escapes
		out = append(out, text...)
	}
	return append(out, '}'), nil
}

// Of describes what Plan.AppendJSON makes of a row's values, or the envelope around them, on one line.
// Objects are closed (additionalProperties: false), but for unmapped and the map of custom fields: under
// the registry's rule BACKWARD a field may be added only to what was closed before.
func Of(r *schematext.Record) (string, error) {
	d := describer{definitions: map[string]*schema{}}
	top := d.object(r)
	if schematext.RowOf(r) != r { // an envelope, whose before is always there and null
		before := &top.Properties.types[0]
		*before = &schema{OneOf: []*schema{{Type: "null"}, *before}}
		// Kafka Connect's converter takes the title for the name by which Debezium knows an envelope
		top.Title = r.Namespace + "." + r.Name
	}
	top.Dialect, top.Definitions = Dialect, d.definitions
	if rules := schematext.RowOf(r).Rules; len(rules) > 0 {
		list, err := json.Marshal(rules)
		if err != nil {
			return "", err
		}
		top.Comment = rulesComment + string(list)
	}
	text, err := json.Marshal(top)
	return string(text), err
}

// Start is how each text of Of begins.
const Start = `{"$schema":"` + Dialect + `"`

// rulesComment stands before a mapping's rules, a JSON list, in the comment of the schema: validators
// that are strict refuse members that they do not know.
const rulesComment = "coupa.rules "

// Rules gives what a mapping hides in values of a schema that Of has made, as schematext.Record has it.
func Rules(text string) (rules []string) {
	var s struct {
		Comment string `json:"$comment"`
	}
	if json.Unmarshal([]byte(text), &s) != nil {
		return nil
	}
	list, ok := strings.CutPrefix(s.Comment, rulesComment)
	if !ok || json.Unmarshal([]byte(list), &rules) != nil {
		return nil
	}
	return rules
}

// describer collects the records below the top by their names.
type describer struct {
	definitions map[string]*schema
}

func (d describer) object(r *schematext.Record) *schema {
	closed := false
	s := &schema{Title: r.Name, Description: r.Doc, Type: "object", Properties: new(properties), Additional: &closed}
	for _, f := range r.Fields {
		of := d.field(f)
		if of.Ref == "" { // what stands beside a $ref is ignored in this dialect
			of.Description, of.Tags = f.Doc, f.Tags
		}
		s.Properties.add(f.Name, of)
		if !f.Type.Nullable {
			s.Required = append(s.Required, f.Name)
		}
	}
	return s
}

func (d describer) field(f schematext.Field) *schema {
	if f.Branch > 0 { // values are written as this one of the union's types
		return d.typed(f.Type.Branches[f.Branch-1])
	}
	return d.typed(f.Type)
}

// nullOr describes an item of a list, which may be null.
func (d describer) nullOr(t schematext.Type) *schema {
	s := d.typed(t)
	if !t.Nullable {
		return s
	}
	return &schema{OneOf: []*schema{{Type: "null"}, s}}
}

func (d describer) typed(t schematext.Type) *schema {
	switch {
	case len(t.Branches) > 0:
		return d.choice(t.Branches)
	case t.Record != nil:
		if d.definitions[t.Record.Name] == nil {
			d.definitions[t.Record.Name] = new(schema) // it may contain itself
			d.definitions[t.Record.Name] = d.object(t.Record)
		}
		return &schema{Ref: "#/definitions/" + t.Record.Name}
	case t.Items != nil:
		return &schema{Type: "array", Items: d.nullOr(*t.Items)}
	case t.Values != "":
		return &schema{Type: "object"}
	}
	switch t.Logical {
	case "decimal":
		return &schema{Type: "number"}
	case "timestamp-millis":
		return &schema{Type: "string", Format: "date-time"}
	case "date":
		return &schema{Type: "string", Format: "date"}
	}
	if name, ok := map[string]string{"string": "string", "boolean": "boolean", "int": "integer", "long": "integer", "double": "number"}[t.Name]; ok {
		return &schema{Type: name}
	}
	return &schema{Ref: "#/definitions/" + t.Name[strings.LastIndexByte(t.Name, '.')+1:]}
}

// choice describes a union of plain types by their names in JSON, each once.
func (d describer) choice(branches []schematext.Type) *schema {
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
		return &schema{Type: names[0]}
	}
	return &schema{Type: names}
}
