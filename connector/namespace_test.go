package connector

import (
	"strings"
	"testing"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// All records of a tenant's schemas are in its own namespace,
// in lines' topics and envelopes too; keys are not.
func TestRecordsAreInTheNamespaceOfTheirTenant(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 81, Rows: 10, Objects: []string{"invoices"}}, func(h *harness) {
		h.keys["schema.namespace"] = "coupa.t_${tenant}"
		h.keys["lines"], h.keys["envelope"], h.keys["value.subject.name.strategy"] = "both", "debezium", "RecordNameStrategy"
		h.start()
		h.settle()
		for _, topic := range []string{"coupa.invoices", lineTopic} {
			records := h.records(topic)
			if len(records) == 0 {
				t.Fatalf("nothing in %s", topic)
			}
			for _, r := range records {
				text := h.schemaOf(r)
				if strings.Count(text, `"namespace":"coupa`) != strings.Count(text, `"namespace":"coupa.t_acme`) {
					t.Fatalf("%s: %s", topic, text)
				}
			}
		}
		if len(h.registry.versionsOf("coupa.t_acme.invoices.Envelope")) == 0 {
			t.Error("the subject has another namespace")
		}
		key := 0
		for _, text := range h.registry.versionsOf("coupa.invoices-key") {
			if strings.Contains(text, `"name":"Key","namespace":"coupa"`) {
				key++
			}
		}
		if key != 1 {
			t.Errorf("%d schemas of keys in the namespace coupa", key)
		}
	})
}
