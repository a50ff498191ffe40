package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// previewOf runs preview against a simulated tenant in testdata.
func previewOf(t *testing.T, rows int, change func(*coupatest.Tenant), args ...string) result {
	t.Helper()
	t.Chdir("testdata")
	var r result
	synctest.Test(t, func(t *testing.T) {
		tenant := coupatest.New(coupatest.Config{Seed: 5, Rows: rows, Objects: []string{"invoices", "suppliers"}, ClientID: "client", ClientSecret: "s3cret"})
		if change != nil {
			change(tenant)
		}
		var stdout, stderr bytes.Buffer
		a := &app{env: environment, stdout: &stdout, stderr: &stderr, transport: tenant.Transport()}
		status := a.execute(t.Context(), append([]string{"preview", "--log-level", "error"}, args...))
		r = result{status, stdout.String(), stderr.String()}
	})
	return r
}

func TestPreviewShowsRowsBeforeAndAfterTheMapping(t *testing.T) {
	var id int64
	r := previewOf(t, 30, func(tenant *coupatest.Tenant) {
		rows := tenant.Rows("suppliers")
		id = rows[len(rows)-2].ID
		tenant.SetMember("suppliers", id, "name", `"Müller & Söhne"`)
		tenant.SetMember("suppliers", id, "primary-address", `{"id":3,"city":"Köln"}`)
	}, "mapped.yaml", "suppliers", "-n", "3", "-o", "json")
	var shown struct {
		Object string
		Rows   []struct {
			ID     int64
			Before map[string]any
			After  map[string]any
		}
		Schema struct{ Name string }
		Fields []any
	}
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || r.status != 0 || len(shown.Rows) != 3 || shown.Schema.Name != "Supplier" || len(shown.Fields) != 4 {
		t.Fatalf("%v: %+v", err, r)
	}
	row := shown.Rows[1]
	address, _ := row.After["primary_address"].(map[string]any)
	if row.ID != id || row.Before["name"] != "Müller & Söhne" || row.After["name"] != "***e" || row.After["home"] != "Köln!" || len(address) != 1 || address["city"] != "Köln" {
		t.Errorf("%+v", row)
	}
}

func TestPreviewShowsTheSchemaAndWhyARowHasNoRecord(t *testing.T) {
	var id int64
	r := previewOf(t, 3, func(tenant *coupatest.Tenant) {
		id = tenant.Rows("invoices")[0].ID
		tenant.SetMember("invoices", tenant.Rows("invoices")[1].ID, "invoice-date", `"someday"`)
	}, "acme.yaml", "invoices", "--schema")
	for _, want := range []string{
		fmt.Sprintf("invoices id %d, as Coupa sends it:\n{\n  \"id\": %d,", id, id), fmt.Sprintf("its record:\n{\n  \"id\": %d,", id),
		"there is no record: encoding field invoice-date: the text is no calendar date", "schema:\n{\"type\":\"record\",\"name\":\"InvoiceHeader\"",
	} {
		if r.status != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("status %d (%s), no %q", r.status, r.stderr, want)
		}
	}
	if strings.Contains(r.stdout+r.stderr, "s3cret") {
		t.Error("a secret was printed")
	}
}

func TestPreviewShowsTheSchemaToWhomAsksForIt(t *testing.T) {
	if r := previewOf(t, 3, nil, "acme.yaml", "invoices"); r.status != 0 || !strings.Contains(r.stdout, "its record:") || strings.Contains(r.stdout, "schema:") {
		t.Errorf("%+v", r)
	}
}

func TestPreviewOfNothing(t *testing.T) {
	for args, want := range map[string]result{
		"acme.yaml users":           {2, "", "coupastream: acme.yaml: users is not in coupa.objects; it streams invoices, suppliers\n"},
		"acme.yaml invoices -o xml": {2, "", "coupastream: --output \"xml\" is not a form; give text or json\n"},
		"acme.yaml invoices -n 0":   {2, "", "coupastream: --rows 0 is not from 1 to 50\n"},
		"bad-connector.json users":  {2, "", badConnector},
	} {
		t.Run(args, func(t *testing.T) {
			if got := previewOf(t, 3, nil, strings.Fields(args)...); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestPreviewShowsLinesThatHaveRecordsOfTheirOwn(t *testing.T) {
	var id int64
	r := previewOf(t, 3, func(tenant *coupatest.Tenant) {
		id = tenant.Rows("invoices")[0].ID
		tenant.SetMember("invoices", id, "invoice-lines", `[{"id":9001,"description":"x"}]`)
	}, "lined.yaml", "invoices", "--schema")
	for _, want := range []string{
		fmt.Sprintf("the record of line 9001 of invoice_lines:\n{\n  \"parent_id\": %d,\n  \"id\": 9001,\n  \"text\": \"x\"\n}", id),
		"schema of invoice_lines:\n{\"type\":\"record\",\"name\":\"InvoiceHeader_invoice_lines\"", "schema of tax_lines:",
	} {
		if r.status != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("status %d (%s), no %q", r.status, r.stderr, want)
		}
	}
	if _, schema, _ := strings.Cut(r.stdout, "schema:\n"); strings.Contains(strings.Split(schema, "schema of")[0], "coupa.name\":\"invoice-lines\"") {
		t.Error("the rows' own schema has the lines too")
	}
}

func TestSchemasOfLines(t *testing.T) {
	for args, want := range map[string]struct {
		status          int
		prints, without string
	}{
		"schema invoices --lines":                        {0, `"name":"InvoiceHeader_invoice_lines"`, `"name":"text"`},
		"schema invoices --lines --connector lined.yaml": {0, `"name":"text"`, `"name":"InvoiceHeader",`},
		"schema invoices --connector lined.yaml":         {0, `"name":"InvoiceHeader"`, `"coupa.name":"invoice-lines"`},
		"schema purchase_orders --lines":                 {0, `"name":"parent_id"`, `"name":"OrderHeader",`},
		"schema users --lines":                           {2, "rows of users have no lines", `"name"`},
	} {
		t.Run(args, func(t *testing.T) {
			r := program(t, strings.Fields(args)...)
			if all := r.stdout + r.stderr; r.status != want.status || !strings.Contains(all, want.prints) || strings.Contains(all, want.without) {
				t.Errorf("status %d %s, want %d, %s and no %s", r.status, r.stderr, want.status, want.prints, want.without)
			}
		})
	}
}
