package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// instance is a Coupa instance in process: it grants some scopes and answers with one row or a status.
type instance struct {
	granted  []string
	secret   string
	statuses map[string]int // by resource path; 200 when not there
}

func (i instance) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", "Mon, 23 Nov 2026 12:00:00 GMT")
	if r.URL.Path == "/oauth2/token" {
		i.token(w, r)
	} else {
		i.row(w, r)
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

func (i instance) token(w *httptest.ResponseRecorder, r *http.Request) {
	asked := strings.Fields(r.FormValue("scope"))
	refuse := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
	}
	switch {
	case r.FormValue("client_secret") != i.secret:
		refuse("invalid_client")
	case slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(i.granted, s) }):
		refuse("invalid_scope")
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "t", "token_type": "bearer", "expires_in": 86399, "scope": r.FormValue("scope")})
	}
}

func (i instance) row(w *httptest.ResponseRecorder, r *http.Request) {
	if status := i.statuses[strings.TrimPrefix(r.URL.Path, "/api/")]; status != 0 {
		w.WriteHeader(status)
		return
	}
	if r.URL.Query().Get("id[gt]") < "7" {
		_, _ = w.WriteString(`[{"id": 7}]`)
		return
	}
	_, _ = w.WriteString(`[]`)
}

func TestOnlineValidationReadsOneRowOfEveryObject(t *testing.T) {
	both := []string{"core.invoice.read", "core.supplier.read"}
	for _, test := range []struct {
		name   string
		coupa  instance
		status int
		stdout string
		stderr []string // parts of the error, in order; nothing else may be named
		absent string
	}{
		{"everything is granted", instance{both, "s3cret", nil}, 0, "acme.yaml: ok\n", nil, "suppliers:"},
		{"the token is refused for one scope", instance{both[:1], "s3cret", nil}, 2, "",
			[]string{"acme.yaml: suppliers: ", "core.supplier.read"}, "invoices:"},
		{"a row is refused", instance{both, "s3cret", map[string]int{"invoices": 403}}, 2, "",
			[]string{"acme.yaml: invoices: ", "core.invoice.read"}, "suppliers:"},
		{"the secret is wrong", instance{both, "another", nil}, 2, "",
			[]string{"acme.yaml: getting a token: ", "coupa.client.secret"}, "suppliers:"},
		{"Coupa has trouble of its own", instance{both, "s3cret", map[string]int{"invoices": 502}}, 1, "",
			[]string{"acme.yaml: invoices: ", "502"}, "suppliers:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir("testdata")
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				a := &app{env: environment, stdout: &stdout, stderr: &stderr, transport: test.coupa, logLevel: "error"}
				status := a.execute(t.Context(), []string{"validate", "--log-level", "error", "--online", "acme.yaml"})
				if status != test.status || stdout.String() != test.stdout {
					t.Errorf("status %d, stdout %q; want %d, %q", status, &stdout, test.status, test.stdout)
				}
				rest := stderr.String()
				for _, part := range test.stderr {
					_, after, found := strings.Cut(rest, part)
					if !found {
						t.Errorf("no %q in %s", part, &stderr)
					}
					rest = after
				}
				if strings.Contains(stderr.String(), test.absent) || strings.Contains(stderr.String(), "s3cret") {
					t.Errorf("too much is said: %s", &stderr)
				}
			})
		})
	}
}

func TestOnlineValidationTriesTheLongestRequestLine(t *testing.T) {
	for _, test := range []struct {
		name    string
		globals int
		most    int
		status  int
		said    []string
	}{
		{"it fits", 0, 8190, 0, []string{"tried the longest request line", "object=invoices", "bytes=", "requests=1"}},
		{"custom fields make it too long", 60, 8190, 0, []string{"several requests", "object=invoices", "requests=2", "custom.fields = off"}},
		{"a gateway takes less", 0, 6000, 0, []string{"several requests", "object=invoices", "requests=2"}},
		{"a gateway takes next to nothing", 0, 2000, 2, []string{"acme.yaml: invoices: the longest request line: ", "414", "bytes", "leave-out or choose"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir("testdata")
			synctest.Test(t, func(t *testing.T) {
				tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 5, Objects: []string{"invoices", "suppliers"}, MaxLine: test.most})
				for i := range test.globals {
					tenant.SetMember("invoices", 5, fmt.Sprintf("legacy-cost-center-%d", i), `"x"`)
				}
				var stdout, stderr bytes.Buffer
				a := &app{env: environment, stdout: &stdout, stderr: &stderr, transport: tenant.Transport()}
				status := a.execute(t.Context(), []string{"validate", "--online", "acme.yaml"})
				if status != test.status || (status == 0) != (stdout.String() == "acme.yaml: ok\n") {
					t.Errorf("status %d, want %d; %s%s", status, test.status, &stdout, &stderr)
				}
				for _, part := range test.said {
					if !strings.Contains(stderr.String(), part) {
						t.Errorf("no %q in %s", part, &stderr)
					}
				}
				for _, r := range tenant.Requests() {
					if r.Line > coupa.MaxLine {
						t.Errorf("a line of %d bytes", r.Line)
					}
				}
			})
		})
	}
}
