package schemas

import (
	"encoding/json"
	"strings"
	"testing"
)

// definitions gives every record of a schema by its full name, as text
// in which the records within stand by their full names alone.
func definitions(t *testing.T, avsc string) map[string]string {
	t.Helper()
	var tree any
	if err := json.Unmarshal([]byte(avsc), &tree); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	defining(t, tree, "", all)
	return all
}

// defining adds the records of a part of a schema, and gives the part with names in their place.
func defining(t *testing.T, node any, namespace string, all map[string]string) any {
	switch node := node.(type) {
	case string:
		switch node {
		case "null", "string", "boolean", "int", "long", "double", "bytes":
			return node
		}
		if !strings.Contains(node, ".") {
			return namespace + "." + node
		}
		return node
	case []any:
		for i := range node {
			node[i] = defining(t, node[i], namespace, all)
		}
		return node
	case map[string]any:
		if node["type"] != "record" {
			for _, inner := range []string{"type", "items", "values"} {
				if node[inner] != nil && node["logicalType"] == nil && (inner != "type" || node["type"] != "array" && node["type"] != "map") {
					node[inner] = defining(t, node[inner], namespace, all)
				}
			}
			return node
		}
		if own, ok := node["namespace"].(string); ok {
			namespace = own
		}
		name := namespace + "." + node["name"].(string)
		delete(node, "namespace")
		for _, f := range node["fields"].([]any) {
			defining(t, f, namespace, all)
		}
		text := mustMarshal(t, node)
		if other, met := all[name]; met && other != text {
			t.Errorf("%s is defined twice in one schema", name)
		}
		all[name] = text
		return name
	}
	t.Fatalf("%v is no type", node)
	return nil
}

// everySchema gives the text of the schemas of every object by what they are called: of rows, with lines
// and without, of lines, and of each in an envelope.
func everySchema(t *testing.T, o Options) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range Objects() {
		for _, envelope := range []bool{false, true} {
			o.Envelope = envelope
			s, err := For(path, o)
			if err != nil {
				t.Fatal(err)
			}
			name := path
			if envelope {
				name += " in an envelope"
			}
			all[name] = s.JSON()
			split, err := s.Split(true)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range split.Lists {
				all[name+", lines "+l.Name] = l.Schema.JSON()
			}
		}
	}
	return all
}

// Classes of all objects can be built in one place, since a full name is one record everywhere. The
// rows of an object whose lines have topics are another record, which no connector has beside the whole one.
func TestAFullNameHasOneShapeInAllSchemas(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {Decimals: DecimalString}, {WithoutCustomFields: true}, {Namespace: "acme.coupa"}, {Unmapped: UnmappedJSON}, {Unmapped: UnmappedOff, TenantField: "tenant"}} {
		first, text := map[string]string{}, map[string]string{}
		for where, avsc := range everySchema(t, o) {
			for name, definition := range definitions(t, avsc) {
				if other, met := text[name]; met && other != definition {
					t.Errorf("%s has one shape in %s and another one in %s:\n%s\n%s", name, first[name], where, other, definition)
				}
				first[name], text[name] = where, definition
			}
		}
		if len(text) < 378 {
			t.Errorf("%d full names, which are not all", len(text))
		}
	}
}

// Schemas of two namespaces have no name in common, but for the key.
func TestANamespaceHoldsAllThatASchemaDefines(t *testing.T) {
	t.Parallel()
	fields := discovered(t, `{"n":1,"l":{"id":1}}`)
	for _, namespace := range []string{"", "coupa", "coupa.acme_2deu"} {
		want := namespace
		if want == "" {
			want = "coupa"
		}
		for where, avsc := range everySchema(t, Options{Namespace: namespace}) {
			for name := range definitions(t, avsc) {
				record := strings.TrimPrefix(name, want+".")
				if dots := strings.Count(record, "."); record == name || dots > 0 && !strings.HasSuffix(record, ".Envelope") {
					t.Errorf("%s has the name %s", where, name)
				}
			}
		}
		s, err := For("invoices", Options{Namespace: namespace, Custom: fields})
		if err != nil {
			t.Fatal(err)
		}
		all := definitions(t, s.JSON())
		if all[want+".InvoiceHeaderCustomFields"] == "" || all[want+".CustomLookup"] == "" || s.Name() != want+".InvoiceHeader" {
			t.Errorf("%s of %d records", s.Name(), len(all))
		}
		row := `{"id":1,"custom-fields":{"n":7,"l":{"id":3}}}`
		if got := reread(t, s, row); !strings.Contains(got, "n:7") || !strings.Contains(got, "l:{id:3}") {
			t.Errorf("the row is read as %s", got)
		}
	}
	if !strings.Contains(KeySchema(), `"namespace":"coupa"`) {
		t.Error("the key has another namespace")
	}
}
