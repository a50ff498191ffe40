package connector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
)

// What has no place stands where unmapped says, or is counted; custom fields are learned from it all
// the same, and go on as they were after a restart.
func TestWhatHasNoPlaceIsATextOrCounted(t *testing.T) {
	longRaced(t)
	for name, keys := range map[string]map[string]string{
		"json, in topics": {"unmapped": "json", "tenant.field": "tenant", "lines": config.LinesTopics, "envelope": config.EnvelopeDebezium},
		"off":             {"unmapped": "off", "custom.fields.conflict": "widen"},
		"off, in topics":  {"unmapped": "off", "custom.fields.conflict": "widen", "lines": config.LinesBoth, "envelope": config.EnvelopeDebezium},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, invoices(947, 20), func(h *harness) {
				h.keys["custom.fields"], h.keys["fields"] = "typed", "all"
				maps.Copy(h.keys, keys)
				h.start()
				h.settle()
				h.tenant.SetMember("invoices", 3, "custom-fields", `{"depot":"north"}`)
				h.tenant.SetMember("invoices", 3, "gross-total", `"123456789012345678901234567890123456789012"`)
				h.tenant.Update("invoices", 3)
				h.settle()
				h.stop()
				versions := len(h.registry.versionsOf("coupa.invoices-value"))

				r := h.start()
				h.tenant.Update("invoices", 3)
				h.settle()
				s := r.Connectors()[0].Tasks[0]
				if s.State != status.Running || len(h.registry.versionsOf("coupa.invoices-value")) != versions {
					t.Errorf("%s %q, %d versions, want %d", s.State, s.Trace, len(h.registry.versionsOf("coupa.invoices-value")), versions)
				}
				row := h.shown("coupa.invoices")[3]
				if own, _ := row["custom_fields"].(map[string]any); own["depot"] != "north" || row["gross_total"] != nil {
					t.Errorf("custom fields %v, gross total %v", row["custom_fields"], row["gross_total"])
				}
				if name := keys["tenant.field"]; name != "" {
					shown := slices.AppendSeq([]map[string]any{row}, maps.Values(h.shown(lineTopic)))
					if len(shown) == 1 || slices.ContainsFunc(shown, func(v map[string]any) bool { return v[name] != "acme" }) {
						t.Errorf("%d values, of which one has another tenant", len(shown))
					}
				}
				kept, has := row["unmapped"]
				off := keys["unmapped"] == "off"
				if has == off || !off && !strings.Contains(fmt.Sprint(kept), "901234567890123456789012") {
					t.Errorf("unmapped is %v", kept)
				}
				if _, isText := kept.(string); isText != (keys["unmapped"] == "json") {
					t.Errorf("unmapped is %T", kept)
				}
				records := h.records("coupa.invoices")
				if n := s.LeftOut["InvoiceHeader.gross-total"]; n > 0 != off || off && strings.Contains(h.schemaOf(records[len(records)-1]), `"unmapped"`) {
					t.Errorf("left out %v", s.LeftOut)
				}
				if len(s.Unfit) > 0 && off {
					t.Errorf("values are counted in unmapped: %v", s.Unfit)
				}
			})
		})
	}
}
