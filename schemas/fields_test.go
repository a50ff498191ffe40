package schemas_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	twmb "github.com/twmb/avro"

	"github.com/coupastream/coupastream/schemas"
)

// fieldsLimit is what the value of `fields` may take of a URL. Proxies commonly
// end lines at 8 KiB; path, window and paging need some 300 bytes of it.
const fieldsLimit = 8192 - 400

func TestFieldsFitIntoAURL(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, _ string, s *schemas.Schema) {
		if n := len(url.QueryEscape(s.Fields())); n > fieldsLimit {
			t.Errorf("%d bytes URL-encoded, want at most %d: leave fields out in catalogue/selection.yaml", n, fieldsLimit)
		}
	})
}

func TestFieldsIsWhatCoupaDocuments(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		var asked []any
		if err := json.Unmarshal([]byte(s.Fields()), &asked); err != nil {
			t.Fatal(err)
		}
		if asked[0] != "id" || !strings.Contains(s.Fields(), `{"custom_fields":{}}`) {
			t.Errorf("%s asks for %v first, and for custom fields: %v", path, asked[0], strings.Contains(s.Fields(), "custom_fields"))
		}
		for _, never := range []string{"unmapped", "-", "null"} {
			if strings.Contains(s.Fields(), never) {
				t.Errorf("%s asks for %q", path, never)
			}
		}
	})
	invoices, err := schemas.For("invoices", schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"show_tax_information?"`, `{"supplier":["id","name","number"]}`, `{"invoice_lines":["id",`, `{"account_allocations":[`} {
		if !strings.Contains(invoices.Fields(), part) {
			t.Errorf("invoices do not ask for %s", part)
		}
	}
}

// pruned is what Coupa answers of a row when asked for fields.
func pruned(t *testing.T, row any, asked []any) any {
	t.Helper()
	switch row := row.(type) {
	case []any:
		all := make([]any, len(row))
		for i, r := range row {
			all[i] = pruned(t, r, asked)
		}
		return all
	case map[string]any:
		left := map[string]any{}
		for _, a := range asked {
			switch a := a.(type) {
			case string:
				keep(left, row, a, func(v any) any { return v })
			case map[string]any:
				for name, inner := range a {
					keep(left, row, name, func(v any) any {
						if names, ok := inner.([]any); ok {
							return pruned(t, v, names)
						}
						return v // {"custom_fields":{}}
					})
				}
			}
		}
		return left
	}
	return row
}

func keep(left, row map[string]any, name string, change func(any) any) {
	key := strings.ReplaceAll(name, "_", "-")
	if v, ok := row[key]; ok {
		left[key] = change(v)
	}
}

// sampleRow reads a row in the shape of Coupa's recorded and documented answers, in full.
func sampleRow(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "rows", path+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func askedOf(t *testing.T, s *schemas.Schema, row []byte) []byte {
	t.Helper()
	var asked []any
	if err := json.Unmarshal([]byte(s.Fields()), &asked); err != nil {
		t.Fatal(err)
	}
	var full any
	if err := json.Unmarshal(row, &full); err != nil {
		t.Fatal(err)
	}
	short, err := json.Marshal(pruned(t, full, asked))
	if err != nil {
		t.Fatal(err)
	}
	return short
}

// encoded gives the row as the schema's readers see it.
func encoded(t *testing.T, s *schemas.Schema, row []byte) map[string]any {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := plan.Encoder().Append(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if rest, err := twmb.MustParse(s.JSON()).Decode(wire, &got); err != nil || len(rest) != 0 {
		t.Fatalf("%d bytes left, %v", len(rest), err)
	}
	return got
}

// unmapped collects the keys of every `unmapped` of a decoded row.
func unmapped(v any, path string, found map[string]any) map[string]any {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			unmapped(item, path, found)
		}
	case map[string]any:
		for key, inner := range v {
			if rest, ok := inner.(map[string]any); ok && key == "unmapped" {
				for name, text := range rest {
					found[path+name] = text
				}
				continue
			}
			unmapped(inner, path+key+".", found)
		}
	}
	return found
}

func TestRowsThatWereAskedForFitTheirSchema(t *testing.T) {
	t.Parallel()
	rows := 0
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		if _, err := os.Stat(filepath.Join("testdata", "rows", path+".json")); err != nil {
			return
		}
		rows++
		row := sampleRow(t, path)
		if lost := unmapped(encoded(t, s, askedOf(t, s, row)), "", map[string]any{}); len(lost) > 0 {
			t.Errorf("the answer to the schema's own fields has no place in it: %v", lost)
		}
		encoded(t, s, row) // in full it is encoded too, the rest in unmapped
	})
	if rows < 19 {
		t.Errorf("%d objects have a row in testdata/rows, want 19 at least", rows)
	}
}

func TestAskingForFieldsMakesRowsSmall(t *testing.T) {
	t.Parallel()
	// What associations weigh differs much from answer to answer;
	// the invoice was recorded with few fields to begin with.
	for path, atLeast := range map[string]float64{"users": 8, "suppliers": 3.5, "requisitions": 4, "contracts": 3, "purchase_orders": 2.5, "invoices": 1.3} {
		s, err := schemas.For(path, schemas.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var full any
		if err := json.Unmarshal(sampleRow(t, path), &full); err != nil {
			t.Fatal(err)
		}
		compact, err := json.Marshal(full)
		if err != nil {
			t.Fatal(err)
		}
		short := askedOf(t, s, compact)
		ratio := float64(len(compact)) / float64(len(short))
		t.Logf("%s: %d → %d bytes, %.1f×", path, len(compact), len(short), ratio)
		if ratio < atLeast {
			t.Errorf("%s: %d → %d bytes is %.1f× smaller, want %.1f×", path, len(compact), len(short), ratio, atLeast)
		}
	}
}

func TestWhatHasNoPlaceIsKept(t *testing.T) {
	t.Parallel()
	s, err := schemas.For("suppliers", schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := encoded(t, s, []byte(`{"id":7,"risk-level":"low","enterprise":{"id":1,"description":"x"},"savings-pct":"4.12345678901234567890123"}`))
	lost := unmapped(got, "", map[string]any{})
	for key, want := range map[string]any{"risk-level": `"low"`, "enterprise.description": `"x"`, "savings-pct": `"4.12345678901234567890123"`} {
		if lost[key] != want {
			t.Errorf("unmapped %s is %v, want %v", key, lost[key], want)
		}
	}
	if got["savings_pct"] != nil {
		t.Errorf("savings_pct is %v although it does not fit", got["savings_pct"])
	}
}
