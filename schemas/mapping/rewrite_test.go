package mapping_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/mapping"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

func hashed(text string) string {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// at follows Avro names through a record that was read back.
func at(value any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		for union, inner := range m { // of a union's branch
			if _, has := m[name]; !has && len(m) == 1 && (strings.HasPrefix(union, "coupa.") || union == "map" || union == "array") {
				m, _ = inner.(map[string]any)
				break
			}
		}
		value = m[name]
		if union, ok := value.(map[string]any); ok && union["array"] != nil {
			value = union["array"].([]any)[0]
		}
	}
	if m, ok := value.(map[string]any); ok && m["map"] != nil {
		value = m["map"]
	}
	if r, ok := value.(*big.Rat); ok {
		return r.FloatString(4)
	}
	return value
}

const row = `{"id":5,"updated-at":"2024-01-01T00:00:00Z","invoice-number":"INV-12345678","gross-total":"12.50","total-with-taxes":123456789012345678.123456789,
 "invoice-date":"2024-04-01T23:59:59+03:00","paid":true,"status":"","image-scan":"scan.pdf","not-known":{"a":1},"gpo_entity":"G",
 "supplier":{"id":3,"name":"Müller \"& Söhne\"","number":null,"display-name":"MS"},
 "invoice-lines":[{"id":1,"description":"pens","price":"11.0","updated-at":"2024-01-01T00:00:00Z"},{"id":2,"description":"ink","price":3}],
 "custom-fields":{"secret":"hush","open":7},"requested-by":{"email":"a@b.c","login":"me"}}`

func TestARuleChangesItsFieldAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rules string
		want  map[string]any // by Avro names; nil: null, or no field
	}{
		{"leave-out: [invoice-number, image-scan, invoice-lines.description, custom-fields.secret]", map[string]any{
			"invoice_number": nil, "unmapped.image-scan": nil, "unmapped.not-known": `{"a":1}`, "invoice_lines.description": nil, "invoice_lines.id": int64(1),
			"custom_fields.secret": nil, "custom_fields.open": "7", "gross_total": "12.5000", "invoice_lines.unmapped": nil}},
		{"leave-out: [custom-fields]", map[string]any{"custom_fields": nil, "unmapped.custom-fields": nil, "unmapped.gpo_entity": nil, "unmapped.not-known": nil}},
		{"leave-out: [custom-fields.gpo_entity, custom-fields.not-known]", map[string]any{"unmapped.gpo_entity": nil, "unmapped.not-known": nil, "unmapped.image-scan": `"scan.pdf"`}},
		{"leave-out: [supplier]", map[string]any{"supplier": nil, "unmapped.supplier": nil}},
		{"choose: [invoice-number, supplier.name]", map[string]any{
			"id": int64(5), "invoice_number": "INV-12345678", "supplier.name": `Müller "& Söhne"`, "supplier.id": nil, "supplier.unmapped": nil,
			"gross_total": nil, "unmapped": nil, "custom_fields": nil}},
		{"choose: [supplier, supplier.name, custom-fields.open]", map[string]any{"supplier.id": int64(3), "custom_fields.open": "7", "custom_fields.secret": nil, "unmapped": nil}},
		{"choose: [custom-fields]", map[string]any{"custom_fields.secret": `"hush"`, "unmapped.gpo_entity": `"G"`, "unmapped.image-scan": nil}},
		{"fields: {supplier.name: {rename: title}, invoice-number: {rename: number_}}", map[string]any{
			"supplier.title": `Müller "& Söhne"`, "supplier.name": nil, "number_": "INV-12345678", "invoice_number": nil}},
		{"fields: {gross-total: {retype: string}, total-with-taxes: {retype: string}, invoice-date: {retype: string}, paid: {retype: string}, supplier.id: {retype: string}}",
			map[string]any{"gross_total": "12.50", "total_with_taxes": "123456789012345678.123456789", "invoice_date": "2024-04-01T23:59:59+03:00", "paid": "true", "supplier.id": "3"}},
		{"fields: {invoice-lines.id: {retype: \"decimal(20,1)\"}, gross-total: {retype: \"decimal(6,2)\"}}", map[string]any{"invoice_lines.id": "1.0000", "gross_total": "12.5000"}},
		{`fields: {invoice-number: {mask: "***"}, status: {mask: x}, supplier.number: {mask: x}, gross-total: {mask: 0}, paid: {mask: "false"}}`, map[string]any{
			"invoice_number": "***", "status": "", "supplier.number": nil, "gross_total": "0.0000", "paid": false}},
		{"fields: {invoice-number: {mask: {keep-last: 4}}, supplier.display-name: {mask: {keep-last: 4}}, supplier.name: {mask: {keep-last: 6}}}", map[string]any{
			"invoice_number": "***5678", "supplier.unmapped.display-name": `"***"`, "supplier.name": `***Söhne"`}},
		{"fields: {requested-by.email: {hash: true}, supplier.id: {hash: true}, supplier.name: {hash: true}, status: {hash: true}}", map[string]any{
			"requested_by.email": hashed("a@b.c"), "supplier.id": hashed("3"), "supplier.name": hashed(`Müller "& Söhne"`), "status": "", "requested_by.login": "me"}},
		{"fields: {custom-fields.secret: {hash: true}, custom-fields.open: {mask: x}, custom-fields.gpo_entity: {mask: y}, image-scan: {mask: z}}", map[string]any{
			"custom_fields.secret": `"` + hashed("hush") + `"`, "custom_fields.open": `"x"`, "unmapped.gpo_entity": `"y"`, "unmapped.image-scan": `"z"`}},
		{"fields: {invoice-lines.description: {mask: none}}", map[string]any{"invoice_lines.description": "none", "invoice_lines.price": "11.0000"}},
	} {
		m := compile(t, "invoices", test.rules)
		out, err := record(t, "invoices", m, schemas.Options{}, row)
		if err != nil {
			t.Errorf("%s: %v", test.rules, err)
			continue
		}
		for path, want := range test.want {
			if got := at(out, path); got != want {
				t.Errorf("%s: %s is %#v, want %#v", test.rules, path, got, want)
			}
		}
	}
}

func TestExpressionsComputeFields(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expression, typ string
		want            any // nil: null; an error: what the row's error says
	}{
		{"double(row.gross_total) * 2.0", "double", 25.0},
		{"row.gross_total", "decimal(10,4)", "12.5000"},
		{"row.total_with_taxes", "decimal(38,9)", "123456789012345678.1235"},
		{"double(row.gross_total) / 3.0", "decimal(10,2)", "4.1700"},
		{"row.supplier.name + ' (' + string(row.supplier.id) + ')'", "string", `Müller "& Söhne" (3)`},
		{"row.supplier.number", "string", nil},
		{"has(row.supplier.number)", "boolean", false},
		{"row.supplier.?number.orValue('-')", "string", "-"},
		{"row.?bill_to_address.?name.orValue('-')", "string", "-"},
		{"row.bill_to_address.name", "string", nil},
		{"row.paid ? optional.of('p') : optional.none()", "string", "p"},
		{"row.paid ? optional.none() : optional.of('p')", "string", nil},
		{"row.supplier.number == 'x' || row.paid", "boolean", true},
		{"row.supplier.number == 'x' && row.paid", "boolean", nil},
		{"size(row.invoice_lines)", "int", 2},
		{"row.invoice_lines.filter(l, double(l.price) > 10.0).map(l, l.description).join(',')", "string", "pens"},
		{"row.updated_at", "timestamp-millis", "2024-01-01 00:00:00 +0000 UTC"},
		{"row.updated_at + duration('25h')", "date", "2024-01-02 00:00:00 +0000 UTC"},
		{"row.invoice_date", "date", "2024-04-01 00:00:00 +0000 UTC"},
		{"row.custom_fields.open + 1", "long", int64(8)},
		{"row.custom_fields['secret']", "string", "hush"},
		{"row.custom_fields.nothing", "string", nil},
		{"has(row.custom_fields.nothing)", "boolean", false},
		{"row.id * 9223372036854775807", "long", errors.New("integer overflow")},
		{"row.id / (row.id - 5)", "long", errors.New("division by zero")},
		{"int(row.invoice_number)", "long", errors.New("can't be evaluated")},
		{"row.invoice_lines[7].description", "string", errors.New("index out of bounds")},
		{"row.id * 1000000000000", "int", errors.New("has no form in the field's type")},
		{"row.invoice_number", "decimal(10,2)", errors.New("has no form in the field's type")},
		{"'a-b-c'.replace('-', '+')", "string", "a+b+c"},
		{"'a-b-c'.replace('-', '+', 1)", "string", "a+b-c"},
		{"'abc'.replace('', '-')", "string", "-a-b-c-"},
		{"'a-b-c'.replace('-', '+', -1) + 'a'.replace('a', 'b', 0)", "string", "a+b+ca"},
		{"['a', 'b'].join()", "string", "ab"},
		{"'a,b,c'.split(',').join(';')", "string", "a;b;c"},
		{"'a,b,c'.split(',', 2).join(';')", "string", "a;b,c"},
		{"size('a,b'.split(',', 0))", "int", 0},
		{"cel.bind(s, 'a'.replace('a', '" + strings.Repeat("a", 1000) + "'), s.replace('a', s).replace('a', s).size())", "long", errors.New("text longer than 1048576 bytes")},
		{"lists.range(2000).map(i, 'a'.replace('a', '" + strings.Repeat("a", 1000) + "')).join(',')", "string", errors.New("longer than 1048576 bytes")},
		{"cel.bind(s, 'a'.replace('a', '" + strings.Repeat("a,", 6000) + "'), size(s.split(',')) + size(s.split('')))", "long", errors.New("into more than 10000 parts")},
		{"[[1, 2], [3]].flatten().size()", "int", 3},
		{"cel.bind(l, lists.range(500), lists.range(500).map(i, l).flatten().size())", "int", errors.New("into more than 10000 parts")},
		{"lists.range(5000).map(i, 'a'.replace('a', '" + strings.Repeat("a", 1000) + "').replace('a', '" + strings.Repeat("b", 1000) + "')).size()", "long", errors.New("cost limit exceeded")},
		{"lists.range(5000).all(a, lists.range(5000).all(b, a + b >= 0))", "boolean", errors.New("cost limit exceeded")},
	} {
		t.Run(test.expression[:min(len(test.expression), 80)], func(t *testing.T) {
			m := compile(t, "invoices", fmt.Sprintf("compute: {x: {expression: %q, type: %q}}", test.expression, test.typ))
			out, err := record(t, "invoices", m, schemas.Options{}, row)
			if want, fails := test.want.(error); fails {
				var field *rowtext.FieldError
				if !errors.As(err, &field) || field.Path != "x" || !strings.Contains(err.Error(), want.Error()) {
					t.Errorf("%v; want a *rowtext.FieldError at x with %v", err, want)
				}
				for _, value := range []string{"INV", "12345"} {
					if err != nil && strings.Contains(err.Error(), value) {
						t.Errorf("%v shows a value", err)
					}
				}
				return
			}
			if got := at(out, "x"); err != nil || got != test.want && fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%#v, %v; want %#v", got, err, test.want)
			}
		})
	}
}

// What a type has no room for is an error of the row, and does not go to unmapped.
func TestARetypedFieldThatDoesNotFitIsAnErrorOfTheRow(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{
		"fields: {invoice-number: {retype: long}}", "fields: {gross-total: {retype: long}}", "fields: {gross-total: {retype: \"decimal(4,1)\"}}",
		"fields: {invoice-number: {retype: date}}", "fields: {supplier.name: {retype: boolean}}",
	} {
		var field *rowtext.FieldError
		_, err := record(t, "invoices", compile(t, "invoices", rules), schemas.Options{}, strings.Replace(row, `"12.50"`, `"12.55"`, 1))
		if !errors.As(err, &field) || strings.Contains(err.Error(), "12.5") || strings.Contains(err.Error(), "INV") {
			t.Errorf("%s: %v; want a *rowtext.FieldError without the value", rules, err)
		}
	}
}

func TestWhatMayHideAValueInAnUnforeseenFormIsAnError(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{"fields: {supplier.name: {mask: x}}", "leave-out: [supplier.name]", "choose: [supplier.id]"} {
		for _, supplier := range []string{`"hush"`, `17`, `["hush"]`} {
			m := compile(t, "invoices", rules)
			_, err := m.Rewriter("").Row([]byte(`{"id":1,"supplier":` + supplier + `}`))
			var field *rowtext.FieldError
			if !errors.As(err, &field) || field.Path != "supplier" || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s, %s: %v; want a *rowtext.FieldError at supplier", rules, supplier, err)
			}
		}
		for _, supplier := range []string{`null`, `""`, `[]`, `[{"name":"hush","id":4}]`} {
			out, err := compile(t, "invoices", rules).Rewriter("").Row([]byte(`{"id":1,"supplier":` + supplier + `}`))
			if err != nil || strings.Contains(string(out), "hush") {
				t.Errorf("%s, %s: %s, %v", rules, supplier, out, err)
			}
		}
	}
}

func TestNothingHiddenIsLeftAnywhere(t *testing.T) {
	t.Parallel()
	m := compile(t, "invoices", `
leave-out: [custom-fields.secret, supplier.display-name]
fields:
  supplier.name: {hash: true}
  invoice-number: {mask: {keep-last: 2}}
compute:
  n: {expression: "size(row.invoice_number)", type: long}`)
	const spelled = `{"id":1,"invoice_number":"hush 1","invoice-number":"hush 2","invoice-number":"hush 3","custom-fields":{"secret":"hush","secret":["hush"]},
		"secret":"hush","supplier":{"display_name":"hush","display-name":{"a":"hush"},"name":["hush"],"name":{"x":"hush"}},"su\u0070plier":{"n\u0061me":"hush"}}`
	for name, change := range map[string]func([]byte) ([]byte, error){"Row": m.Rewriter("k").Row, "Guarded": m.Rewriter("k").Guarded} {
		out, err := change([]byte(spelled))
		if err != nil || strings.Contains(string(out), "hush") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
}

func TestGuardedRowsHaveCoupasNamesAndNothingComputed(t *testing.T) {
	t.Parallel()
	m := compile(t, "suppliers", `
leave-out: [number]
fields: {name: {rename: title, mask: x}, status: {retype: string}}
compute: {n: {expression: "row.id", type: long}}`)
	r := m.Rewriter("")
	for range 2 {
		out, err := r.Guarded([]byte(` {"id":1, "name" : "a" , "number":"n","status":"s"} `))
		if want := `{"id":1,"name" : "x","status":"s"}`; err != nil || string(out) != want {
			t.Errorf("%s, %v; want %s", out, err, want)
		}
		if out, err = r.Row([]byte(`{"id":1,"name":"a"}`)); err != nil || string(out) != `{"id":1,"name":"x","=n":"1"}` {
			t.Errorf("%s, %v", out, err)
		}
	}
}

func TestRulesThatTouchNoValueLeaveRowsAsTheyAre(t *testing.T) {
	t.Parallel()
	m := compile(t, "invoices", "fields: {supplier.name: {rename: title}, gross-total: {retype: string}}")
	in := []byte(row)
	for _, change := range []func([]byte) ([]byte, error){m.Rewriter("").Row, m.Rewriter("").Guarded} {
		if out, err := change(in); err != nil || &out[0] != &in[0] || len(out) != len(in) {
			t.Errorf("the row was copied, or %v", err)
		}
	}
}

func TestWhatIsNoRowIsAnError(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{"leave-out: [status]", "compute: {n: {expression: \"row.id\", type: long}}"} {
		for _, text := range []string{"", "[]", "7", `{"id":1`, `{"id":1} {}`, `{"id":1,}`} {
			_, err := compile(t, "invoices", rules).Rewriter("").Row([]byte(text))
			if field := (*rowtext.FieldError)(nil); !errors.As(err, &field) {
				t.Errorf("%s, %q: %v", rules, text, err)
			}
		}
	}
}

var _ schemas.Mapping = (*mapping.Mapping)(nil)

// Rules for what a row does not have change no byte of its record.
func TestRulesWithoutAnObjectGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	for _, object := range schemas.Objects() {
		text, err := os.ReadFile("../testdata/rows/" + object + ".json")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		m := compile(t, object, "fields: {id: {rename: id}}\ncompute: {nothing_: {expression: \"row.id / 0\", type: long}, x_: {expression: \"1\", type: int}}\n", "compute: {nothing_: null, x_: null}")
		if schema(t, object, nil, schemas.Options{}).JSON() != schema(t, object, m, schemas.Options{}).JSON() {
			t.Errorf("%s: the schema has changed", object)
		}
		same(t, object, m, text)
		if l, err := mapping.Parse("", []byte(under(object, "leave-out: [custom-fields.nothing-like-it]"))); err == nil {
			if guarding, err := mapping.Compile(object, l); err == nil {
				same(t, object, guarding, text)
			}
		}
	}
}

// same encodes rows with and without a mapping.
func same(t *testing.T, object string, m *mapping.Mapping, rows []byte) {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal(rows, &all); err != nil {
		all = []json.RawMessage{rows}
	}
	plan, err := schema(t, object, nil, schemas.Options{}).Plan()
	if err != nil {
		t.Fatal(err)
	}
	r := m.Rewriter("")
	for i, row := range all {
		want, err := plan.Encoder().Append(nil, row)
		if err != nil {
			t.Fatal(err)
		}
		changed, err := r.Row(row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := plan.Encoder().Append(nil, changed); err != nil || string(got) != string(want) {
			t.Errorf("%s, row %d: the record is another, or %v", object, i, err)
		}
	}
}
