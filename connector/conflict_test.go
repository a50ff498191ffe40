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
