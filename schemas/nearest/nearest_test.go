package nearest

import (
	"strings"
	"testing"
)

func TestTheNearestTakesTheFewestEdits(t *testing.T) {
	const keys, fields = "-_.", "-_"
	known := []string{"coupa.client.id", "coupa.client.secret", "custom-fields", "invoice_lines", "invoices"}
	for name, want := range map[string]string{
		"coupa.cliend.id": "coupa.client.id", "COUPA_CLIENT_SECRET": "coupa.client.secret", "custom_fields": "custom-fields", "invoice-line": "invoice_lines", "Invoice": "invoices",
		"coupa.client.secret" + strings.Repeat("\xff", 100): "coupa.client.secret", "invioces": "invoices",
		strings.Repeat("x", 1<<20): "", "vendor": "", "client": "", "coupa": "",
	} {
		if got := Of(name, known, keys); got != want {
			t.Errorf("%.40s: %s, want %s", name, got, want)
		}
	}
	// a dot parts the steps of a path
	for alike, want := range map[string]string{keys: "supplier-note", fields: "supplier.name"} {
		if got := Of("supplier.nmae", []string{"supplier-note", "supplier.name"}, alike); got != want {
			t.Errorf("with %s alike: %s, want %s", alike, got, want)
		}
	}
	if got := Of("x", nil, keys); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
