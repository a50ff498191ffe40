package coupa

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestARowIsMarkedByARequestOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		path   string
		answer *http.Response
		line   string // of the request
		kind   Kind
		says   string // "": it succeeds
	}{
		"by the flag":            {"invoices", answer(200, `{"id":7,"exported":true}`), "PUT /api/invoices/7?exported=true&fields=%5B%22id%22%2C%22exported%22%5D", 0, ""},
		"by an action":           {"coupa_pay/payments", answer(200, `{"id":7}`), "PUT /api/coupa_pay/payments/7/export?fields=%5B%22id%22%2C%22exported%22%5D", 0, ""},
		"an answer without body": {"invoices", answer(204, ""), "", 0, ""},
		"created":                {"invoices", answer(201, `{"id":7,"exported":true}`), "", 0, ""},
		"not marked":             {"invoices", answer(200, `{"id":7,"exported":false}`), "", Broken, "the row is not marked"},
		"a page":                 {"invoices", answer(200, `[`), "", Retry, "something else than the row"},
		"rights to read alone":   {"invoices", answer(403, `{"error":"forbidden"}`), "", Scope, "scope core.invoice.write is missing; grant core.invoice.write at "},
		"a firewall":             {"invoices", answer(403, `<html>no</html>`, "Content-Type", "text/html"), "", Retry, "something before Coupa's API"},
		"a row that is not good": {"invoices", answer(400, `{"errors":{"base":["Tax is required"]}}`), "", Misconfigured, "Tax is required; see in Coupa why the row can't be saved"},
		"a row that is gone":     {"invoices", answer(404, `{"error":"not found"}`), "", Misconfigured, "not found"},
		"too many requests":      {"invoices", answer(429, ``, "Retry-After", "3"), "", Throttled, "429"},
		"an object without flag": {"suppliers", nil, "", Misconfigured, "no operation"},
		"one that has none":      {"payables/orders", nil, "", Misconfigured, "no operation"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var line, body string
				f := &fake{api: func(_ int, r *http.Request) *http.Response {
					line = r.Method + " " + r.URL.RequestURI()
					if r.Body != nil {
						body = "a body"
					}
					return k.answer
				}}
				err := newClient(t, f).MarkExported(t.Context(), k.path, 7)
				switch {
				case k.says == "" && err != nil, k.says != "" && (err == nil || KindOf(err) != k.kind || !strings.Contains(err.Error(), k.says)):
					t.Errorf("%v (%v), want %v with %q", err, KindOf(err), k.kind, k.says)
				case k.line != "" && line != k.line || body != "":
					t.Errorf("%s with %q, want %s", line, body, k.line)
				case k.answer == nil && f.calls > 0:
					t.Error("Coupa was asked")
				}
			})
		})
	}
}

// What the catalogue says of flags is complete: each has a way to set it, or none, and scopes to write by.
func TestFlagsOfTheCatalogueCanBeSetOrNot(t *testing.T) {
	t.Parallel()
	ways := map[Export]int{}
	for _, r := range Resources() {
		ways[r.Export]++
		if (r.Export == ExportFlag || r.Export == ExportAction) && !r.Exported || r.Exported && !r.UpdatedAt || r.Exported && r.Parent != "" {
			t.Errorf("%s: exported %v, by %q", r.Path, r.Exported, r.Export)
		}
	}
	if len(ways) != 3 || ways[ExportAction] != 1 || ways[ExportFlag] != 15 {
		t.Errorf("ways to set the flag: %v", ways)
	}
	if got := strings.Join(WriteScopes([]string{"invoices", "purchase_orders"}), " "); got != "core.invoice.write core.purchase_order.write" {
		t.Errorf("scopes to write: %s", got)
	}
}
