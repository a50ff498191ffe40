package coupatest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reader{t: t, tenant: New(Config{Rows: 2, ClientID: "id", ClientSecret: "secret", Scopes: []string{"core.invoice.read", "core.user.read"}})}
		ask := func(form string, header map[string]string) (int, string) {
			status, body, _ := r.do(http.MethodPost, "/oauth2/token", header, strings.NewReader(form))
			return status, string(body)
		}
		for _, c := range []struct {
			about, form string
			status      int
			body        string
		}{
			{"a wrong secret", "grant_type=client_credentials&client_id=id&client_secret=no", 401, `{"error":"invalid_client"}`},
			{"a scope that is not granted", "grant_type=client_credentials&client_id=id&client_secret=secret&scope=core.contract.read", 400, `{"error":"invalid_scope"}`},
			{"another grant", "grant_type=password&client_id=id&client_secret=secret", 400, `{"error":"unsupported_grant_type"}`},
		} {
			if status, body := ask(c.form, nil); status != c.status || body != c.body {
				t.Errorf("%s: %d %s", c.about, status, body)
			}
		}
		basic := map[string]string{"Authorization": "Basic aWQ6c2VjcmV0"}
		status, body := ask("grant_type=client_credentials&scope=core.invoice.read", basic)
		if status != 200 || !strings.Contains(body, `"token_type":"bearer","expires_in":86399,"scope":"core.invoice.read"`) {
			t.Errorf("by Basic: %d %s", status, body)
		}
		r.token = r.mint(url.Values{"client_id": {"id"}, "client_secret": {"secret"}, "scope": {"core.invoice.read"}})
		get := func(path string) int {
			status, _, _ := r.do(http.MethodGet, path, nil, nil)
			return status
		}
		if got := get("/api/invoices"); got != 401 {
			t.Errorf("a fresh token: %d", got)
		}
		<-time.After(5 * time.Second)
		if got := get("/api/invoices"); got != 200 {
			t.Errorf("after five seconds: %d", got)
		}
		if got := get("/api/users"); got != 403 {
			t.Errorf("another scope: %d", got)
		}
		<-time.After(24 * time.Hour)
		if got := get("/api/invoices"); got != 401 {
			t.Errorf("a day later: %d", got)
		}
	})
}

func TestTheRateLimitIsALeakyBucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 1, RateLimit: 25})
		burst := func() (ok int) {
			for range 60 {
				status, _, header := r.do(http.MethodGet, "/api/users", nil, nil)
				switch {
				case status == 200:
					ok++
				case status != 429 || header.Get("Retry-After") != "":
					t.Fatalf("%d %v", status, header)
				}
			}
			return ok
		}
		if n := burst(); n != 20 {
			t.Errorf("%d of 60 at once, want 20", n)
		}
		<-time.After(400 * time.Millisecond)
		if n := burst(); n != 10 {
			t.Errorf("%d of 60 after 0.4 s, want 10", n)
		}
	})
}

func TestABucketThatWaitsAnswersLaterBeforeItRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 1, RateLimit: 25, RateWaits: true})
		began := time.Now()
		var mu sync.Mutex
		var wg sync.WaitGroup
		took, refused := map[time.Duration]bool{}, 0
		for range 25 {
			wg.Go(func() {
				status, _, _ := r.do(http.MethodGet, "/api/users", nil, nil)
				mu.Lock()
				defer mu.Unlock()
				if status == 429 {
					refused++
					return
				}
				took[time.Since(began).Round(time.Millisecond)] = true
			})
		}
		wg.Wait()
		if refused != 5 || len(took) != 20 || !took[0] || !took[40*time.Millisecond] || !took[760*time.Millisecond] {
			t.Errorf("%d of 25 at once were refused, and the others took %v; want five, and one each 40 ms", refused, took)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   FaultKind
		status int
		body   string // part of what comes
	}{
		{Throttle429, 429, "Retry later"},
		{Unavailable503, 503, "Service Unavailable"},
		{HTML503, 503, "<html>"},
		{ServerError500, 500, "error"},
		{LoginPage, 200, "Sign in"},
		{RedirectAway, 302, ""},
		{Unauthorized401, 401, "invalid_token"},
		{Forbidden403, 403, "insufficient_scope"},
		{Reset, 0, "reset"},
		{Truncate, 200, "!unexpected EOF"},
		{Hang, 0, "deadline"},
		{HangBody, 200, "!context deadline"},
		{WrongOrder, 200, `[{"id":4},{"id":3}]`},
		{RepeatRow, 200, `[{"id":3},{"id":3},{"id":4}]`},
		{LongPage, 200, `[{"id":3},{"id":4},{"id":5},{"id":6}]`},
		{IgnoreFilter, 200, `[{"id":1},{"id":2}]`},
		{ClockBack, 200, `[{"id":3},{"id":4}]`},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, Config{Rows: 20, PageCap: 3})
				get := func() (int, string, http.Header) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, path("invoices", "id[gt]", "2", "limit", "2", "fields", `["id"]`), nil)
					req.Header.Set("Accept", "application/json")
					req.Header.Set("Authorization", "Bearer "+r.token)
					resp, err := r.tenant.Transport().RoundTrip(req)
					if err != nil {
						return 0, err.Error(), nil
					}
					defer resp.Body.Close()
					body, err := io.ReadAll(resp.Body)
					if err != nil {
						body = append(body, "!"+err.Error()...)
					}
					return resp.StatusCode, string(body), resp.Header
				}
				r.tenant.Inject(Fault{Kind: c.kind, Object: "invoices", After: 1, RetryAfter: 7 * time.Second})
				_, right, _ := get()
				status, body, header := get()
				if status != c.status || !strings.Contains(body, c.body) {
					t.Errorf("%d %s", status, body)
				}
				if c.status >= 429 && header.Get("Retry-After") != "7" {
					t.Error("no Retry-After")
				}
				if at, _ := http.ParseTime(header.Get("Date")); c.kind == ClockBack && time.Since(at) < time.Hour {
					t.Errorf("Date is %v", at)
				}
				if c.kind == RedirectAway && !strings.HasPrefix(header.Get("Location"), "https://login.example.com/") {
					t.Errorf("Location %q", header.Get("Location"))
				}
				if _, again, _ := get(); again != right || right != `[{"id":3},{"id":4}]` {
					t.Errorf("before the fault: %s; after it: %s", right, again)
				}
				log := r.tenant.Requests()
				if len(log) != 3 || log[1].Fault != c.kind || log[1].Status != c.status && c.status != 0 || log[2].Rows != 2 || log[2].Query.Get("id[gt]") != "2" {
					t.Errorf("the log of requests: %+v", log)
				}
			})
		})
	}
}

func TestFaultsOfTokensAndObjects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 1})
		r.tenant.Inject(Fault{Kind: Unavailable503, Object: TokenRequests, Count: -1})
		r.tenant.Inject(Fault{Kind: ServerError500, Object: "users", Count: 2})
		status := func(method, path string) int {
			status, _, _ := r.do(method, path, nil, nil)
			return status
		}
		if a, b, c := status("POST", "/oauth2/token"), status("POST", "/oauth2/token"), status("GET", "/api/invoices"); a != 503 || b != 503 || c != 200 {
			t.Errorf("token %d, %d, invoices %d", a, b, c)
		}
		if a, b, c := status("GET", "/api/users"), status("GET", "/api/users"), status("GET", "/api/users"); a != 500 || b != 500 || c != 200 {
			t.Errorf("users %d, %d, %d", a, b, c)
		}
		r.tenant.ClearFaults()
		r.mint(url.Values{})
		r.tenant.RevokeTokens()
		if got := status("GET", "/api/users"); got != 401 {
			t.Errorf("a revoked token: %d", got)
		}
	})
}

func TestWhatAcceptAsksFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 2, Gzip: true, Latency: 30 * time.Millisecond})
		status, body, header := r.do("GET", path("invoices", "fields", `["id","status",{"currency":["code"]}]`), map[string]string{"Accept": "*/*"}, nil)
		if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "application/xml") ||
			!strings.Contains(string(body), `<invoice-headers type="array">`) || !strings.Contains(string(body), `<id type="integer">1</id>`) {
			t.Errorf("%d %v %s", status, header, body)
		}
		status, body, _ = r.do("GET", path("invoices", "id[gt]", "99"), map[string]string{"Accept": "application/xml"}, nil)
		if status != 404 || !strings.Contains(string(body), "No results match your search criteria.") {
			t.Errorf("an empty page of XML: %d %s", status, body)
		}
		start := time.Now()
		_, body, header = r.do("GET", "/api/invoices", map[string]string{"Accept-Encoding": "gzip"}, nil)
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil || header.Get("Content-Encoding") != "gzip" {
			t.Fatal(err, header)
		}
		if text, err := io.ReadAll(z); err != nil || !json.Valid(text) {
			t.Error("what is compressed is not the page", err)
		}
		if time.Since(start) != 30*time.Millisecond {
			t.Errorf("latency %v", time.Since(start))
		}
	})
}

// The same faults over a real connection: what net/http makes of a cut one.
func TestOverASocket(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Rows: 60, RateLimit: -1, TokenHold: -1})
	server := httptest.NewServer(tenant)
	defer server.Close()
	token := tenant.mint(tenant.cfg.Scopes)
	get := func() ([]byte, error) {
		req, _ := http.NewRequest(http.MethodGet, server.URL+"/api/invoices", nil)
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	tenant.Inject(Fault{Kind: Reset})
	tenant.Inject(Fault{Kind: Truncate})
	if _, err := get(); !errors.Is(err, io.EOF) {
		t.Errorf("reset: %v", err)
	}
	if body, err := get(); !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 {
		t.Errorf("truncate: %d bytes, %v", len(body), err)
	}
	if body, err := get(); err != nil || !json.Valid(body) {
		t.Errorf("after the faults: %v", err)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, Config{Rows: 3, Objects: []string{"invoices", "users"}, ChangesPerSecond: 10})
		call := func(method, path, body string, want int) string {
			t.Helper()
			status, out, _ := r.do(method, "/_tenant/"+path, map[string]string{"Content-Type": "text/plain"}, strings.NewReader(body))
			if status != want {
				t.Errorf("%s %s: %d %s", method, path, status, out)
			}
			return string(out)
		}
		count := func(path string) int { return strings.Count(call("GET", path, "", 200), "\n") }
		if got := call("POST", "changes?state=off", "", 200); !strings.Contains(got, `"state":"off"`) || !strings.Contains(got, `"settled_at":"`) {
			t.Error(got)
		}
		runFor(t, r.tenant, time.Second)
		call("POST", "objects/users", "", 200)
		call("POST", "objects/invoices/2", "", 200)
		call("POST", "objects/invoices/2?line=1", "", 200)
		call("POST", "objects/invoices/2/members/shoe-size", `44`, 200)
		call("POST", "objects/invoices/2/members/shoe-size", `44x`, 400)
		call("POST", "objects/invoices/77/members/shoe-size", `44`, 404)
		call("DELETE", "objects/invoices/2/lines", "", 200)
		call("DELETE", "objects/invoices/77/lines", "", 404)
		call("DELETE", "objects/invoices/1", "", 200)
		call("POST", "faults", `{"kind":"error","object":"users","count":1}`, 200)
		call("POST", "faults", `{}`, 400)
		if status, _, _ := r.do("GET", "/api/users", nil, nil); status != 500 {
			t.Errorf("after a fault was posted: %d", status)
		}
		if all, invoices, rows := count("versions"), count("versions?object=invoices"), count("rows?object=invoices"); all != 11 || invoices != 7 || rows != 2 {
			t.Errorf("%d versions, %d of invoices, %d rows", all, invoices, rows)
		}
		var v Version
		first, _, _ := strings.Cut(call("GET", "versions?object=users", "", 200), "\n")
		if err := json.Unmarshal([]byte(first), &v); err != nil || v.Object != "users" || v.ID != 1 || v.Seq == 0 || len(v.JSON) == 0 {
			t.Errorf("a version: %+v, %v", v, err)
		}
		if got := call("GET", "requests", "", 200); got != "{\"users\":1}\n" {
			t.Errorf("requests: %s", got)
		}
		if got := call("POST", "warm?object=invoices&fields=%5B%22id%22%5D", "", 200); got != "{\"rows\":2}\n" {
			t.Errorf("warm: %s", got)
		}
		call("POST", "warm?object=colours", "", 400)
		call("POST", "changes?state=on", "", 200)
		runFor(t, r.tenant, time.Second)
		if n := count("versions"); n < 18 {
			t.Errorf("%d versions after changes went on", n)
		}
	})
}
