package coupa

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFirstTokenIsHeldBackFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		c := newClient(t, f)
		if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
			t.Fatal(err)
		}
		if held := f.times[0].Sub(f.minted[0]); held != 5*time.Second {
			t.Errorf("first use %s after issue, want 5s", held)
		}
		form, _ := url.ParseQuery(f.forms[0])
		want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"s3cret"}, "scope": {"core.invoice.read core.user.read"}}
		if form.Encode() != want.Encode() {
			t.Errorf("token request sent %v, want %v", form, want)
		}
	})
}

func TestTokenIsRenewedWhileTheOldOneServes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		lifetime int
		renewal  time.Duration
	}{
		{"a day's token is renewed at 20 hours", 86399, 20 * time.Hour},
		{"an hour's token is renewed at five sixths", 3600, 50 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{lifetime: tt.lifetime, api: pages(`[]`)}
				c := newClient(t, f)
				use := func(at time.Duration) string {
					pass(at - time.Since(f.start(t, c)))
					if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					return f.used[len(f.used)-1]
				}
				for _, step := range []struct {
					at    time.Duration
					token string
					mints int
				}{
					{6 * time.Second, "token-1", 1},
					{tt.renewal - time.Second, "token-1", 1},
					{tt.renewal, "token-1", 2},
					{tt.renewal + 4*time.Second, "token-1", 2},
					{tt.renewal + 5*time.Second, "token-2", 2},
				} {
					if got := use(step.at); got != "Bearer "+step.token || f.mints != step.mints {
						t.Errorf("after %s: used %q with %d tokens issued, want %s with %d", step.at, got, f.mints, step.token, step.mints)
					}
				}
			})
		})
	}
}

// start makes the first token be issued and returns when that was.
func (f *fake) start(t *testing.T, c *Client) time.Time {
	if len(f.minted) == 0 {
		if err := c.CheckToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return f.minted[0]
}

func TestRenewalThatFailsLeavesTheOldTokenUntilItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		f.grant = func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return f.token(1)
			}
			return answer(500, ``)
		}
		c := newClient(t, f)
		for range 23 {
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
				t.Fatal(err)
			}
			pass(time.Hour)
			synctest.Wait()
		}
		pass(time.Hour)
		_, _, err := collect(t.Context(), c, Query{Path: "invoices"})
		if KindOf(err) != Retry || err == nil {
			t.Errorf("after expiry: %v, want a temporary error", err)
		}
		if s := c.Stats(); s.Tokens != 1 || s.TokenFailures != 4 {
			t.Errorf("%d tokens and %d failures, want 1 and 4", s.Tokens, s.TokenFailures)
		}
	})
}

func TestCallersShareOneTokenRequestAndOneWhoLeavesDoesNotEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		f.grant = func(n int, _ *http.Request) *http.Response {
			pass(time.Second)
			return f.token(n)
		}
		c := newClient(t, f)
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			wg.Go(func() { _, _, results[i] = collect(ctx, c, Query{Path: "invoices"}) })
			synctest.Wait()
		}
		leave()
		wg.Wait()
		if !errors.Is(results[0], context.Canceled) {
			t.Errorf("the caller who left got %v", results[0])
		}
		for _, err := range results[1:] {
			if err != nil {
				t.Errorf("a caller who stayed got %v", err)
			}
		}
		if f.mints != 1 {
			t.Errorf("%d token requests, want 1", f.mints)
		}
	})
}

func TestHoldListensToTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		c := newClient(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, _, err := collect(ctx, c, Query{Path: "invoices"})
		if !errors.Is(err, context.DeadlineExceeded) || f.calls != 0 {
			t.Errorf("got %v after %d requests, want the context's error and none", err, f.calls)
		}
	})
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	refuse := func(times ...int) func(int, *http.Request) *http.Response {
		return func(n int, _ *http.Request) *http.Response {
			for _, i := range times {
				if i == n {
					return answer(401, ``)
				}
			}
			return answer(200, `[]`)
		}
	}
	tests := []struct {
		name  string
		age   time.Duration // of the token when it is used
		api   func(int, *http.Request) *http.Response
		used  []string
		fails bool
	}{
		{"a young token is tried again as it is", 6 * time.Second, refuse(1), []string{"1", "1"}, false},
		{"an older token is replaced once", time.Hour, refuse(1), []string{"1", "2"}, false},
		{"a young token that stays refused is replaced", 6 * time.Second, refuse(1, 2), []string{"1", "1", "2"}, false},
		{"a replacement gets its second try too", time.Hour, refuse(1, 2), []string{"1", "2", "2"}, false},
		{"a replacement that stays refused is an error", time.Hour, refuse(1, 2, 3, 4, 5), []string{"1", "2", "2"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{api: tt.api}
				c := newClient(t, f)
				f.start(t, c)
				pass(tt.age)
				_, _, err := collect(t.Context(), c, Query{Path: "invoices"})
				if (err != nil) != tt.fails || err != nil && KindOf(err) != Reauthenticate {
					t.Errorf("got %v", err)
				}
				want := "Bearer token-" + strings.Join(tt.used, " Bearer token-")
				if got := strings.Join(f.used, " "); got != want {
					t.Errorf("tokens used: %s, want %s", got, want)
				}
			})
		})
	}
}

func TestAGatewaysUnauthorizedPasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		contentType, body string
		want              Kind
	}{
		{"text/html", "<html>", Retry},
		{"text/plain", "Unauthorized", Retry},
		{"text/html", " \n", Reauthenticate},
		{"text/plain", "", Reauthenticate},
		{"application/json", "{}", Reauthenticate},
		{"", "", Reauthenticate},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, &fake{api: func(int, *http.Request) *http.Response { return answer(401, tt.body, "Content-Type", tt.contentType) }})
			var e *Error
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); !errors.As(err, &e) || e.Kind != tt.want || e.Status != 401 {
				t.Errorf("%q: %v, want kind %v", tt.contentType, err, tt.want)
			}
		})
	}
}

func TestConcurrentRefusalsReplaceTheTokenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replacedOnce(t, 7, func(int) time.Duration { return time.Second })
	})
}

func TestLateRefusalOfAnOldTokenLeavesTheNewOneAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replacedOnce(t, 2, func(n int) time.Duration {
			if n == 1 {
				return time.Minute // the first request's refusal comes when the token is long replaced
			}
			return 0
		})
	})
}

// replacedOnce sends requests, one after the other has gone out, with a token that Coupa
// refuses from now on. takes is the time of the n-th answer. All are to succeed with one new token.
func replacedOnce(t *testing.T, requests int, takes func(n int) time.Duration) {
	t.Helper()
	f := &fake{}
	f.api = func(n int, r *http.Request) *http.Response {
		pass(takes(n))
		if r.Header.Get("Authorization") == "Bearer token-1" {
			return answer(401, ``)
		}
		return answer(200, `[]`)
	}
	c := newClient(t, f)
	c.cfg.RequestTimeout = time.Hour
	f.start(t, c)
	pass(time.Hour)
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
	}
	wg.Wait()
	if f.mints != 2 {
		t.Errorf("%d tokens issued, want 2", f.mints)
	}
}

func TestFailedRenewalIsNotRepeatedWithEveryRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		f.grant = func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return f.token(1)
			}
			return answer(500, ``)
		}
		c := newClient(t, f)
		f.start(t, c)
		pass(21 * time.Hour)
		for range 120 {
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		if f.mints != 3 {
			t.Errorf("%d token requests in two minutes past the renewal, want the first and one a minute", f.mints)
		}
	})
}

func TestRefusedTokenRequestsNameTheRemedy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer *http.Response
		kind   Kind
		says   []string
	}{
		{"an unknown scope with 400", answer(400, `{"error":"invalid_scope"}`), Scope, []string{"invalid_scope", "core.invoice.read core.user.read", "https://acme.coupahost.com/oauth2/clients"}},
		{"an unknown scope with 401", answer(401, `{"error":"invalid_scope"}`), Scope, []string{"core.invoice.read"}},
		{"a wrong secret with 401", answer(401, `{"error":"invalid_client"}`), Misconfigured, []string{"invalid_client", "coupa.client.secret", "/oauth2/clients", "sandbox"}},
		{"a wrong secret with 400", answer(400, `{"error":"invalid_client","error_description":"Client authentication failed"}`), Misconfigured, []string{"coupa.client.id", "Client authentication failed"}},
		{"a refusal without a body", answer(401, ``), Misconfigured, []string{"401 Unauthorized", "coupa.client.secret"}},
		{"another grant type", answer(400, `{"error":"unauthorized_client"}`), Misconfigured, []string{"unauthorized_client", "client credentials"}},
		{"too many requests", answer(429, ``, "Retry-After", "7"), Throttled, []string{"429"}},
		{"maintenance", answer(503, `<html>`, "Content-Type", "text/html"), Throttled, []string{"503"}},
		{"a server error", answer(500, `{"error":"invalid_client"}`), Retry, []string{"500"}},
		{"a web page", answer(200, `<html>s3cret`, "Content-Type", "text/html"), Retry, []string{"coupa.token.path"}},
		{"an answer without a token", answer(200, `{}`), Retry, []string{"access_token", "application/json", "coupa.token.path"}},
		{"an empty token", answer(200, `{"access_token":""}`), Retry, []string{"access_token"}},
		{"two values", answer(200, `{"access_token":"a"}{}`), Retry, []string{"not JSON"}},
		{"a token with a line break", answer(200, `{"access_token":"s3cret\nX: y"}`), Retry, []string{"cannot stand in a header"}},
		{"a token with a deletion", answer(200, `{"access_token":"s3cret\u007f"}`), Retry, []string{"cannot stand in a header"}},
		{"an error with 200", answer(200, `{"error":"invalid_client"}`), Misconfigured, []string{"invalid_client", "coupa.client.id"}},
		{"an error in a form", answer(400, `error=invalid_scope&error_description=no+such`, "Content-Type", "application/x-www-form-urlencoded"), Scope, []string{"invalid_scope no such"}},
		{"Coupa's own form of errors", answer(400, `{"errors":{"client":["is inactive"]}}`), Misconfigured, []string{"400 Bad Request: client: is inactive", "coupa.client.id"}},
		{"an error that is an object", answer(400, `{"error":{"message":"is inactive"}}`), Misconfigured, []string{"message: is inactive"}},
		{"an error that repeats the secret", answer(400, `{"error":"invalid_client","error_description":"secret s3cret is wrong"}`), Misconfigured, []string{"secret [hidden] is wrong"}},
		{"a long error", answer(400, `{"error_description":"`+strings.Repeat("x", 5000)+`"}`), Misconfigured, []string{strings.Repeat("x", 300) + "…"}},
		{"an error behind a byte order mark", answer(400, "\ufeff"+`{"error":"invalid_scope"}`), Scope, []string{"invalid_scope"}},
		{"a firewall's page", answer(403, `<html>s3cret`, "Content-Type", "text/html"), Retry, []string{"403 Forbidden: something before Coupa's API answered", "allow list"}},
		{"a gateway's 404", answer(404, `<html>s3cret`, "Content-Type", "text/html; charset=utf-8"), Retry, []string{"something before"}},
		{"a gateway's 401", answer(401, `<html>s3cret`, "Content-Type", "text/html"), Retry, []string{"something before"}},
		{"a description that is an object", answer(400, `{"error":"invalid_scope","error_description":{"a":"b"}}`), Scope, []string{"invalid_scope"}},
		{"an error in JSON as text", answer(400, `{"error":"invalid_scope","error_description":"no such"}`, "Content-Type", "text/plain"), Scope, []string{"invalid_scope no such"}},
		{"a page of JSON", answer(403, `{"error":"s3cret"}`, "Content-Type", "text/html"), Retry, []string{"something before"}},
		{"more than is read", answer(200, `{"access_token":"a","more":["`+strings.Repeat("x", mostTokenBody)+`"]}`), Retry, []string{"not JSON"}},
		{"another address", answer(404, `{}`), Misconfigured, []string{"coupa.token.path"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{grant: func(int, *http.Request) *http.Response { return tt.answer }}
				c := newClient(t, f)
				_, _, err := collect(t.Context(), c, Query{Path: "invoices"})
				if err == nil || KindOf(err) != tt.kind {
					t.Fatalf("got %v of kind %v, want kind %v", err, KindOf(err), tt.kind)
				}
				for _, part := range tt.says {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q does not say %q", err, part)
					}
				}
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%q holds the secret", err)
				}
				var e *Error
				if errors.As(err, &e); tt.kind == Throttled && tt.answer.StatusCode == 429 && e.RetryAfter != 7*time.Second {
					t.Errorf("RetryAfter %s, want 7s", e.RetryAfter)
				}
			})
		})
	}
}

func TestTokensAreTakenInWhateverForm(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		answer *http.Response
		lives  time.Duration
	}{
		{"a number of seconds", answer(200, `{"access_token":"a","token_type":"bearer","expires_in":3600}`), time.Hour},
		{"a text of seconds", answer(200, `{"access_token":"a","expires_in":"3600"}`), time.Hour},
		{"a fraction", answer(200, `{"access_token":"a","expires_in":3599.5}`), day},
		{"a word", answer(200, `{"access_token":"a","expires_in":"soon"}`), day},
		{"an object", answer(200, `{"access_token":"a","expires_in":{"n":1}}`), day},
		{"null", answer(200, `{"access_token":"a","expires_in":null}`), day},
		{"none", answer(200, `{"access_token":"a"}`), day},
		{"nought", answer(200, `{"access_token":"a","expires_in":0}`), day},
		{"less than nought", answer(200, `{"access_token":"a","expires_in":-1}`), day},
		{"far less than nought", answer(200, `{"access_token":"a","expires_in":-4294963696}`), day},
		{"more than a clock holds", answer(200, `{"access_token":"a","expires_in":9223372036854775807}`), math.MaxInt32 * time.Second},
		{"another type of token", answer(200, `{"access_token":"a","token_type":"mac"}`), day},
		{"members of other types", answer(200, `{"access_token":"a","token_type":1,"refresh_token":[],"error":false}`), day},
		{"JSON as a web page", answer(200, `{"access_token":"a"}`, "Content-Type", "text/html"), day},
		{"JSON as text", answer(200, `{"access_token":"a"}`, "Content-Type", "text/plain"), day},
		{"JSON as a form", answer(200, `{"access_token":"a"}`, "Content-Type", "application/x-www-form-urlencoded"), day},
		{"JSON of no type", answer(200, `{"access_token":"a"}`, "Content-Type", ""), day},
		{"a form", answer(200, `access_token=a&expires_in=3600`, "Content-Type", "application/x-www-form-urlencoded"), time.Hour},
		{"a byte order mark", answer(200, "\ufeff"+`{"access_token":"a"}`), day},
		{"created", answer(201, `{"access_token":"a"}`), day},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{grant: func(int, *http.Request) *http.Response { return tt.answer }, api: pages(`[]`)}
				c := newClient(t, f)
				if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil || f.used[0] != "Bearer a" {
					t.Fatalf("used %v, %v", f.used, err)
				}
				if s := c.Token(); s.Expires.Sub(s.Issued) != tt.lives {
					t.Errorf("it lives for %s, want %s", s.Expires.Sub(s.Issued), tt.lives)
				}
			})
		})
	}
}

func TestATokenPathThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s3cret", TokenPath: "/%zz", Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CheckToken(t.Context()); KindOf(err) != Misconfigured || !strings.Contains(err.Error(), "coupa.token.path") || f.mints != 0 {
		t.Errorf("got %v after %d requests", err, f.mints)
	}
}

func TestATokenThatCannotBeSentIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{api: pages(`[]`)}
		f.grant = func(n int, _ *http.Request) *http.Response {
			if n == 1 {
				return answer(200, `{"access_token":"a\nb"}`)
			}
			return f.token(n)
		}
		c := newClient(t, f)
		if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); KindOf(err) != Retry || err == nil {
			t.Errorf("got %v", err)
		}
		pass(mintShared)
		if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil || f.mints != 2 {
			t.Errorf("after %d token requests: %v", f.mints, err)
		}
	})
}

func TestAnEndpointThatHangsIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := true
		c, err := New(Config{URL: "https://acme.coupahost.com", ClientID: "id", ClientSecret: "s", Transport: hanging{&fake{}, &hangs}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		turns := make(chan struct{}, 4) // four at a time, as a worker asks for its objects
		for range 20 {
			wg.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				if err := c.CheckToken(t.Context()); KindOf(err) != Retry || err == nil {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took != time.Minute {
			t.Errorf("20 objects waited for %s, want one request timeout", took)
		}
		hangs = false
		pass(mintShared)
		if err := c.CheckToken(t.Context()); err != nil {
			t.Errorf("when the endpoint is well again: %v", err)
		}
	})
}

// hanging is a transport that does not answer while it hangs.
type hanging struct {
	next  http.RoundTripper
	hangs *bool
}

func (h hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if *h.hangs {
		return silent{}.RoundTrip(r)
	}
	return h.next.RoundTrip(r)
}

func TestTokensThatHardlyLiveAreStillUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{lifetime: 4, api: pages(`[]`)}
		c := newClient(t, f)
		for range 3 {
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Second)
		}
	})
}

func TestNowIsALowerBoundThatFollowsCoupasClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := 50 * time.Second
		f := &fake{}
		date := func() string { return time.Now().Add(ahead).UTC().Format(http.TimeFormat) }
		f.grant = func(n int, _ *http.Request) *http.Response {
			res := f.token(n)
			res.Header.Set("Date", date())
			return res
		}
		f.api = func(int, *http.Request) *http.Response { return answer(200, `[]`, "Date", date()) }
		c := newClient(t, f)
		now := func() time.Duration {
			n, err := c.Now(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return time.Until(n)
		}
		if got := now(); got != ahead || f.calls != 0 || f.mints != 1 {
			t.Errorf("by the token's answer Coupa is %s ahead after %d API requests, want %s after none", got, f.calls, ahead)
		}
		pass(1500 * time.Millisecond)
		if got := now(); got != ahead {
			t.Errorf("after a while Coupa is %s ahead, want %s", got, ahead)
		}
		ahead = time.Minute
		if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
			t.Fatal(err)
		}
		if got := now(); got > ahead || got <= ahead-time.Second {
			t.Errorf("by the API's answer Coupa is %s ahead, want %s less the cut of a second", got, ahead)
		}
		ahead = -time.Hour
		if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
			t.Fatal(err)
		}
		if got := now(); got > ahead || got <= ahead-time.Second {
			t.Errorf("after an answer Coupa is %s ahead, want %s less the cut of a second", got, ahead)
		}
	})
}

func TestNowIsThisMachinesTimeWhereCoupasIsAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Duration(0)
		f := &fake{}
		date := func() string { return time.Now().Add(ahead).UTC().Format(http.TimeFormat) }
		f.grant = func(n int, _ *http.Request) *http.Response {
			res := f.token(n)
			res.Header.Set("Date", date())
			return res
		}
		f.api = func(int, *http.Request) *http.Response { return answer(200, `[]`, "Date", date()) }
		c := newClient(t, f)
		if got := c.Ahead(); got != 0 {
			t.Errorf("ahead by %s before the first answer", got)
		}
		for _, step := range []struct {
			name              string
			ahead, now, shows time.Duration
		}{
			{"a minute ahead", time.Minute, time.Minute, time.Minute},
			{"a little more", 61 * time.Second, 0, 61 * time.Second},
			{"an hour ahead", time.Hour, 0, time.Hour},
			{"right again", 0, 0, 0},
			{"behind", -time.Hour, -time.Hour, -time.Hour},
		} {
			pass(10 * time.Minute) // what was heard before is forgotten
			ahead = step.ahead
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices"}); err != nil {
				t.Fatal(err)
			}
			now, err := c.Now(t.Context())
			if got := time.Until(now); err != nil || got != step.now || c.Ahead() != step.shows || now.Location() != time.UTC {
				t.Errorf("%s: now is %s from here, ahead by %s (%v), want %s and %s", step.name, got, c.Ahead(), err, step.now, step.shows)
			}
			if _, _, err := collect(t.Context(), c, Query{Path: "invoices", Window: Window{To: now.Truncate(time.Second)}}); err != nil {
				t.Errorf("%s: a window until now: %v", step.name, err)
			}
		}
	})
}
