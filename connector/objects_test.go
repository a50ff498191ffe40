package connector

import (
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// An object beyond those that are streamed by default needs
// nothing but its name, one whose path has a folder in it too.
func TestAnyObjectOfTheCatalogueIsStreamed(t *testing.T) {
	simulate(t, coupatest.Config{Rows: 120, Objects: []string{"departments", "coupa_pay/payments"}}, func(h *harness) {
		h.keys["fields"] = "schema"
		h.start()
		h.settle()
		h.tenant.Update("departments", h.tenant.Rows("departments")[3].ID)
		h.tenant.Create("coupa_pay/payments")
		h.pass(10 * time.Second)
		h.settle()
		for topic, want := range map[string]int{"coupa.departments": 121, "coupa.coupa_pay_payments": 121} {
			got := h.records(topic)
			if len(got) != want {
				t.Errorf("%s: %d records, want %d", topic, len(got), want)
			}
		}
	})
}
