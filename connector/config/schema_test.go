package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/config/internal/foreign"
)

func compiledSchema(t *testing.T, text []byte, err error) *jsonschema.Schema {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("file.json", doc); err != nil {
		t.Fatal(err)
	}
	return compiler.MustCompile("file.json")
}

// TestEditorsTakeWhatTheProgramTakes holds the JSON Schemas
// against all files that are good, and some that are not.
func TestEditorsTakeWhatTheProgramTakes(t *testing.T) {
	text, err := WorkerSchema()
	worker := compiledSchema(t, text, err)
	text, err = ConnectorSchema()
	connector := compiledSchema(t, text, err)
	of := func(path string) *jsonschema.Schema {
		if strings.HasPrefix(filepath.Base(path), "worker") {
			return worker
		}
		return connector
	}
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file map[string]any
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		if _, posted := file["config"]; posted {
			continue
		}
		if err := of(path).Validate(file); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	good := map[string]any{"name": "acme", "coupa.url": "https://acme.coupahost.com", "coupa.client.id": "x", "coupa.client.secret": "${env:S}"}
	for key, value := range map[string]any{
		"pol.interval.ms": 5000, "transforms": "a", "overlap.ms": "soon", "lines": "elsewhere", "object.invoice.lines": "both", "object.invoices.name": "x",
	} {
		bad := map[string]any{key: value}
		for k, v := range good {
			bad[k] = v
		}
		if err := connector.Validate(bad); err == nil {
			t.Errorf("%s = %v is taken", key, value)
		}
	}
	good["object.invoices.lines"], good["overlap.ms"], good["coupa.objects"] = "both", 1000, []any{"invoices", "users"}
	if err := connector.Validate(good); err != nil {
		t.Error(err)
	}
}

func TestKeysOfOtherConnectorsAreAnswered(t *testing.T) {
	known := names(append(WorkerKeys(), ConnectorKeys()...))
	for _, name := range []string{
		"transforms", "transforms.unwrap.type", "predicates", "key.converter", "value.converter.schema.registry.url", "header.converter", "exactly.once.support",
		"snapshot.mode", "errors.retry.timeout", "errors.retry.delay.max.ms", "topic.prefix", "topic.creation.groups", "producer.override.linger.ms",
		"table.include.list", "database.hostname", "tombstones.on.delete", "plugin.path", "offset.storage.topic", "internal.key.converter",
	} {
		if foreign.Instead(name) == "" {
			t.Errorf("%s is not answered", name)
		}
	}
	for _, name := range known {
		if instead := foreign.Instead(name); instead != "" && !strings.HasPrefix(name, "topic.creation.") {
			t.Errorf("%s is a key of ours, and %q is said of it", name, instead)
		}
	}
}
