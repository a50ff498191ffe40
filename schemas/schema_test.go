package schemas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hamba/avro/v2"
	twmb "github.com/twmb/avro"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// everySchema runs a test on each object's schema in the default mode.
func everySchema(t *testing.T, test func(t *testing.T, path string, s *schemas.Schema)) {
	for _, path := range schemas.Objects() {
		t.Run(path, func(t *testing.T) {
			s, err := schemas.For(path, schemas.Options{})
			if err != nil {
				t.Fatal(err)
			}
			test(t, path, s)
		})
	}
}

func parse(t *testing.T, s *schemas.Schema) *schematext.Record {
	t.Helper()
	row, err := schematext.Parse([]byte(s.JSON()))
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"invoices": "coupa.InvoiceHeader", "purchase_orders": "coupa.OrderHeader", "suppliers": "coupa.Supplier",
		"requisitions": "coupa.RequisitionHeader", "expense_reports": "coupa.ExpenseReport", "contracts": "coupa.Contract", "users": "coupa.User",
	}
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		if name, ok := want[path]; ok && s.Name() != name {
			t.Errorf("name %s, want %s", s.Name(), name)
		}
		delete(want, path)
	})
	if len(want) > 0 {
		t.Errorf("no schema of %v", want)
	}
}

func TestEverySchemaIsAvroInEveryDecimalMode(t *testing.T) {
	t.Parallel()
	for _, path := range schemas.Objects() {
		for _, mode := range []schemas.DecimalMode{"", schemas.DecimalPrecise, schemas.DecimalString, schemas.DecimalDouble} {
			s, err := schemas.For(path, schemas.Options{Decimals: mode})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := avro.ParseWithCache(s.JSON(), "", &avro.SchemaCache{}); err != nil {
				t.Errorf("%s, decimals %q: hamba: %v", path, mode, err)
			}
			if _, err := twmb.Parse(s.JSON()); err != nil {
				t.Errorf("%s, decimals %q: twmb: %v", path, mode, err)
			}
			if _, err := s.Plan(); err != nil {
				t.Errorf("%s, decimals %q: %v", path, mode, err)
			}
		}
	}
}

func TestEveryRecordKeepsTheRules(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, _ string, s *schemas.Schema) {
		row := parse(t, s)
		row.Walk(func(r *schematext.Record) {
			names, keys := map[string]bool{}, map[string]bool{}
			for i, f := range r.Fields {
				at := r.Name + "." + f.Name
				if id := r == row && (f.Name == "id" || f.Role == schematext.RoleParent); f.Type.Nullable == id {
					t.Errorf("%s: nullable %v", at, f.Type.Nullable)
				}
				if names[f.Name] || keys[f.CoupaName] {
					t.Errorf("%s: its name or its coupa.name %q is taken", at, f.CoupaName)
				}
				names[f.Name], keys[f.CoupaName] = true, true
				if last := i == len(r.Fields)-1; last != (f.Role == schematext.RoleUnmapped) {
					t.Errorf("%s: role %q at place %d of %d", at, f.Role, i+1, len(r.Fields))
				}
				if f.CoupaName == "" && f.Role != schematext.RoleUnmapped {
					t.Errorf("%s has no coupa.name", at)
				}
			}
		})
	})
}

func TestRowsAndLinesTellWhenTheyChanged(t *testing.T) {
	t.Parallel()
	lines := map[string]bool{"InvoiceLine": true, "InvoiceCharge": true, "TaxLine": true, "OrderLine": true, "OrderLinePart": true, "RequisitionLine": true, "ExpenseLine": true, "RemitToAddress": true, "ContractTerm": true}
	// in Coupa's description too
	without := map[string]bool{"currencies": true, "budget_line_adjustments": true}
	found := map[string]bool{}
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		row := parse(t, s)
		row.Walk(func(r *schematext.Record) {
			if r != row && !lines[r.Name] || r == row && without[path] {
				return
			}
			found[r.Name] = true
			for _, f := range r.Fields {
				if f.CoupaName == "updated-at" && f.Type.Logical == "timestamp-millis" {
					return
				}
			}
			t.Errorf("%s, %s: no updated-at", path, r.Name)
		})
	})
	for line := range lines {
		if !found[line] {
			t.Errorf("no schema shows %s in full", line)
		}
	}
}

func TestNoSchemaAsksForCredentials(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		for _, secret := range []string{"secret", "password", "cvv", "cxml_http_username"} {
			if strings.Contains(s.Fields(), secret) {
				t.Errorf("%s asks for %s", path, secret)
			}
		}
	})
}

func TestPrettyIsTheSameSchema(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, _ string, s *schemas.Schema) {
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(s.Pretty())); err != nil {
			t.Fatal(err)
		}
		if compact.String() != s.JSON() {
			t.Error("Pretty and JSON differ")
		}
		if again, err := json.Marshal(parse(t, s)); err != nil || string(again) != s.JSON() {
			t.Errorf("the schema read and written again differs (%v)", err)
		}
		if strings.Contains(s.JSON(), "\n") || !strings.HasSuffix(s.Pretty(), "]}\n") {
			t.Error("JSON is not on one line or Pretty does not end with a newline")
		}
	})
}

func TestDecimalModes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode schemas.DecimalMode
		want string
	}{
		{schemas.DecimalPrecise, `{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":20}],"default":null,"doc":"Price.","coupa.name":"price"}`},
		{schemas.DecimalString, `{"name":"price","type":["null","string"],"default":null,"doc":"Price.","coupa.name":"price","coupa.type":"decimal"}`},
		{schemas.DecimalDouble, `{"name":"price","type":["null","double"],"default":null,"doc":"Price.","coupa.name":"price","coupa.type":"decimal"}`},
	} {
		s, err := schemas.For("invoices", schemas.Options{Decimals: tt.mode})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.JSON(), tt.want) {
			t.Errorf("%s: the schema lacks %s", tt.mode, tt.want)
		}
		if left := strings.Count(s.JSON(), `"logicalType":"decimal"`); (left == 0) != (tt.mode != schemas.DecimalPrecise) {
			t.Errorf("%s: %d decimals", tt.mode, left)
		}
	}
}

func TestForNamesWhatIsNear(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path, mode string
		want       []string
	}{
		{"invoice", "", []string{`"invoice"`, `the nearest is "invoices"`, "coupastream objects"}},
		{"purchase-orders", "", []string{`the nearest is "purchase_orders"`}},
		{"Users", "", []string{`the nearest is "users"`}},
		{"", "", []string{`""`}},
		{"users", "exact", []string{`decimal.handling.mode "exact"`, "precise", "string", "double"}},
	} {
		_, err := schemas.For(tt.path, schemas.Options{Decimals: schemas.DecimalMode(tt.mode)})
		for _, part := range tt.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("For(%q, %q): error %v, want one with %s", tt.path, tt.mode, err, part)
			}
		}
	}
}

func TestPlanIsCompiledOnceForAll(t *testing.T) {
	s, err := schemas.For("contracts", schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plans := make([]*schemas.Plan, 8)
	var all sync.WaitGroup
	for i := range plans {
		all.Go(func() { plans[i], _ = s.Plan() })
	}
	all.Wait()
	for _, p := range plans {
		if p == nil || p != plans[0] {
			t.Fatalf("plans %v, want one", plans)
		}
	}
}

func TestAdditionsAreBackwardCompatible(t *testing.T) {
	t.Parallel()
	everySchema(t, func(t *testing.T, path string, s *schemas.Schema) {
		older := parse(t, s)
		// A version before any of the row's fields but those that
		// are never null, as if all others had been added since.
		older.Fields = slices.DeleteFunc(older.Fields, func(f schematext.Field) bool { return f.Type.Nullable && f.Role != schematext.RoleUnmapped })
		text, err := json.Marshal(older)
		if err != nil {
			t.Fatal(err)
		}
		if err := twmb.CheckCompatibility(twmb.MustParse(string(text)), twmb.MustParse(s.JSON())); err != nil {
			t.Errorf("%s cannot follow a version with fewer fields: %v", path, err)
		}
	})
}

func ExampleFor() {
	s, err := schemas.For("purchase_orders", schemas.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Name())
	fmt.Println(s.Fields()[:60] + "…")
	_, err = schemas.For("user", schemas.Options{})
	fmt.Println(err)
	// Output:
	// coupa.OrderHeader
	// ["id","created_at","updated_at","acknowledged_flag","po_numb…
	// there is no schema for the object "user"; the nearest is "users" (coupastream objects lists all)
}

func TestWithoutCustomFieldsNothingOfThemIsAskedForOrHeld(t *testing.T) {
	t.Parallel()
	for _, path := range schemas.Objects() {
		s, err := schemas.For(path, schemas.Options{WithoutCustomFields: true})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(s.JSON(), "custom_fields") || strings.Contains(s.Fields(), "custom_fields") {
			t.Errorf("%s still has custom_fields", path)
		}
		if _, err := s.Plan(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
