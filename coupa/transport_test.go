package coupa

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve starts a server on loopback whose token has spread already, and a client for it.
func serve(t *testing.T, api http.HandlerFunc) (*Client, *httptest.Server) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, `{"access_token":"token","token_type":"bearer","expires_in":86399}`)
	})
	mux.HandleFunc("/", api)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c, err := New(Config{URL: s.URL, ClientID: "id", ClientSecret: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	old := newToken("token", time.Hour, tokenHold)
	old.minted = old.minted.Add(-time.Minute)
	c.tokens.current = old
	return c, s
}

func TestGzipIsAskedForAndBytesCountWhatItHeld(t *testing.T) {
	t.Parallel()
	body := array("2024-01-01T00:00:00Z", upTo(50)...)
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
	})
	ids, page, err := collect(t.Context(), c, Query{Path: "invoices"})
	if err != nil || len(ids) != 50 || page.Bytes != int64(len(body)) {
		t.Errorf("%d rows, %d bytes of %d: %v", len(ids), page.Bytes, len(body), err)
	}
}

func TestConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	from := map[string]bool{}
	status := 200
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = true
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, array("2024-01-01T00:00:00Z", upTo(50)...))
	})
	for _, status = range []int{200, 429, 503, 400, 200} {
		_, _, _ = collect(t.Context(), c, Query{Path: "invoices"})
	}
	if len(from) != 1 {
		t.Errorf("%d connections for five requests, want 1", len(from))
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	var seen []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	tests := []struct {
		name string
		to   string
		says string // nothing: it is followed
	}{
		{"to the same host", "/api/moved", ""},
		{"to another host", elsewhere.URL + "/login", "coupa.url"},
		{"to another scheme", "https://{host}/api/moved", "coupa.url"},
		{"round in a circle", "/api/invoices", "redirected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/moved" {
					w.Header().Set("Content-Type", "application/json")
					_, _ = fmt.Fprint(w, `[]`)
					return
				}
				w.Header().Set("Location", strings.ReplaceAll(tt.to, "{host}", r.Host))
				w.WriteHeader(http.StatusFound)
			})
			_, _, err := collect(t.Context(), c, Query{Path: "invoices", Fields: `["secretfield"]`})
			switch {
			case tt.says == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || KindOf(err) != Retry || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secretfield"):
				t.Errorf("got %v", err)
			}
		})
	}
	if len(seen) != 0 {
		t.Errorf("the other host was asked %d times", len(seen))
	}
}

func TestRefusedConnectionIsTemporaryAndItsErrorHoldsNoQuery(t *testing.T) {
	t.Parallel()
	c, s := serve(t, http.NotFound)
	s.Close()
	_, _, err := collect(t.Context(), c, Query{Path: "invoices", Fields: `["secretfield"]`})
	if err == nil || KindOf(err) != Retry || strings.Contains(err.Error(), "secretfield") || strings.Contains(err.Error(), "fields=") {
		t.Errorf("got %v", err)
	}
	if s := c.Stats(); s.ByClass[0] != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestCutConnectionIsTemporary(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = fmt.Fprint(w, `[{"id":1},{"id":`)
	})
	ids, page, err := collect(t.Context(), c, Query{Path: "invoices"})
	if err == nil || KindOf(err) != Retry || page.LastID > 1 || len(ids) > 1 {
		t.Errorf("got %v, %+v, %v", ids, page, err)
	}
}

// shut is a transport that sends nothing, since the configuration says so.
type shut struct{}

func (shut) Error() string                                     { return "the host is not allowed" }
func (shut) Misconfigured() bool                               { return true }
func (s shut) RoundTrip(*http.Request) (*http.Response, error) { return nil, s }

func TestARequestThatMayNotBeSentIsMisconfigured(t *testing.T) {
	t.Parallel()
	c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s3cret", Transport: shut{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckToken(t.Context()); KindOf(err) != Misconfigured || !strings.HasSuffix(err.Error(), "getting a token: the host is not allowed") {
		t.Errorf("a token: %v", err)
	}
	c.tokens.current = newToken("token", time.Hour, 0)
	if _, err := c.MaxID(t.Context(), Query{Path: "invoices"}); KindOf(err) != Misconfigured || !strings.HasSuffix(err.Error(), ": the host is not allowed") {
		t.Errorf("rows: %v", err)
	}
}
