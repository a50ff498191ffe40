package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// jsonSchema is as much of JSON Schema's draft 7, which editors know best, as files need.
type jsonSchema struct {
	Schema      string                `json:"$schema,omitempty"`
	Title       string                `json:"title,omitempty"`
	Description string                `json:"description,omitempty"`
	Type        any                   `json:"type,omitempty"` // a name, or several
	Default     string                `json:"default,omitempty"`
	Enum        []any                 `json:"enum,omitempty"`
	Pattern     string                `json:"pattern,omitempty"`
	Items       *jsonSchema           `json:"items,omitempty"`
	AnyOf       []jsonSchema          `json:"anyOf,omitempty"`
	Properties  map[string]jsonSchema `json:"properties,omitempty"`
	Patterns    map[string]jsonSchema `json:"patternProperties,omitempty"`
	Required    []string              `json:"required,omitempty"`
	Additional  *bool                 `json:"additionalProperties,omitempty"`
}

// WorkerSchema is a JSON Schema of worker files, for editors. It tells most mistakes, and refuses
// no flat file that LoadWorker takes, as long as closed sets of values are written as they are listed.
func WorkerSchema() ([]byte, error) { return schemaOf("worker", WorkerKeys(), nil).print() }

// ConnectorSchema is a JSON Schema of connector files, likewise.
func ConnectorSchema() ([]byte, error) {
	return schemaOf("connector", ConnectorKeys(), keysOf(objectSettings())).print()
}

func schemaOf(kind string, keys, perObject []Key) jsonSchema {
	closed := false
	s := jsonSchema{
		Schema: "http://json-schema.org/draft-07/schema#", Title: "coupastream: a " + kind + " file",
		Type: "object", Properties: map[string]jsonSchema{}, Additional: &closed,
	}
	for _, k := range keys {
		s.Properties[k.Name] = schemaOfKey(k)
		if k.Required {
			s.Required = append(s.Required, k.Name)
		}
	}
	if len(perObject) > 0 {
		s.Patterns = map[string]jsonSchema{}
		paths := "^object\\.(" + strings.Join(quoted(catalogue()), "|") + ")\\."
		for _, k := range perObject {
			s.Patterns[paths+regexp.QuoteMeta(k.Name)+"$"] = schemaOfKey(k)
		}
	}
	return s
}

func quoted(names []string) (all []string) {
	for _, n := range names {
		all = append(all, regexp.QuoteMeta(n))
	}
	return all
}

// schemaOfKey takes the values that the key takes, written as text, number or truth, and references.
func schemaOfKey(k Key) jsonSchema {
	s := jsonSchema{Description: k.Doc, Default: k.Default}
	reference := jsonSchema{Type: "string", Pattern: `\$\{`}
	switch {
	case len(k.Values) > 0 && k.Type != List:
		var values []any
		for _, v := range k.Values {
			values = append(values, v)
			if v == "true" || v == "false" {
				values = append(values, v == "true")
			}
		}
		s.AnyOf = []jsonSchema{{Enum: values}, {Type: "string", Pattern: "^(" + strings.Join(anyCase(k.Values), "|") + ")$"}, reference}
	case k.Type == Int || k.Type == Long || k.Type == Double:
		s.AnyOf = []jsonSchema{{Type: "number"}, {Type: "string", Pattern: `^\s*[-+0-9.eE]+\s*$`}, reference}
	case k.Type == List:
		s.AnyOf = []jsonSchema{{Type: "string"}, {Type: "array", Items: &jsonSchema{Type: []string{"string", "number", "boolean"}}}}
	default:
		s.Type = []string{"string", "number", "boolean"}
	}
	return s
}

// anyCase are patterns of names in any letter case: JSON Schema's have no flag for it.
func anyCase(names []string) (patterns []string) {
	for _, n := range names {
		var b strings.Builder
		for _, r := range n {
			upper, lower := unicode.ToUpper(r), unicode.ToLower(r)
			if upper == lower {
				b.WriteString(regexp.QuoteMeta(string(r)))
				continue
			}
			b.WriteString("[" + string(upper) + string(lower) + "]")
		}
		patterns = append(patterns, b.String())
	}
	return patterns
}

func (s jsonSchema) print() ([]byte, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the JSON Schema: %w", err)
	}
	return append(text, '\n'), nil
}
