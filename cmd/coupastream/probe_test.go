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

// withoutWorker is what a connector's file alone leaves untried.
const withoutWorker = "not tried  brokers, topics, registry, state.dir: no worker's file is given\n"

func TestOnlineValidationReadsOneRowOfEveryObject(t *testing.T) {
	both := []string{"core.invoice.read", "core.supplier.read"}
	const token = "ok         Coupa acme: token: granted for core.invoice.read core.supplier.read\n"
	for _, test := range []struct {
		name   string
		coupa  instance
		status int
		ok     []string // lines
		wrong  []string // parts of the one line that is not ok, in order
		stderr string
	}{
		{"everything is granted", instance{both, "s3cret", nil}, 0,
			[]string{token, "ok         Coupa acme: invoices: read one row, id 7\n", "ok         Coupa acme: suppliers: longest request line: ", "acme.yaml: ok\n"}, nil, ""},
		{"the token is refused for one scope", instance{both[:1], "s3cret", nil}, 2,
			[]string{"ok         Coupa acme: invoices: read one row, id 7\n"}, []string{"Coupa acme: suppliers: ", "core.supplier.read"}, "coupastream: 1 of 3 things that were tried are not ok\n"},
		{"a row is refused", instance{both, "s3cret", map[string]int{"invoices": 403}}, 2,
			[]string{token, "ok         Coupa acme: suppliers: read one row, id 7\n"}, []string{"Coupa acme: invoices: ", "core.invoice.read"}, "coupastream: 1 of 4 things that were tried are not ok\n"},
		{"the secret is wrong", instance{both, "another", nil}, 2,
			nil, []string{"Coupa acme: token: getting a token: ", "coupa.client.secret"}, "coupastream: 1 of 1 things that were tried are not ok\n"},
		{"Coupa has trouble of its own", instance{both, "s3cret", map[string]int{"invoices": 502}}, 1,
			[]string{token, "ok         Coupa acme: suppliers: read one row, id 7\n"}, []string{"Coupa acme: invoices: ", "502"}, "coupastream: 1 of 4 things that were tried are not ok\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir("testdata")
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				a := &app{env: environment, stdout: &stdout, stderr: &stderr, transport: test.coupa, logLevel: "error"}
				status := a.execute(t.Context(), []string{"validate", "--log-level", "error", "--online", "acme.yaml"})
				if status != test.status || stderr.String() != test.stderr {
					t.Errorf("status %d, stderr %q; want %d, %q", status, &stderr, test.status, test.stderr)
				}
				for _, line := range append(test.ok, withoutWorker) {
					if !strings.Contains(stdout.String(), line) {
						t.Errorf("no %q in %s", line, &stdout)
					}
				}
				_, rest, found := strings.Cut(stdout.String(), "not ok     ")
				if found != (test.wrong != nil) || strings.Contains(rest, "not ok  ") || found == strings.Contains(stdout.String(), "acme.yaml: ok") {
					t.Errorf("stdout %s", &stdout)
				}
				rest, _, _ = strings.Cut(rest, "\n")
				for _, part := range test.wrong {
					if _, rest, found = strings.Cut(rest, part); !found {
						t.Errorf("no %q in %s", part, &stdout)
					}
				}
				if strings.Contains(stdout.String(), "s3cret") {
					t.Errorf("a secret is told: %s", &stdout)
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
		{"it fits", 0, 8190, 0, []string{"ok         Coupa acme: invoices: longest request line: ", " bytes\n"}},
		{"custom fields make it too long", 60, 8190, 0, []string{"ok         Coupa acme: invoices: longest request line: ", "takes 2 requests", "custom.fields = off"}},
		{"a gateway takes less", 0, 6000, 0, []string{"ok         Coupa acme: invoices: longest request line: ", "takes 2 requests"}},
		{"a gateway takes next to nothing", 0, 2000, 2, []string{"not ok     Coupa acme: invoices: longest request line: ", "414", "bytes", "leave-out or choose"}},
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
				if status != test.status || (status == 0) != strings.HasSuffix(stdout.String(), "acme.yaml: ok\n") {
					t.Errorf("status %d, want %d; %s%s", status, test.status, &stdout, &stderr)
				}
				for _, part := range test.said {
					if !strings.Contains(stdout.String(), part) {
						t.Errorf("no %q in %s", part, &stdout)
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
