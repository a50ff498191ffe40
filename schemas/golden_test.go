package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/custom"
)

var updateGolden = flag.Bool("update-golden", false, "write testdata/golden/**.avro; testdata/golden/README.md says how to verify them")

// The golden bytes were read back by Apache Avro for Java and by fastavro: testdata/golden/README.md.
func TestBytesAreThoseThatOtherImplementationsRead(t *testing.T) {
	t.Parallel()
	type golden struct{ name, schema, row string }
	sample := string(readTestdata(t, "golden/sample.avsc"))
	tests := []golden{{"values", sample, "golden/values.json"}, {"long-lists", sample, "golden/long-lists.json"}}
	for _, path := range objectsWithRow(t) {
		s, err := For(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, golden{path, s.JSON(), "rows/" + path + ".json"})
	}
	for _, mode := range []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble} {
		name := "custom/" + string(mode)
		tests = append(tests, golden{name, goldenCustomSchema(t, name, mode), "golden/custom/row.json"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			avsc := tt.schema
			got, err := mustCompile(t, avsc).Append(nil, readTestdata(t, tt.row))
			if err != nil {
				t.Fatal(err)
			}
			decode(t, avsc, got)
			file := "golden/" + tt.name + ".avro"
			if *updateGolden {
				if err := os.WriteFile("testdata/"+file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, readTestdata(t, file)) {
				t.Errorf("the bytes differ from %s", file)
			}
		})
	}
}

// goldenCustomSchema is the schema of departments with custom fields of
// every type, in a file beside the bytes for the other implementations.
func goldenCustomSchema(t *testing.T, name string, mode DecimalMode) string {
	t.Helper()
	var custom custom.Fields
	if err := json.Unmarshal(readTestdata(t, "golden/custom/fields.json"), &custom); err != nil {
		t.Fatal(err)
	}
	s, err := For("departments", Options{Custom: &custom, Decimals: mode})
	if err != nil {
		t.Fatal(err)
	}
	file := "golden/" + name + ".avsc"
	if *updateGolden {
		if err := os.WriteFile("testdata/"+file, []byte(s.JSON()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(readTestdata(t, file)); got != s.JSON()+"\n" {
		t.Errorf("the schema differs from %s", file)
	}
	return s.JSON()
}

// objectsWithRow are the objects that testdata/rows has a row of.
func objectsWithRow(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS("testdata/rows"), ".", func(file string, _ fs.DirEntry, err error) error {
		if path, ok := strings.CutSuffix(file, ".json"); ok {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d rows, %v", len(paths), err)
	}
	return paths
}
