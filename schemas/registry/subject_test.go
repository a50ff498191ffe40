package registry_test

import (
	"testing"

	"github.com/coupastream/coupastream/schemas/registry"
)

func TestSubject(t *testing.T) {
	for _, tt := range []struct {
		strategy registry.SubjectStrategy
		key      bool
		want     string
	}{
		{registry.TopicNameStrategy, false, "coupa.invoices-value"},
		{registry.TopicNameStrategy, true, "coupa.invoices-key"},
		{registry.RecordNameStrategy, false, "coupa.InvoiceHeader"},
		{registry.RecordNameStrategy, true, "coupa.InvoiceHeader"},
		{registry.TopicRecordNameStrategy, false, "coupa.invoices-coupa.InvoiceHeader"},
		{"", false, "coupa.invoices-value"},
	} {
		if got := registry.Subject(tt.strategy, "coupa.invoices", "coupa.InvoiceHeader", tt.key); got != tt.want {
			t.Errorf("%s, key %v: %s, want %s", tt.strategy, tt.key, got, tt.want)
		}
	}
}
