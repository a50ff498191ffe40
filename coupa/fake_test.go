package coupa

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// histories calls run with the seeds that a test of random course takes:
// one, or as many as the environment variable HISTORIES says.
func histories(t *testing.T, run func(t *testing.T, seed uint64)) {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("HISTORIES"))
	if err != nil {
		n = 1
	}
	for seed := range uint64(max(1, n)) {
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) { run(t, seed) })
	}
}

// fake is an instance in process: a RoundTripper that answers
// token requests by itself and API requests by a function.
type fake struct {
	lifetime int // expires_in; 0: 86399
	// answers the n-th token request, from 1; nil: a token
	grant func(n int, r *http.Request) *http.Response
	api   func(n int, r *http.Request) *http.Response // answers the n-th API request, from 1

	mu     sync.Mutex
	mints  int
	calls  int
	minted []time.Time // when each token was issued
	used   []string    // Authorization of each API request
	times  []time.Time // of each API request
	forms  []string    // body of each token request
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	if r.URL.Path == "/oauth2/token" {
		f.mints++
		n := f.mints
		form, _ := io.ReadAll(r.Body)
		f.minted, f.forms = append(f.minted, time.Now()), append(f.forms, string(form))
		f.mu.Unlock()
		if f.grant != nil {
			return f.dated(f.grant(n, r))
		}
		return f.dated(f.token(n))
	}
	f.calls++
	n := f.calls
	f.used, f.times = append(f.used, r.Header.Get("Authorization")), append(f.times, time.Now())
	f.mu.Unlock()
	return f.dated(f.api(n, r))
}

func (f *fake) dated(res *http.Response) (*http.Response, error) {
	if _, set := res.Header["Date"]; !set {
		res.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return res, nil
}

func (f *fake) token(n int) *http.Response {
	lifetime := f.lifetime
	if lifetime == 0 {
		lifetime = 86399
	}
	return answer(200, fmt.Sprintf(`{"access_token":"token-%d","token_type":"bearer","expires_in":%d}`, n, lifetime))
}

// answer is a response with a JSON body; headers come in pairs, an empty value removes one.
func answer(status int, body string, headers ...string) *http.Response {
	res := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i+1 < len(headers); i += 2 {
		res.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			res.Header[http.CanonicalHeaderKey(headers[i])] = nil
		}
	}
	return res
}

// pages answers every request with the bodies in turn, and with the last one from then on.
func pages(bodies ...string) func(int, *http.Request) *http.Response {
	return func(n int, _ *http.Request) *http.Response { return answer(200, bodies[min(n, len(bodies))-1]) }
}

func newClient(t testing.TB, f *fake) *Client {
	t.Helper()
	c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s3cret", Scopes: Scopes([]string{"invoices", "users"}), Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// collect fetches a page and returns the ids that it yielded.
func collect(ctx context.Context, c *Client, q Query) ([]int64, Page, error) {
	var ids []int64
	page, err := c.Fetch(ctx, q, func(r Row) error {
		ids = append(ids, r.ID)
		return nil
	})
	return ids, page, err
}

// array renders rows with these ids, all updated at one instant.
func array(updated string, ids ...int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"updated-at":%q}`, id, updated)
	}
	return "[" + b.String() + "]"
}

// upTo counts from 1.
func upTo(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	return ids
}

// pass lets time go by, inside a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }
