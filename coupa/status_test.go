package coupa

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswersAreClassedByRemedy(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 500)
	tests := []struct {
		name   string
		path   string
		answer *http.Response
		kind   Kind
		pause  time.Duration
		says   []string
	}{
		{"too many requests", "invoices", answer(429, `{"a":1}`), Throttled, 0, []string{"reading invoices: 429 Too Many Requests"}},
		{"a pause in seconds", "invoices", answer(429, ``, "Retry-After", "17"), Throttled, 17 * time.Second, nil},
		{"a pause until a time", "invoices", answer(503, ``, "Retry-After", "Mon, 01 Apr 2024 00:02:00 GMT", "Date", afterApril), Throttled, 2 * time.Minute, nil},
		{"a pause until a time that is past", "invoices", answer(503, ``, "Retry-After", "Sun, 31 Mar 2024 00:02:00 GMT", "Date", afterApril), Throttled, 0, nil},
		{"a pause of days", "invoices", answer(503, ``, "Retry-After", "900000"), Throttled, time.Hour, nil},
		{"a pause that is no time", "invoices", answer(503, ``, "Retry-After", "soon"), Throttled, 0, nil},
		{"maintenance in HTML", "invoices", answer(503, `<html>`, "Content-Type", "text/html"), Throttled, 0, []string{"503"}},
		{"a web page instead of JSON", "invoices", answer(200, `<html>private`, "Content-Type", "text/html; charset=utf-8"), Retry, 0, []string{"web page", "maintenance"}},
		{"a web page that says it is JSON", "invoices", answer(200, "\n<!DOCTYPE html>private"), Retry, 0, []string{"web page", "maintenance"}},
		{"a text instead of JSON", "invoices", answer(200, `private`, "Content-Type", "text/plain"), Retry, 0, []string{"maintenance"}},
		{"a server error", "invoices", answer(500, ``), Retry, 0, []string{"500 Internal Server Error"}},
		{"a gateway timeout", "invoices", answer(504, ``), Retry, 0, []string{"504"}},
		{"an unnamed server error", "invoices", answer(599, ``), Retry, 0, []string{"reading invoices: 599"}},
		{"a request timeout", "invoices", answer(408, ``), Retry, 0, nil},
		{"a missing scope", "suppliers", answer(403, `private`), Scope, 0, []string{"core.supplier.read", "suppliers", "https://acme.coupahost.com/oauth2/clients", "coupa.objects"}},
		{"a missing scope of a resource that is not in the catalogue", "uoms", answer(403, ``), Scope, 0, []string{"uoms", "/oauth2/clients"}},
		{"a refused query", "invoices", answer(400, `{"errors":{"invoice_header":["Unknown attribute: foo","is bad\u0007\n"],"base":"second"}}`), Misconfigured, 0,
			[]string{"400 Bad Request: Coupa says: base: second; invoice_header: Unknown attribute: foo; invoice_header: is bad;"}},
		{"a refused query in one sentence", "invoices", answer(400, `{"error":"bad filter"}`), Misconfigured, 0, []string{"Coupa says: bad filter"}},
		{"a long message", "invoices", answer(400, `{"errors":["`+long+`"]}`), Misconfigured, 0, []string{"Coupa says: " + long[:300] + "…"}},
		{"a refusal in another form", "invoices", answer(400, `<html>private`), Misconfigured, 0, []string{"400 Bad Request; see whether"}},
		{"an unknown collection", "invoices", answer(404, ``), Misconfigured, 0, []string{"coupa.url", "/api/invoices"}},
		{"a refused type", "invoices", answer(406, ``), Misconfigured, 0, []string{"406"}},
		{"a firewall's page", "invoices", answer(403, `<html>private`, "Content-Type", "text/html"), Retry, 0, []string{"403 Forbidden: something before Coupa's API answered in its place", "allow list"}},
		{"a gateway's page instead of a collection", "invoices", answer(404, `<html>private`, "Content-Type", "text/html"), Retry, 0, []string{"404", "gateway"}},
		{"a gateway's text instead of a collection", "invoices", answer(404, "private", "Content-Type", "text/plain; charset=utf-8"), Retry, 0, []string{"404", "gateway"}},
		{"a gateway's page for a bad request", "invoices", answer(400, `<html>private`, "Content-Type", "text/html"), Retry, 0, []string{"400", "gateway"}},
		{"a missing scope in text", "suppliers", answer(403, `private`, "Content-Type", "text/plain"), Scope, 0, []string{"core.supplier.read"}},
		{"a missing scope with nothing but its type", "suppliers", answer(403, ``, "Content-Type", "text/html"), Scope, 0, []string{"core.supplier.read"}},
		{"an unknown collection with nothing but its type", "invoices", answer(404, "\n", "Content-Type", "text/html"), Misconfigured, 0, []string{"/api/invoices"}},
		{"a page that is gone", "invoices", answer(410, `<html>private`, "Content-Type", "application/xhtml+xml"), Retry, 0, nil},
		{"a refused query behind a byte order mark", "invoices", answer(400, "\ufeff"+`{"error":"bad filter"}`), Misconfigured, 0, []string{"Coupa says: bad filter"}},
		{"a refused query in text", "invoices", answer(400, `{"error":"bad filter"}`, "Content-Type", "text/plain"), Misconfigured, 0, []string{"Coupa says: bad filter"}},
		{"a line that is too long", "invoices", answer(414, `<html>private`, "Content-Type", "text/html"), Misconfigured, 0, []string{"414"}},
		{"a status without rows", "invoices", answer(204, ``), Broken, 0, []string{"204"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, &fake{api: func(int, *http.Request) *http.Response { return tt.answer }})
				_, _, err := collect(t.Context(), c, Query{Path: tt.path, Fields: `["secretfield"]`})
				var e *Error
				if !errors.As(err, &e) || e.Kind != tt.kind || e.RetryAfter != tt.pause {
					t.Fatalf("got %v (%+v), want kind %v and pause %s", err, e, tt.kind, tt.pause)
				}
				for _, part := range tt.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
				for _, part := range []string{"private", "s3cret", "token-1", "secretfield", "\n", "\a"} {
					if strings.Contains(err.Error(), part) {
						t.Errorf("%q holds %q", err, part)
					}
				}
				if e.Temporary() != (tt.kind == Retry || tt.kind == Throttled) {
					t.Errorf("Temporary is %t", e.Temporary())
				}
			})
		})
	}
}

func TestThrottlingSlowsTheSharedLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.api = func(n int, _ *http.Request) *http.Response {
			return answer([]int{200, 429, 503, 500, 200}[n-1], `[]`)
		}
		limiter := NewLimiter(16)
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: f, Limiter: limiter})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []float64{16, 8, 4, 4, 4.8} {
			_, _, _ = collect(t.Context(), c, Query{Path: "invoices"})
			if got := c.Stats().Rate; got != want {
				t.Errorf("after answer %d the rate is %v, want %v", i+1, got, want)
			}
			pass(time.Second)
		}
		if s := c.Stats(); s.Throttled != 2 || s.ByClass != [6]uint64{0, 0, 2, 0, 1, 2} {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	wrapped := errors.Join(errors.New("a"), &Error{Op: "b", Kind: Scope})
	if KindOf(wrapped) != Scope || KindOf(errors.New("unknown")) != Retry {
		t.Errorf("got %v and %v", KindOf(wrapped), KindOf(errors.New("unknown")))
	}
	for k := Retry; k <= Broken; k++ {
		if strings.HasPrefix(k.String(), "kind") {
			t.Errorf("kind %d has no name", k)
		}
	}
	if Kind(99).String() != "kind 99" {
		t.Errorf("got %q", Kind(99))
	}
}
