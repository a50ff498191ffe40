package config

import (
	"os"
	"strings"
	"testing"
)

func mapped(t *testing.T, changes ...string) *Connector {
	t.Helper()
	raw := minimal("coupa.objects", "invoices,users")
	for i := 0; i < len(changes); i += 2 {
		raw[changes[i]] = changes[i+1]
	}
	c, err := ParseConnector(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func workerMapping(t *testing.T, text string) *Worker {
	t.Helper()
	path := t.TempDir() + "/m.yaml"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := ParseWorker(map[string]string{"bootstrap.servers": "localhost:9092", "schema.registry.url": "http://localhost:8081", "mapping.file": path}, env)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAConnectorsMappingLiesOverTheWorkers(t *testing.T) {
	c := mapped(t, "mapping", "objects: {invoices: {fields: {status: {rename: state}}}}")
	if c.Objects[0].Mapping == nil || c.Objects[1].Mapping != nil {
		t.Fatal("by itself, the connector has a mapping for its invoices alone")
	}
	w := workerMapping(t, "objects: {invoices: {leave-out: [paid], fields: {status: {mask: x}}}, users: {leave-out: [login]}}")
	for range 2 { // it may be done again
		if err := CheckTogether(w, []*Connector{c}); err != nil {
			t.Fatal(err)
		}
	}
	row, err := c.Objects[0].Rewriter().Row([]byte(`{"id":1,"status":"new","paid":true}`))
	if want := `{"id":1,"status":"new"}`; err != nil || string(row) != want {
		t.Errorf("%s, %v; want %s", row, err, want)
	}
	if row, err = c.Objects[1].Rewriter().Row([]byte(`{"id":1,"login":"me"}`)); err != nil || string(row) != `{"id":1}` {
		t.Errorf("%s, %v", row, err)
	}
	if c = mapped(t); c.Objects[0].Mapping != nil || c.Objects[0].Rewriter() != nil || c.Objects[0].SchemaOptions().Mapping != nil {
		t.Error("there is a mapping where none was written")
	}
}

func TestMappingsThatDoNotGoTogetherAreToldWithBothAtHand(t *testing.T) {
	w := workerMapping(t, "objects: {invoices: {leave-out: [supplier], fields: {status: {hash: true}}}}")
	c := mapped(t, "mapping", "objects: {invoices: {fields: {supplier.name: {rename: s}}}}")
	err := CheckTogether(w, []*Connector{c})
	if err == nil {
		t.Fatal("no problem")
	}
	for _, want := range []string{"mapping: line 1, column 31: objects.invoices.fields.supplier.name: supplier.name is not kept"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	c = mapped(t)
	if err := c.MapWith(w); err == nil || !strings.Contains(err.Error(), "mapping.hash.key: required, because the mapping hashes a field of invoices") {
		t.Errorf("%v", err)
	}
	if err := mapped(t, "mapping.hash.key", strings.Repeat("k", 16)).MapWith(w); err != nil {
		t.Error(err)
	}
}

func TestTheKeyOfHashesIsASecret(t *testing.T) {
	c := mapped(t, "mapping.hash.key", "a-very-secret-hash-key")
	if c.Echo()["mapping.hash.key"] != hidden {
		t.Error("it is echoed")
	}
}

// The mapping that mappings are explained by is one that can be used.
func TestTheMappingOfTheDocumentIsRight(t *testing.T) {
	text, err := os.ReadFile("../../schemas/mapping/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("there is no mapping")
	}
	c := mapped(t, "coupa.objects", "invoices,suppliers", "mapping", example, "mapping.hash.key", "0123456789abcdef")
	for _, o := range c.Objects {
		if o.Mapping == nil {
			t.Errorf("%s has no mapping", o.Path)
		}
	}
}
