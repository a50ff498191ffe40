package schemas

import (
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/custom"
)

func TestTheTenantStandsFirstInRowsAndBehindTheParentInLines(t *testing.T) {
	t.Parallel()
	row := `{"invoice-lines":[{"description":"x","id":7}],"invoice-number":"a","id":1}`
	for _, o := range []Options{{TenantField: "tenant"}, {TenantField: "tenant", Envelope: true, Unmapped: UnmappedOff}} {
		s, err := For("invoices", o)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(s.Fields(), "tenant") {
			t.Errorf("Coupa is asked for it: %s", s.Fields())
		}
		plan, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		split, sp := mustSplit(t, s, false)
		line, err := split.Lists[0].Schema.Plan()
		if err != nil {
			t.Fatal(err)
		}
		rest, err := split.Row.Plan()
		if err != nil {
			t.Fatal(err)
		}
		var digests []uint64
		for tenant, field := range map[string]string{"acme\"": `"tenant":"acme\"",`, "": ""} {
			e := plan.Encoder()
			e.Tenant = tenant
			value, err := e.Append(nil, []byte(row))
			if err == nil {
				err = sp.Split(1, value)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := plan.AppendJSON(nil, value)
			if want := `{` + field + `"id":1,"invoice_number":"a","invoice_lines":[{"id":7,"description":"x"}]}`; err != nil || string(got) != want {
				t.Errorf("%s %v, want %s", got, err, want)
			}
			got, err = line.AppendJSON(nil, sp.Lines()[0].Value)
			if want := `{"parent_id":1,` + field + `"id":7,"description":"x"}`; err != nil || string(got) != want {
				t.Errorf("line %s %v, want %s", got, err, want)
			}
			if got, err = rest.AppendJSON(nil, sp.Row()); err != nil || string(got) != `{`+field+`"id":1,"invoice_number":"a"}` {
				t.Errorf("row without lines %s %v", got, err)
			}
			digests = append(digests, sp.Digest(), sp.Lines()[0].Digest)
		}
		if plain := digestsOf(t, customSchema(t, nil), row); !slices.Equal(digests[:2], digests[2:]) || !slices.Contains(plain, digests[1]) {
			t.Errorf("digests %x, without the field %x", digests, plain)
		}
		for _, list := range split.Lists { // what was registered for lines, with the field and without
			if _, err := s.WidenLines(list, list.Schema.JSON()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTheTenantTakesNoFieldsName(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]bool{"invoice_number": true, "unmapped": true, "custom_fields": true, "tenant": false} {
		if _, err := For("invoices", Options{TenantField: name}); (err != nil) != taken {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := For("invoices", Options{TenantField: "description"})
	if err == nil {
		_, err = s.Split(true)
	}
	if err == nil || !strings.Contains(err.Error(), "a field description already") {
		t.Errorf("%v of a name that lines have", err)
	}
	// a customer's field yields
	d := newDiscovery(t)
	if err := d.Observe([]byte(`{"id":1,"tenant":"x","custom-fields":{"a":"b"}}`)); err != nil {
		t.Fatal(err)
	}
	if len(d.Globals()) == 0 {
		t.Fatal("tenant is no custom field of the global namespace, so that nothing was shown")
	}
	if s, err = For("invoices", Options{TenantField: "tenant", Custom: d.Fields()}); err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Encoder()
	e.Tenant = "acme"
	value, err := e.Append(nil, []byte(`{"id":1,"tenant":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := plan.AppendJSON(nil, value); err != nil || !strings.HasPrefix(string(got), `{"tenant":"acme","id":1,`) || !strings.Contains(string(got), `:"x"`) {
		t.Errorf("%s %v", got, err)
	}
	if fields, _, err := custom.FromSchema(s.JSON()); err != nil || fields.Hash() != d.Fields().Hash() {
		t.Errorf("custom fields are read back as %v, %v", fields, err)
	}
}
