package mapping_test

import (
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/mapping"
)

func TestCoupaIsAskedForWhatRecordsAndExpressionsNeed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ rules, want string }{
		{"choose: [invoice-number]", `["id","updated_at","invoice_number"]`},
		{"choose: [supplier.name]", `["id","updated_at",{"supplier":["name"]}]`},
		{"choose: [invoice-lines.price]", `["id","updated_at",{"invoice_lines":["id","price","updated_at"]}]`},
		{"choose: [status]\ncompute: {x: {expression: \"row.supplier.name\", type: string}}", `["id","updated_at","status",{"supplier":["name"]}]`},
		{"choose: [status]\ncompute: {x: {expression: \"row.?supplier.?name.orValue('')\", type: string}}", `["id","updated_at","status",{"supplier":["name"]}]`},
		{"choose: [status]\ncompute: {x: {expression: \"has(row.supplier)\", type: boolean}}", `["id","updated_at","status",{"supplier":["id"]}]`},
		{"choose: [status]\ncompute: {x: {expression: \"row.invoice_lines.exists(l, l.quantity == '1')\", type: boolean}}", `["id","updated_at","status",{"invoice_lines":["id","quantity","updated_at"]}]`},
		{"choose: [status]\ncompute: {x: {expression: \"'a' in row.custom_fields\", type: boolean}}", `["id","updated_at","status",{"custom_fields":{}}]`},
		{"choose: [status]\nfields: {status: {rename: state}}", `["id","updated_at","status"]`},
	} {
		if got := schema(t, "invoices", compile(t, "invoices", test.rules), schemas.Options{WithoutCustomFields: strings.Contains(test.rules, "custom")}).Fields(); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.rules, got, test.want)
		}
	}
	all := schema(t, "invoices", nil, schemas.Options{}).Fields()
	if got := schema(t, "invoices", compile(t, "invoices", "leave-out: [status]"), schemas.Options{}).Fields(); got != strings.Replace(all, `"status",`, "", 1) {
		t.Errorf("without status it asks for\n%s", got)
	}
}

func TestWithoutAMappingNothingChanges(t *testing.T) {
	t.Parallel()
	if m := compile(t, "invoices", "fields: {status: {mask: x}}", "fields: {status: null}"); m != nil {
		t.Error("rules that were taken back make a mapping")
	}
	l, err := mapping.Parse("", []byte(under("users", "leave-out: [login]")))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := mapping.Compile("invoices", nil, l); m != nil || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	for _, object := range schemas.Objects() {
		plain := schema(t, object, nil, schemas.Options{})
		touched := schema(t, object, compile(t, object, "fields: {id: {rename: id_}}"), schemas.Options{})
		if got := strings.Replace(touched.JSON(), `"name":"id_"`, `"name":"id"`, 1); got != plain.JSON() || touched.Fields() != plain.Fields() {
			t.Errorf("%s: more than a name has changed", object)
		}
	}
}

// A record that is used in several places keeps its name where
// it is as it was, and has one of its own where it is not.
func TestARuleIsOfAPlaceAndNotOfARecord(t *testing.T) {
	t.Parallel()
	m := compile(t, "suppliers", "leave-out: [primary-address.city, supplier-addresses.custom-fields.x]\nfields: {supplier-addresses.city: {rename: town}}")
	fields := new(custom.Fields)
	if err := fields.UnmarshalJSON([]byte(`{"SupplierAddress":[{"name":"x","types":["string"]},{"name":"y","types":["long"]}]}`)); err != nil {
		t.Fatal(err)
	}
	s := schema(t, "suppliers", m, schemas.Options{Custom: fields})
	for _, want := range []string{
		`"name":"SupplierAddress_primary_address"`, `"name":"SupplierAddress_supplier_addresses"`, `"coupa.record":"SupplierAddress"`, `"name":"town"`,
	} {
		if !strings.Contains(s.JSON(), want) {
			t.Errorf("the schema lacks %s:\n%s", want, s.Pretty())
		}
	}
	again, typed, err := custom.FromSchema(s.JSON())
	if err != nil || !typed || again.Hash() != fields.Hash() {
		t.Errorf("read back: %v, %v, %v", again, typed, err)
	}
	out, err := record(t, "suppliers", m, schemas.Options{Custom: fields}, `{"id":1,"primary-address":{"city":"A","street1":"s","custom-fields":{"x":"X","y":"no","z":1}},
		"supplier-addresses":[{"city":"B","custom-fields":{"x":"X","y":2}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"primary_address.city": nil, "primary_address.street1": "s", "primary_address.custom_fields.x": "X", "supplier_addresses.town": "B",
		"supplier_addresses.custom_fields.x": nil, "supplier_addresses.custom_fields.y": int64(2), "primary_address.unmapped": nil,
	} {
		if got := at(out, path); got != want {
			t.Errorf("%s is %#v, want %#v", path, got, want)
		}
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	enc := plan.Encoder()
	if _, err := enc.Append(nil, []byte(`{"id":1,"primary-address":{"custom-fields":{"z":1},"global":2}}`)); err != nil {
		t.Fatal(err)
	}
	if u := enc.Unfit(); len(u) != 2 || u[0].Record != "SupplierAddress" || u[0].Global || u[1].Record != "SupplierAddress" || !u[1].Global {
		t.Errorf("unfit: %+v", u)
	}
	every := schema(t, "suppliers", compile(t, "suppliers", "leave-out: [primary-address.city, supplier-addresses.city]"), schemas.Options{}).JSON()
	if strings.Contains(every, "coupa.record") {
		t.Error("a record that is the same in all its places has lost its name")
	}
}

func TestCustomFieldsOfTheGlobalNamespaceMakeRoom(t *testing.T) {
	t.Parallel()
	fields := new(custom.Fields)
	if err := fields.UnmarshalJSON([]byte(`{"InvoiceHeader":[{"name":"gross","types":["string"],"global":true},{"name":"state","types":["string"],"global":true},{"name":"hush","types":["string"],"global":true}]}`)); err != nil {
		t.Fatal(err)
	}
	m := compile(t, "invoices", "leave-out: [custom-fields.hush]\nfields: {status: {rename: state}}\ncompute: {gross: {expression: \"row.status\", type: string}}")
	out, err := record(t, "invoices", m, schemas.Options{Custom: fields}, `{"id":1,"status":"new","gross":"g","state":"s","hush":"h"}`)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{"gross": "new", "state": "new", "gross__2": "g", "state__2": "s", "hush": nil, "unmapped": nil} {
		if got := at(out, path); got != want {
			t.Errorf("%s is %#v, want %#v", path, got, want)
		}
	}
}

func TestALaterLayerGoesOverAnEarlierFieldByField(t *testing.T) {
	t.Parallel()
	worker := `
choose: [status, paid, supplier]
leave-out: [supplier.number]
fields: {status: {mask: x}, supplier.name: {hash: true}, paid: {rename: is_paid}}
compute: {a: {expression: "1", type: long}, b: {expression: "2", type: long}}`
	for _, test := range []struct{ own, want, lacks string }{
		{"fields: {status: null}", `"status"`, ""},
		{"fields: {status: {rename: state}}", `"name":"state"`, `"name":"status"`},
		{"leave-out: [paid]", `"name":"status"`, `"is_paid"`},
		{"fields: {supplier.number: {rename: no}}", `"name":"no"`, `"name":"number"`},
		{"compute: {a: null, b: {expression: \"row.status\", type: string}}", `"name":"b","type":["null","string"]`, `"name":"a"`},
		{"choose: [status, paid, supplier, invoice-number]", `"name":"invoice_number"`, `"name":"gross_total"`},
	} {
		m := compile(t, "invoices", worker, test.own)
		text := schema(t, "invoices", m, schemas.Options{}).JSON()
		if !strings.Contains(text, test.want) || test.lacks != "" && strings.Contains(text, test.lacks) {
			t.Errorf("%s: want %s and not %s in\n%s", test.own, test.want, test.lacks, text)
		}
		if out, err := m.Rewriter("").Row([]byte(`{"id":1,"status":"new"}`)); err != nil || strings.Contains(string(out), `"status":"new"`) != strings.Contains(test.own, "status: ") {
			t.Errorf("%s: %s, %v", test.own, out, err)
		}
		if m.Hash() == compile(t, "invoices", worker).Hash() {
			t.Errorf("%s: the hash does not tell it from what it lies over", test.own)
		}
	}
}

func TestAWidenedSchemaAsksForWhatTheMappingDoes(t *testing.T) {
	t.Parallel()
	m := compile(t, "invoices", "choose: [status]\ncompute: {x: {expression: \"row.supplier.name\", type: string}}")
	s := schema(t, "invoices", m, schemas.Options{})
	wide, err := s.Widen(schema(t, "invoices", nil, schemas.Options{}).JSON())
	if err != nil || wide.Fields() != s.Fields() {
		t.Errorf("%v: it asks for %s", err, wide.Fields())
	}
}

// Of a field that was renamed, a widened schema has the registered name too, always null.
func TestAWidenedSchemaHasARenamedFieldOnce(t *testing.T) {
	t.Parallel()
	m := compile(t, "invoices", "fields: {status: {rename: state}}\nleave-out: [paid]")
	wide, err := schema(t, "invoices", m, schemas.Options{}).Widen(schema(t, "invoices", nil, schemas.Options{}).JSON())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := wide.Plan()
	if err != nil {
		t.Fatal(err)
	}
	row, err := m.Rewriter("").Row([]byte(`{"id":1,"status":"new","paid":true}`))
	if err != nil {
		t.Fatal(err)
	}
	value, err := plan.Encoder().Append(nil, row)
	if err == nil {
		value, err = plan.AppendJSON(nil, value)
	}
	if err != nil || string(value) != `{"id":1,"state":"new"}` {
		t.Errorf("%s, %v", value, err)
	}
}

// What rows are hidden by stands in the schema, and in that of lines what
// theirs are: two versions that hide other things differ, and no others.
func TestASchemaTellsWhatItsMappingHides(t *testing.T) {
	t.Parallel()
	base := "supplier.number: {hash: true}, invoice-lines.description: {mask: x}, custom-fields.key: {mask: y}"
	for name, c := range map[string]struct{ was, is, rows, lines string }{
		"nothing else":        {base, base + ", status: {rename: state}", "", ""},
		"a rule more":         {base, base + ", internal-note: {mask: x}", "internal-note was shown as Coupa sends it, is hidden by mask:", ""},
		"another mask":        {base, strings.Replace(base, "mask: y", "mask: z", 1), "custom-fields.key was hidden by mask:", ""},
		"a rule less":         {base, strings.Replace(base, "supplier.number: {hash: true}, ", "", 1), "supplier.number was hidden by hash, is shown as Coupa sends it", ""},
		"a rule of the lines": {base, strings.Replace(base, "{mask: x}", "{hash: true}", 1), "", "invoice-lines.description was hidden by mask:"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, envelope := range []bool{false, true} {
				was := schema(t, "invoices", compile(t, "invoices", "fields: {"+c.was+"}"), schemas.Options{Envelope: envelope})
				is := schema(t, "invoices", compile(t, "invoices", "fields: {"+c.is+"}"), schemas.Options{Envelope: envelope})
				one, other := split(t, was), split(t, is)
				differ(t, one.Row, other.Row, c.rows)
				differ(t, one.Lists[0].Schema, other.Lists[0].Schema, c.lines)
			}
		})
	}
	if text := schema(t, "invoices", compile(t, "invoices", "fields: {status: {rename: state}}"), schemas.Options{}).JSON(); strings.Contains(text, "coupa.rules") {
		t.Error("a mapping that hides nothing stands in the schema")
	}
}

// A tag of personal data goes with what a mapping hides, in all places of a record that stands in several,
// and names no record: a schema without rules has the records of one with them.
func TestTagsOfPersonalDataGoWithWhatIsHidden(t *testing.T) {
	t.Parallel()
	const login, email, name = `"coupa.name":"login","confluent:tags":["PII","PII_ID"]`, `"coupa.name":"email","confluent:tags":["PII","PII_EMAIL"]`, `"coupa.name":"requester-name","confluent:tags":["PII","PII_NAME"]`
	all := schema(t, "departments", nil, schemas.Options{}).JSON()
	if strings.Count(all, login) != 1 || strings.Count(all, email) != 1 {
		t.Fatalf("the schema that is shipped is %s", all)
	}
	for _, c := range []struct {
		object, rules string
		has, lacks    []string
	}{
		{"departments", "fields: {updated-by.email: {hash: true}, created-by.email: {hash: true}}", []string{login}, []string{"PII_EMAIL"}},
		{"departments", `fields: {updated-by.email: {hash: true}, updated-by.login: {mask: {keep-last: 4}}, created-by.email: {mask: x}, created-by.login: {hash: true}}`, nil, []string{"PII"}},
		{"requisitions", "fields: {created-by.email: {hash: true}}", []string{login, email, `"name":"UserSimpleRef"`}, []string{"UserSimpleRef_"}},
		{"invoices", `fields: {requester-name: {mask: x}}`, []string{login, email}, []string{name}},
		{"invoices", `fields: {requester-name: {rename: who}}`, []string{login, email, name}, nil},
		{"invoices", `fields: {requester-name: {mask: x}}` + "\ncompute: {who: {expression: \"row.requester_name + row.created_by.email\", type: string, doc: W}}",
			[]string{`"name":"who","type":"string","doc":"W","coupa.role":"computed","confluent:tags":["PII","PII_NAME","PII_EMAIL"]`}, []string{name}},
		{"invoices", "compute: {late: {expression: \"row.status == 'paid'\", type: boolean, doc: W}}", []string{`"doc":"W","coupa.role":"computed"}`}, nil},
	} {
		text := strings.ReplaceAll(schema(t, c.object, compile(t, c.object, c.rules), schemas.Options{}).JSON(), `"type":["null","string"],"default":null,"doc":"W"`, `"type":"string","doc":"W"`)
		for _, part := range c.has {
			if !strings.Contains(text, part) {
				t.Errorf("%s, %s: the schema lacks %s", c.object, c.rules, part)
			}
		}
		for _, part := range c.lacks {
			if strings.Contains(text, part) {
				t.Errorf("%s, %s: the schema has %s", c.object, c.rules, part)
			}
		}
	}
}

func split(t *testing.T, s *schemas.Schema) *schemas.Split {
	t.Helper()
	parts, err := s.Split(false)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// differ compares two versions in either format: want is how their one difference begins.
func differ(t *testing.T, was, is *schemas.Schema, want string) {
	t.Helper()
	wasJSON, err := was.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	isJSON, err := is.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range [][]schemas.Difference{schemas.Differences(was.JSON(), is.JSON()), schemas.Differences(wasJSON, isJSON)} {
		switch {
		case want == "" && len(found) == 0:
		case want == "" || len(found) != 1 || !strings.HasPrefix(found[0].String(), want) || found[0].Widens:
			t.Errorf("%s: %v, want %q", is.Name(), found, want)
		}
	}
}
