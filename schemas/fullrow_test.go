package schemas_test

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/schemas"
)

// description is what Coupa's API description says of its objects, as the catalogue corrects it.
type description struct {
	Collections map[string]string
	Objects     map[string]map[string]string
}

func readDescription(t *testing.T) description {
	t.Helper()
	var d description
	var corrections struct {
		Types   map[string]string
		Objects map[string]map[string]string
	}
	for file, read := range map[string]func([]byte) error{
		"objects.json":   func(text []byte) error { return json.Unmarshal(text, &d) },
		"selection.yaml": func(text []byte) error { return yaml.Unmarshal(text, &corrections) },
	} {
		text, err := os.ReadFile("catalogue/" + file)
		if err == nil {
			err = read(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(d.Objects, corrections.Objects)
	for at, typ := range corrections.Types {
		object, field, _ := strings.Cut(at, ".")
		d.Objects[object][field] = typ
	}
	return d
}

// row is an object with every field that is described, associations in full
// down to the level given and left out below it. Lists have one element.
func (d description) row(object string, levels int) map[string]any {
	row := map[string]any{}
	for field, typ := range d.Objects[object] {
		kind, target, association := strings.Cut(typ, ":")
		switch {
		case !association:
			row[field] = plainValue(kind)
		case levels > 0 && kind == "array":
			row[field] = []any{d.row(target, levels-1)}
		case levels > 0:
			row[field] = d.row(target, levels-1)
		}
	}
	return row
}

func plainValue(kind string) any {
	switch kind {
	case "string":
		return "a short text"
	case "integer":
		return 4711
	case "boolean":
		return false
	case "datetime", "date", "instant":
		return "2024-01-15T10:30:00-08:00"
	case "time":
		return "08:00"
	case "any":
		return nil
	}
	return "1250.50" // decimals
}

// Coupa answers with associations in full, several levels deep, unless it is asked for fields:
// the recorded rows of suppliers, requisitions, orders and invoices go down 7, 5, 4 and 4
// levels, few of them with all that is described. Here each has it all, down to the third.
func TestAskingForFieldsMakesAFullRowTenTimesSmaller(t *testing.T) {
	t.Parallel()
	d := readDescription(t)
	for _, path := range []string{"invoices", "purchase_orders", "suppliers"} {
		s, err := schemas.For(path, schemas.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for levels := 1; levels <= 3; levels++ {
			full, err := json.Marshal(d.row(d.Collections[path], levels))
			if err != nil {
				t.Fatal(err)
			}
			short := askedOf(t, s, full)
			ratio := float64(len(full)) / float64(len(short))
			t.Logf("%s, %d levels: %d → %d bytes, %.1f×", path, levels, len(full), len(short), ratio)
			if levels == 3 && ratio < 10 {
				t.Errorf("%s: a full row is %.1f times what is asked for, want 10", path, ratio)
			}
		}
	}
}
