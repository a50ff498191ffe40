package mapping_test

import (
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// compile makes a mapping of layers, each the YAML of an object's rules indented by nothing.
func compile(t *testing.T, object string, layers ...string) *mapping.Mapping {
	t.Helper()
	var all []*mapping.Layer
	for _, text := range layers {
		l, err := mapping.Parse("m.yaml", []byte(under(object, text)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	m, err := mapping.Compile(object, all...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func under(object, rules string) string {
	return "objects:\n  " + object + ":\n    " + strings.ReplaceAll(strings.TrimSpace(rules), "\n", "\n    ")
}

// schema is the schema of an object under a mapping.
func schema(t *testing.T, object string, m *mapping.Mapping, o schemas.Options) *schemas.Schema {
	t.Helper()
	if m != nil {
		o.Mapping = m
	}
	s, err := schemas.For(object, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// record encodes a row under a mapping and reads it back as Avro.
func record(t *testing.T, object string, m *mapping.Mapping, o schemas.Options, row string) (map[string]any, error) {
	t.Helper()
	s := schema(t, object, m, o)
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	changed, err := m.Rewriter("key").Row([]byte(row))
	if err != nil {
		return nil, err
	}
	value, err := plan.Encoder().Append(nil, changed)
	if err != nil {
		return nil, err
	}
	parsed, err := avro.ParseWithCache(s.JSON(), "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := avro.Unmarshal(parsed, value, &out); err != nil {
		t.Fatal(err)
	}
	return out, nil
}
