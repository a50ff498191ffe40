package coupa

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	good := Config{URL: "https://acme.coupahost.com/", ClientID: "id", ClientSecret: "s3cret"}
	tests := []struct {
		name   string
		change func(*Config)
		says   []string // nothing: it is accepted
	}{
		{"an instance", func(*Config) {}, nil},
		{"http to a loopback name", func(c *Config) { c.URL = "http://localhost:8080" }, nil},
		{"http to a loopback address", func(c *Config) { c.URL = "http://[::1]:8080" }, nil},
		{"http to another loopback address", func(c *Config) { c.URL = "http://127.1.2.3" }, nil},
		{"http elsewhere", func(c *Config) { c.URL = "http://acme.coupahost.com" }, []string{"coupa.url", "https://acme.coupahost.com"}},
		{"http to a name that begins like loopback", func(c *Config) { c.URL = "http://localhost.acme.com" }, []string{"coupa.url"}},
		{"no scheme", func(c *Config) { c.URL = "acme.coupahost.com" }, []string{"coupa.url is not an address"}},
		{"another scheme", func(c *Config) { c.URL = "ftp://acme.coupahost.com" }, []string{`"ftp"`}},
		{"credentials in the address", func(c *Config) { c.URL = "https://u:s3cret@acme.coupahost.com" }, []string{"coupa.url holds credentials"}},
		{"a query in the address", func(c *Config) { c.URL = "https://acme.coupahost.com?x=s3cret" }, []string{"coupa.url has more"}},
		{"nothing at all", func(c *Config) { *c = Config{} }, []string{"coupa.url", "coupa.client.id", "coupa.client.secret"}},
		{"scopes with commas", func(c *Config) { c.Scopes = []string{"a,b"} }, []string{"coupa.scope"}},
		{"a token path that is an address", func(c *Config) { c.TokenPath = "https://x/y" }, []string{"coupa.token.path"}},
		{"a negative timeout", func(c *Config) { c.RequestTimeout = -1 }, []string{"coupa.request.timeout.ms"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := New(cfg)
			if (err == nil) != (len(tt.says) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q holds the secret", err)
			}
		})
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	cfg := Config{ClientSecret: "s3cret"}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("m", "secret", cfg.ClientSecret, "config", cfg)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", cfg.ClientSecret)
	encoded, err := json.Marshal(struct {
		S Secret
		M map[string]Secret
	}{cfg.ClientSecret, map[string]Secret{"a": cfg.ClientSecret}})
	if err != nil {
		t.Fatal(err)
	}
	printed := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
		printed += fmt.Sprintf(verb, cfg.ClientSecret) + fmt.Sprintf(verb, cfg) + fmt.Sprintf(verb, &cfg)
	}
	if strings.Contains(printed, "s3cret") || strings.Contains(printed, "733363726574") || !strings.Contains(printed, "[hidden]") {
		t.Errorf("printed %s", printed)
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	want := []string{"invoices", "purchase_orders", "suppliers", "requisitions", "expense_reports", "contracts", "users"}
	var got []string
	for _, r := range Resources() {
		got = append(got, r.Path)
		if len(r.Scopes) == 0 || r.Object == "" || r.Doc == "" || !isResourcePath(r.Path) {
			t.Errorf("%+v is not complete", r)
		}
	}
	if len(got) != 95 || !slices.Equal(got[:len(want)], want) || !slices.IsSorted(got[len(want):]) {
		t.Errorf("got %d: %v, want 95, first %v, then by name", len(got), got, want)
	}
	for _, path := range []string{"currencies", "budget_line_adjustments"} {
		if r, ok := LookupResource(path); !ok || r.UpdatedAt {
			t.Errorf("%s: %+v, want one without updated-at", path, r)
		}
	}
	for _, r := range Resources() {
		parent, ok := LookupResource(r.Parent)
		if name, below := strings.CutPrefix(r.Path, r.Parent+"/"); r.Parent != "" {
			named := slices.ContainsFunc(parent.Below, func(b Below) bool { return b.Name == name && b.In == r.Path && b.Object == r.Object })
			if !ok || !below || !named || r.UpdatedAt || !slices.Equal(r.Scopes, parent.Scopes) {
				t.Errorf("%+v does not go with its parent %+v", r, parent)
			}
		}
	}
	if r, ok := LookupResource("purchase_orders"); !ok || r.Object != "OrderHeader" || r.Lines != "order_lines" {
		t.Errorf("got %+v", r)
	}
	if r, _ := LookupResource("users"); r.Lines != "" {
		t.Errorf("users have lines: %+v", r)
	}
	if _, ok := LookupResource("nothing"); ok {
		t.Error("found nothing")
	}
	if got := Scopes([]string{"users", "invoices", "users", "nothing"}); !slices.Equal(got, []string{"core.invoice.read", "core.user.read"}) {
		t.Errorf("got %v", got)
	}
}
