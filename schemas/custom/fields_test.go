package custom_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
)

// discovered is what rows with these custom fields of an invoice teach.
func discovered(t testing.TB, members ...string) *custom.Fields {
	t.Helper()
	d := newDiscovery(t)
	for _, c := range members {
		if err := d.Observe([]byte(`{"id":1,"custom-fields":` + c + `}`)); err != nil {
			t.Fatal(err)
		}
	}
	return d.Fields()
}

func newDiscovery(t testing.TB) *custom.Discovery {
	t.Helper()
	d, err := schemas.NewDiscovery("invoices")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func customSchema(t testing.TB, c *custom.Fields) *schemas.Schema {
	t.Helper()
	s, err := schemas.For("invoices", schemas.Options{Custom: c})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustMarshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAValueTellsTheTypeOfItsCustomField(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"abc"`: `["string"]`, `"0012"`: `["string"]`, `"12"`: `["string"]`, `"1e3"`: `["string"]`, `"+1.5"`: `["string"]`,
		`"01.50"`: `["string"]`, `"1."`: `["string"]`, `"2024-04-01"`: `["string"]`, `"0.1234567891"`: `["string"]`,
		`"2024-04-01T00:00:00.1234Z"`: `["string"]`, `"2024-04-01T00:00:00"`: `["string"]`, `123456789012345678901234567890`: `["string"]`,
		`"12.50"`: `["decimal"]`, `-1.5`: `["decimal"]`, `1e2`: `["decimal"]`, `9223372036854775808`: `["decimal"]`,
		`"2024-04-01T00:00:00+03:00"`: `["instant"]`, `"2024-04-01T00:00:00.123Z"`: `["instant"]`,
		`7`: `["long"]`, `-9223372036854775808`: `["long"]`, `true`: `["boolean"]`, `{"id":1}`: `["lookup"]`,
		`["a",null]`: `["string"],"list":true`, `[{"id":1},"x"]`: `["lookup"],"list":true`, `[true,1]`: `["string"],"list":true`,
	} {
		got := mustMarshal(t, discovered(t, `{"a":`+value+`}`))
		if want := `{"InvoiceHeader":[{"name":"a","types":` + want + `}]}`; got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	for _, nothing := range []string{`null`, `""`, `[]`, `[null,""]`, `{ }`, `[[1]]`} {
		if got := mustMarshal(t, discovered(t, `{"a":`+nothing+`}`)); got != "{}" {
			t.Errorf("%s: %s, want nothing", nothing, got)
		}
	}
}

func TestTypesSeenTogetherMakeOneField(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ a, b, want string }{
		{`1`, `2.5`, `["decimal"]`},
		{`1`, `"x"`, `["string"]`},
		{`1`, `true`, `["boolean","long"]`},
		{`1`, `"2024-04-01T00:00:00Z"`, `["string"]`},
		{`1`, `{"id":1}`, `["lookup"]`},
		{`{"id":1}`, `[1]`, `["long"],"list":true`},
	} {
		for range 2 {
			got := mustMarshal(t, discovered(t, `{"a":`+tt.a+`}`, `{"a":`+tt.b+`}`))
			if want := `{"InvoiceHeader":[{"name":"a","types":` + tt.want + `}]}`; got != want {
				t.Errorf("%s and %s: %s, want %s", tt.a, tt.b, got, want)
			}
			tt.a, tt.b = tt.b, tt.a
		}
	}
}

func TestASingleTypeIsThatOfMostOfWhatMayCome(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		`{"a":1}`: `["decimal"]`, `{"a":1.5}`: `["decimal"]`, `{"a":"x"}`: `["string"]`, `{"a":true}`: `["boolean"]`, `{"a":{"id":1}}`: `["lookup"]`,
		`{"a":"2024-04-01T00:00:00Z"}`: `["instant"]`, `{"a":[1,2]}`: `["decimal"],"list":true`, `{"a":["x"]}`: `["string"],"list":true`,
		`{"a":1} {"a":true}`: `["string"]`, `{"a":1.5} {"a":"2024-04-01T00:00:00Z"}`: `["string"]`,
	} {
		known := discovered(t, strings.Fields(members)...)
		before := mustMarshal(t, known)
		if got, want := mustMarshal(t, known.Single()), `{"InvoiceHeader":[{"name":"a","types":`+want+`}]}`; got != want {
			t.Errorf("%s: %s, want %s", members, got, want)
		}
		if after := mustMarshal(t, known); after != before {
			t.Errorf("%s: it has changed to %s", members, after)
		}
		if again := known.Single().Single(); again.Hash() != known.Single().Hash() {
			t.Errorf("%s: once more it is %s", members, mustMarshal(t, again))
		}
	}
}

func TestCustomFieldsAreFoundInEveryRecordThatHasThem(t *testing.T) {
	t.Parallel()
	d := newDiscovery(t)
	row := `{"id":1,"custom_fields":{"h":1},"pay-invoice":{"custom-fields":{"no":1}},"invoice-lines":[{"id":2,"custom-fields":{"l":true}},null]}`
	if err := d.Observe([]byte(row)); err != nil {
		t.Fatal(err)
	}
	want := `{"InvoiceHeader":[{"name":"h","types":["long"]}],"InvoiceLine":[{"name":"l","types":["boolean"]}]}`
	if got := mustMarshal(t, d.Fields()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range []string{``, `[]`, `{"custom-fields":{"z":1}`, `{"custom-fields":{"z":1}} x`} {
		if err := d.Observe([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if got := mustMarshal(t, d.Fields()); got != want {
		t.Errorf("bad rows taught something: %s", got)
	}
}

func TestTheFirstFieldsByNameAreKnownWhateverTheOrder(t *testing.T) {
	t.Parallel()
	var rows []string
	for i := range custom.Max + 50 {
		rows = append(rows, fmt.Sprintf(`{"f%04d":1}`, i), fmt.Sprintf(`{"f%04d":"x"}`, i))
	}
	rows = append(rows, `{"`+strings.Repeat("a", custom.MaxName+1)+`":1,"":2}`)
	want := discovered(t, rows...)
	if f := want.Of("InvoiceHeader"); len(f) != custom.Max || f[0].Name != "f0000" || f[custom.Max-1].Name != "f0499" {
		t.Fatalf("%d fields, %v to %v", len(f), f[0], f[len(f)-1])
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if discovered(t, rows...).Hash() != want.Hash() {
		t.Error("another order gave other fields")
	}
	if e := want.Evolve(discovered(t, `{"new":1}`)); e.Hash() != want.Hash() {
		t.Error("Evolve went beyond the bound")
	}
}

func TestEvolveOnlyAddsFieldsAndBranches(t *testing.T) {
	t.Parallel()
	first := discovered(t, `{"b":1,"c?":true,"t":"x","l":{"id":1},"m":[1]}`)
	second := first.Evolve(discovered(t, `{"a":1,"b":"x","c":1.5,"c?":2,"t":5,"l":"x","m":["y"]}`))
	want := `{"InvoiceHeader":[{"name":"b","types":["long","string"]},{"name":"c?","types":["boolean","long"]},` +
		`{"name":"l","types":["lookup"]},{"name":"m","types":["long"],"list":true},{"name":"t","types":["string"]},` +
		`{"name":"a","types":["long"]},{"name":"c","types":["decimal"]}]}`
	if got := mustMarshal(t, second); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if second.Evolve(first).Hash() != second.Hash() || second.Evolve(second).Hash() != second.Hash() {
		t.Error("what is known already changed something")
	}
	text := customSchema(t, second).JSON()
	for _, piece := range []string{
		`{"name":"b","type":["null","long","string"],"default":null,"coupa.name":"b","coupa.custom":["long","string"]}`,
		`{"name":"c","type":["null","boolean","long"],"default":null,"coupa.name":"c?","coupa.custom":["boolean","long"]}`,
		`{"name":"c__2","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}]`,
	} {
		if !strings.Contains(text, piece) {
			t.Errorf("the schema lacks %s", piece)
		}
	}
	instant := discovered(t, `{"b":"2024-04-01T00:00:00Z"}`)
	if got := mustMarshal(t, discovered(t, `{"b":1}`).Evolve(instant)); !strings.Contains(got, `["long","string"]`) {
		t.Errorf("a long that is an instant at times: %s", got)
	}
}

func TestCustomFieldsSurviveTheirJSON(t *testing.T) {
	c := discovered(t, `{"b":1,"<é>":["x"],"l":{"id":1}}`)
	var back custom.Fields
	if err := json.Unmarshal([]byte(mustMarshal(t, c)), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&back, c) || back.Hash() != c.Hash() || c.Hash() == new(custom.Fields).Hash() {
		t.Errorf("%v, want %v", back, *c)
	}
	if customSchema(t, &back) != customSchema(t, c) {
		t.Error("equal custom fields made two schemas")
	}
	for _, bad := range []string{
		`[]`, `{"A":[]}`, `{"A":[{"name":"","types":["long"]}]}`, `{"A":[{"name":"x","types":[]}]}`, `{"A":[{"name":"x","types":["int"]}]}`,
		`{"A":[{"name":"x","types":["long","long"]}]}`, `{"A":[{"name":"x","types":["long","instant"]}]}`,
		`{"A":[{"name":"x","types":["lookup","long"]}]}`, `{"A":[{"name":"x","types":["long","string"],"list":true}]}`,
		`{"A":[{"name":"x","types":["long"]},{"name":"x","types":["long"]}]}`,
	} {
		if err := json.Unmarshal([]byte(bad), new(custom.Fields)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestCustomFieldsOfAnotherObjectAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := schemas.For("suppliers", schemas.Options{Custom: discovered(t, `{"a":1}`)}); err == nil || !strings.Contains(err.Error(), "InvoiceHeader") {
		t.Errorf("%v, want an error that names the record", err)
	}
}
