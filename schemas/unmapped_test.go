package schemas

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/custom"
)

func schemaAs(t testing.TB, mode UnmappedMode, o Options) *Schema {
	t.Helper()
	o.Unmapped = mode
	s, err := For("invoices", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatHasNoPlaceStandsAsTheModeSays(t *testing.T) {
	t.Parallel()
	typed := discovered(t, `{"n":1.5,"site":{"id":7,"name":"x"},"none":"a"}`)
	row := `{"id":1,"new":{"a":"é\n\u00e9"},"a\"b":[1, 2],"gross-total":"1e30","supplier":{"id":3,"fax":1,"fax":2},"bill-to-address":{"novel":5},` +
		`"custom-fields":{"n":"many","none":{"x":1},"site":{"id":7,"colour":"red"}},"unheard":null}`
	left := "SupplierRef.fax AddressRef.novel CustomLookup.colour InvoiceHeaderCustomFields.n InvoiceHeaderCustomFields.none " +
		`InvoiceHeader.a"b InvoiceHeader.gross-total InvoiceHeader.new`
	unfit := ""
	for _, tt := range []struct {
		mode       UnmappedMode
		json, left string
		texts      int // of every record, in JSON Schema
	}{
		{UnmappedMap, `{"id":1,"supplier":{"id":3,"unmapped":{"fax":2}},"bill_to_address":{"unmapped":{"novel":5}},"custom_fields":{"site":{"id":7,"unmapped":{"colour":"red"}},` +
			`"unmapped":{"n":"many","none":{"x":1}}},"unmapped":{"a\"b":[1, 2],"gross-total":"1e30","new":{"a":"é\n\u00e9"}}}`, "", 0},
		{UnmappedJSON, `{"id":1,"supplier":{"id":3,"unmapped":"{\"fax\":2}"},"bill_to_address":{"unmapped":"{\"novel\":5}"},"custom_fields":{"site":{"id":7,"unmapped":"{\"colour\":\"red\"}"},` +
			`"unmapped":"{\"n\":\"many\",\"none\":{\"x\":1}}"},"unmapped":"{\"a\\\"b\":[1, 2],\"gross-total\":\"1e30\",\"new\":{\"a\":\"é\\n\\u00e9\"}}"}`, "", 37},
		{UnmappedOff, `{"id":1,"supplier":{"id":3},"custom_fields":{"site":{"id":7}}}`, left, 0},
	} {
		s := schemaAs(t, tt.mode, Options{Custom: typed})
		plan, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		e := plan.Encoder()
		value, err := e.Append(nil, []byte(row))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := plan.AppendJSON(nil, value); err != nil || string(got) != tt.json {
			t.Errorf("%s: %s %v\nwant %s", tt.mode, got, err, tt.json)
		}
		if got := strings.Join(e.LeftOut(), " "); got != tt.left {
			t.Errorf("%s: left out %s, want %s", tt.mode, got, tt.left)
		}
		if told := fmt.Sprint(e.Unfit()); unfit == "" {
			unfit = told
		} else if told != unfit {
			t.Errorf("%s: what custom fields are not typed for is %s, want %s as in a map", tt.mode, told, unfit)
		}
		text, err := s.JSONSchema()
		if got := strings.Count(text, `"unmapped":{"description":"A JSON object, by Coupa's key, of what this record has no field for or cannot hold exactly.","type":"string"}`); err != nil || got != tt.texts {
			t.Errorf("%s: the JSON Schema has %d texts, want %d; %v", tt.mode, got, tt.texts, err)
		}
		if strings.Contains(s.JSON(), `"unmapped"`) != (tt.mode != UnmappedOff) || strings.Contains(text, `"unmapped"`) != (tt.mode != UnmappedOff) {
			t.Errorf("%s: a schema has unmapped, or has not", tt.mode)
		}
		if _, err := e.Append(nil, []byte(`{"id":1}`)); err != nil || e.LeftOut() != nil {
			t.Errorf("%s: the next row has left out %v, %v", tt.mode, e.LeftOut(), err)
		}
	}
}

func TestTypedCustomFieldsAreReadBackInEveryMode(t *testing.T) {
	t.Parallel()
	for _, members := range [][]string{nil, {`{"n":1.5,"site":{"id":7,"name":"x"},"list":["a"]}`}} {
		typed := discovered(t, members...)
		for _, mode := range unmappedModes {
			for _, s := range []*Schema{schemaAs(t, mode, Options{Custom: typed}), schemaAs(t, mode, Options{Custom: typed, Envelope: true})} {
				got, isTyped, err := custom.FromSchema(s.JSON())
				if err != nil || !isTyped || got.Hash() != typed.Hash() {
					t.Errorf("%s: %v, typed %t, %v; want %v", mode, got, isTyped, err, typed)
				}
			}
		}
	}
}

func TestLinesThatCannotBeReadAreToldInEveryMode(t *testing.T) {
	t.Parallel()
	var digests []uint64
	for _, mode := range unmappedModes {
		s := schemaAs(t, mode, Options{})
		split, sp := mustSplit(t, s, false)
		at := slices.IndexFunc(split.Lists, func(l List) bool { return l.Coupa == "tax-lines" })
		plan, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		e := plan.Encoder()
		for row, want := range map[string]bool{
			`{"id":1,"tax-lines":[{"id":7},"x"]}`: true, `{"id":1,"tax_lines":5,"x":1}`: true, `{"id":1,"x":1,"supplier":{"tax-lines":1}}`: false, `{"id":1,"tax-lines":[]}`: false,
		} {
			value, err := e.Append(nil, []byte(row))
			if err == nil {
				err = sp.Split(1, value)
			}
			if sp.NoteLeftOut(e); err != nil || sp.Unread(at) != want {
				t.Errorf("%s, %s: unread %t %v, want %t", mode, row, sp.Unread(at), err, want)
			}
		}
		// a line is the same whether it has a map or a text
		got := digestsOf(t, s, `{"id":1,"tax-lines":[{"id":7,"novel":{"b":1,"a":[2]},"other":"x"}],"odd":5}`)
		if digests == nil {
			digests = got
		}
		if slices.Equal(got, digests) != (mode != UnmappedOff) {
			t.Errorf("%s: digests %x, as a map %x", mode, got, digests)
		}
	}
}

// A topic that has records stays as it is: widened, a schema keeps the registered form, or gets none.
func TestWideningKeepsTheRegisteredForm(t *testing.T) {
	t.Parallel()
	for _, registered := range unmappedModes {
		for _, next := range unmappedModes {
			s, err := schemaAs(t, next, Options{}).Widen(schemaAs(t, registered, Options{}).JSON())
			if err != nil {
				t.Fatal(err)
			}
			plan, err := s.Plan()
			if err != nil {
				t.Fatal(err)
			}
			want := map[UnmappedMode]string{UnmappedMap: `{"id":1,"unmapped":{"x":1}}`, UnmappedJSON: `{"id":1,"unmapped":"{\"x\":1}"}`, UnmappedOff: `{"id":1}`}
			as := registered
			if registered == UnmappedOff || next == UnmappedOff {
				as = next
			}
			if got, err := plan.AppendJSON(nil, encoded(t, s, `{"id":1,"x":1}`)); err != nil || string(got) != want[as] {
				t.Errorf("%s behind %s: %s %v, want %s", next, registered, got, err, want[as])
			}
		}
	}
}
