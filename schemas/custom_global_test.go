package schemas

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/custom"
)

const globalRow = `{"id":1,"gpo-entity":"EU","custom-field-8":7,"project2":null,"pay-invoice":{"x":1},"pay_invoice":{"x":1},` +
	`"supplier":{"id":3,"their-own":"x"},"custom-fields":{"gpo-entity":true},"invoice-lines":[{"id":2,"line-code":1.5,"tags":[]}]}`

// What neither the schema nor Coupa's description names is a custom
// field of the global namespace, where an object has custom fields.
func TestCustomFieldsOfTheGlobalNamespaceAreFound(t *testing.T) {
	t.Parallel()
	d := newDiscovery(t)
	if err := d.Observe([]byte(globalRow)); err != nil {
		t.Fatal(err)
	}
	want := `{"InvoiceHeader":[{"name":"gpo-entity","types":["boolean"]},{"name":"custom-field-8","types":["long"],"global":true},` +
		`{"name":"gpo-entity","types":["string"],"global":true}],"InvoiceLine":[{"name":"line-code","types":["decimal"],"global":true}]}`
	if got := mustMarshal(t, d.Fields()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	names := map[string][]string{"InvoiceHeader": {"custom-field-8", "gpo-entity", "project2"}, "InvoiceLine": {"line-code"}}
	if got := d.Globals(); !reflect.DeepEqual(got, names) {
		t.Errorf("asks for %v, want %v", got, names)
	}
}

func TestGlobalCustomFieldsAreTypedAtTheTopAndAskedFor(t *testing.T) {
	t.Parallel()
	d := newDiscovery(t)
	if err := d.Observe([]byte(globalRow)); err != nil {
		t.Fatal(err)
	}
	s := customSchema(t, d.Fields())
	for _, piece := range []string{
		`{"name":"gpo_entity","type":["null","string"],"default":null,"doc":"Custom field of the global namespace.","coupa.name":"gpo-entity","coupa.custom":["string"]}`,
		`{"name":"gpo_entity","type":["null","boolean"],"default":null,"coupa.name":"gpo-entity","coupa.custom":["boolean"]}`,
	} {
		if !strings.Contains(s.JSON(), piece) {
			t.Errorf("the schema lacks %s", piece)
		}
	}
	if err := newReader(t, s.JSON()).roundTrip([]byte(globalRow)); err != nil {
		t.Error(err)
	}
	plain := customSchema(t, new(custom.Fields))
	fields := plain.FieldsWith(d.Globals())
	for _, name := range []string{`,"custom_field_8","gpo_entity","project2"]`, `"line_code"`} {
		if !strings.Contains(fields, name) || strings.Contains(plain.Fields(), name) {
			t.Errorf("%s is not asked for besides: %s", name, fields)
		}
	}
	if fields := s.FieldsWith(d.Globals()); strings.Count(fields, `"gpo_entity"`) != 1 || !strings.Contains(fields, `"project2"`) {
		t.Errorf("typed, and asked for by name: %s", fields)
	}
	if plain.FieldsWith(nil) != plain.Fields() {
		t.Error("without names the request differs")
	}
}

// A field that Coupa's description comes to know is the schema's own from then on.
func TestAGlobalCustomFieldGivesWayToAFieldOfTheSchema(t *testing.T) {
	t.Parallel()
	c := new(custom.Fields)
	if err := c.UnmarshalJSON([]byte(`{"InvoiceHeader":[{"name":"invoice-number","types":["long"],"global":true}]}`)); err != nil {
		t.Fatal(err)
	}
	if got, want := customSchema(t, c).JSON(), customSchema(t, new(custom.Fields)).JSON(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestCustomFieldsAreReadBackFromTheirSchema(t *testing.T) {
	t.Parallel()
	g := rowMaker{Rand: rand.New(rand.NewPCG(11, 5))}
	fields := new(custom.Fields)
	for n := range 30 {
		fields = fields.Evolve(discovered(t, g.customMembers(n%7)))
		d := newDiscovery(t)
		if err := d.Observe([]byte(fmt.Sprintf(`{"id":1,"own-%d":%d,"invoice-lines":[{"id":1,"l%d":"x"}]}`, n%4, n, n%3))); err != nil {
			t.Fatal(err)
		}
		fields = fields.Evolve(d.Fields())
		for _, mode := range []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble} {
			s, err := For("invoices", Options{Custom: fields, Decimals: mode})
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{s.JSON(), s.Pretty(), `{"type":"record","name":"Around","fields":[{"name":"after","type":["null",` + s.JSON() + `],"default":null}]}`} {
				got, typed, err := custom.FromSchema(text)
				if err != nil || !typed || mustMarshal(t, got) != mustMarshal(t, fields) {
					t.Fatalf("%s: %s, %t, %v; want %s", mode, mustMarshal(t, got), typed, err, mustMarshal(t, fields))
				}
			}
		}
	}
	s, err := For("invoices", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, typed, err := custom.FromSchema(s.JSON()); err != nil || typed || len(got.Records()) > 0 {
		t.Errorf("of the map: %v, %t, %v", got, typed, err)
	}
	if _, _, err := custom.FromSchema(`{"type":"record","fields":7}`); err == nil {
		t.Error("no schema, and no error")
	}
}

func TestTheEncoderTellsWhatCustomFieldsHaveNoPlaceFor(t *testing.T) {
	t.Parallel()
	s := customSchema(t, discovered(t, `{"a":1,"b":[1]}`))
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Encoder()
	for row, want := range map[string][]Unfit{
		`{"id":1,"custom-fields":{"a":2,"b":[3],"c":null}}`:            nil,
		`{"id":1,"custom-fields":{"a":"x","c":1,"b":null}}`:            {{"InvoiceHeader", "a", false, true}, {"InvoiceHeader", "c", false, false}},
		`{"id":1,"custom-fields":{"b":{"id":1}},"more":1,"none":null}`: {{"InvoiceHeader", "b", false, true}, {"InvoiceHeader", "more", true, false}},
		`{"id":1,"invoice-lines":[{"id":1,"custom-fields":{"l":1}}]}`:  {{"InvoiceLine", "l", false, false}},
		`{"id":1,"supplier":{"id":1,"unknown":1}}`:                     nil,
		`{"id":1,"invoice-number":{"x":1}}`:                            nil, // no custom field
	} {
		if _, err := e.Append(nil, []byte(row)); err != nil {
			t.Fatal(err)
		}
		if got := e.Unfit(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", row, got, want)
		}
	}
}
