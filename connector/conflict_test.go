package connector

import (
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
)

// refuses makes the registry refuse schemas of invoices that do not hold one of the texts.
func (h *harness) refuses(unless ...string) {
	h.registry.set(func(r *memoryRegistry) {
		r.refuse = func(schema string) bool {
			for _, text := range unless {
				if strings.Contains(schema, text) {
					return false
				}
			}
			return strings.Contains(schema, `"InvoiceHeader"`)
		}
	})
}

func (h *harness) accepts() { h.registry.set(func(r *memoryRegistry) { r.refuse = nil }) }

func TestASchemaThatTheRegistryRefusesStopsItsObjectAlone(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 71, Rows: 40}, func(h *harness) {
		h.refuses()
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, `subject "coupa.invoices-value"`) {
			t.Errorf("invoices: %s %q", s.State, s.Trace)
		}
		h.check("suppliers")
		h.accepts()
		h.pass(20 * time.Minute)
		h.check("invoices")
	})
}

// With schema.conflict=deadletter rows go to the dead letter
// topic until the registry takes the schema, each once.
func TestRowsOfARefusedSchemaAreDeadLettersUntilItIsTaken(t *testing.T) {
	longRaced(t)
	simulate(t, coupatest.Config{Seed: 72, Rows: 40, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["schema.conflict"], h.keys["errors.deadletterqueue.topic.name"] = "deadletter", "coupa.dead"
		h.refuses()
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.DeadLetters != 40 || s.Published != 0 {
			t.Errorf("%s %q, %d dead letters, %d published", s.State, s.Trace, s.DeadLetters, s.Published)
		}
		h.stop()
		h.state = t.TempDir()
		h.start()
		h.tenant.Update("invoices", 5)
		h.pass(5 * time.Minute)
		dead := h.records("coupa.dead")
		if len(dead) != 41 || dead[0].headers[record.HeaderErrorException] != "schemas.RegistryError" {
			t.Fatalf("%d dead letters, want 40 rows and a change", len(dead))
		}
		if n := strings.Count(h.log.String(), "rows go to the dead letter topic until"); n < 2 || n > 20 {
			t.Errorf("the log told of it %d times", n)
		}
		h.accepts()
		h.pass(2 * time.Minute)
		for _, row := range h.tenant.Rows("invoices") {
			h.tenant.Update("invoices", row.ID)
		}
		h.settle()
		h.check("invoices")
		if n := len(h.records("coupa.invoices")); n != 40 {
			t.Errorf("%d records, want a change of each of the 40 rows", n)
		}
	})
}

// With schema.conflict=widen rows go on under a schema that has the last version's types besides.
func TestARefusedSchemaIsWidenedByTheLastVersion(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 73, Rows: 40}, func(h *harness) {
		h.keys["schema.conflict"], h.keys["custom.fields"] = "widen", "map"
		other, err := schemas.For("invoices", schemas.Options{Decimals: schemas.DecimalString})
		if err != nil {
			t.Fatal(err)
		}
		h.registry.id("coupa.invoices-value", other.JSON())
		h.refuses(`"coupa.branch":2`)
		r := h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || s.Published != 40 {
			t.Fatalf("%s %q, %d published", s.State, s.Trace, s.Published)
		}
		for _, rec := range h.records("coupa.invoices") {
			if !strings.Contains(h.schemaOf(rec), `"coupa.branch":2`) {
				t.Fatal("a record's schema is not the widened one")
			}
		}
		h.refuses()
		h.stop()
		h.state = t.TempDir()
		r = h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "is refused too") {
			t.Errorf("with a registry that refuses everything: %s %q", s.State, s.Trace)
		}
	})
}

// A change that the registry lets through, and that readers of the topic would get wrong values by, is
// a conflict: nothing is registered or published, until it is taken back or the topic is another one.
func TestAVersionThatReadersWouldBendIsAConflict(t *testing.T) {
	retyped := func(scale string) string {
		return `objects: {invoices: {fields: {gross-total: {retype: "decimal(20,` + scale + `)"}}}}`
	}
	masked := func(field string) string { return "objects: {invoices: {fields: {" + field + "}}}" }
	for name, c := range map[string]struct {
		key, was, is string
		says         string
	}{
		"decimal.handling.mode": {"object.invoices.decimal.handling.mode", "precise", "string", "gross_total was decimal(38,9), is string"},
		"retype":                {"mapping", retyped("2"), retyped("4"), "gross_total was decimal(20,2), is decimal(20,4)"},
		"hash":                  {"mapping", masked(`internal-note: {mask: "***"}`), masked("internal-note: {hash: true}"), "internal-note was hidden by mask:"},
		"mask":                  {"mapping", masked("invoice-number: {hash: true}"), masked(`invoice-number: {hash: true}, internal-note: {mask: "***"}`), "internal-note was shown as Coupa sends it, is hidden by mask:"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 75, Rows: 10}, func(h *harness) {
				h.keys["custom.fields"], h.keys["mapping.hash.key"] = "map", "0123456789abcdef"
				h.keys["object.invoices.schema.namespace"] = "coupa.invoices"
				if c.key != "mapping" {
					delete(h.keys, "mapping.hash.key")
				}
				h.keys[c.key] = c.was
				h.start()
				h.settle()
				h.stop()
				versions, records := len(h.registry.versionsOf("coupa.invoices-value")), len(h.records("coupa.invoices"))
				h.keys[c.key] = c.is
				r := h.start()
				h.tenant.Update("invoices", 5)
				h.settle()
				s := r.Connectors()[0].Tasks[0]
				if s.State != status.Failed || !strings.Contains(s.Trace, c.says) || len(s.Errors) == 0 || !strings.Contains(s.Errors[0].Remedy, "new topic") {
					t.Errorf("%s %q, %+v, want FAILED for %q and the remedy", s.State, s.Trace, s.Errors, c.says)
				}
				if v, n := len(h.registry.versionsOf("coupa.invoices-value")), len(h.records("coupa.invoices")); v != versions || n != records {
					t.Errorf("%d versions and %d records more", v-versions, n-records)
				}
				h.stop()
				h.keys["topic.template"] = "other.${object}"
				r = h.start()
				h.settle()
				if s := r.Connectors()[0].Tasks[0]; s.State != status.Running {
					t.Errorf("with a new topic: %s %q", s.State, s.Trace)
				}
			})
		})
	}
}

// With schema.conflict=deadletter rows that readers would bend are dead
// letters, with the reason, until the subject has another last version.
func TestRowsThatReadersWouldBendAreDeadLetters(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 77, Rows: 10, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["schema.conflict"], h.keys["errors.deadletterqueue.topic.name"], h.keys["custom.fields"] = "deadletter", "coupa.dead", "map"
		var versions [2]string
		for i, mode := range []schemas.DecimalMode{schemas.DecimalString, schemas.DecimalPrecise} {
			s, err := schemas.For("invoices", schemas.Options{Decimals: mode})
			if err != nil {
				t.Fatal(err)
			}
			versions[i] = s.JSON()
		}
		h.registry.id("coupa.invoices-value", versions[0])
		r := h.start()
		h.settle()
		dead := h.records("coupa.dead")
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || len(dead) != 10 || s.Published != 0 {
			t.Fatalf("%s %q, %d dead letters, %d published", s.State, s.Trace, len(dead), s.Published)
		}
		if why := dead[0].headers[record.HeaderErrorMessage]; !strings.Contains(why, "gross_total was string, is decimal(38,9)") {
			t.Errorf("a letter says %q", why)
		}
		h.registry.id("coupa.invoices-value", versions[1])
		h.pass(2 * time.Minute)
		for _, row := range h.tenant.Rows("invoices") {
			h.tenant.Update("invoices", row.ID)
		}
		h.settle()
		h.check("invoices")
	})
}

// With schema.conflict=widen a union has both sides where Avro
// has one; elsewhere the object stops, and says why.
func TestADifferenceThatReadersBendIsWidenedWhereAvroAllowsIt(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 76, Rows: 10}, func(h *harness) {
		h.keys["schema.conflict"], h.keys["custom.fields"] = "widen", "map"
		h.start()
		h.settle()
		h.stop()
		h.keys["decimal.handling.mode"] = "string"
		r := h.start()
		h.tenant.Update("invoices", 5)
		h.settle()
		unions := 0
		for _, rec := range h.records("coupa.invoices") {
			if strings.Contains(h.schemaOf(rec), `"scale":6},"string"]`) {
				unions++
			}
		}
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Running || unions != 1 {
			t.Fatalf("%s %q, %d records with unions of decimal and string, want that of the change", s.State, s.Trace, unions)
		}
		h.stop()
		delete(h.keys, "decimal.handling.mode")
		h.keys["mapping"] = `objects: {invoices: {fields: {gross-total: {retype: "decimal(20,4)"}}}}`
		r = h.start()
		h.settle()
		if s := r.Connectors()[0].Tasks[0]; s.State != status.Failed || !strings.Contains(s.Trace, "widen can't help: no union tells values of both from each other (gross_total was") {
			t.Errorf("%s %q", s.State, s.Trace)
		}
	})
}
