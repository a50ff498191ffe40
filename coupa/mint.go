package coupa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	mintOp        = "getting a token"
	mostTokenBody = 1 << 20 // bytes of an answer of the token endpoint that are read
)

// minter returns the function that gets one token. It ends within the request timeout.
func (c *Client) minter() func(context.Context) (*token, error) {
	way := &http.Client{
		Transport:     tokenTransport{next: c.cfg.Transport, userAgent: c.cfg.UserAgent, clock: &c.clock},
		CheckRedirect: sameHostOnly,
		Timeout:       c.cfg.RequestTimeout,
	}
	return func(ctx context.Context) (*token, error) {
		got, err := c.mint(ctx, way, c.cfg.Scopes)
		if err != nil && c.cfg.AnyScope && KindOf(err) == Scope {
			c.counters.refused.Add(1)
			got, err = c.mint(ctx, way, nil)
		}
		if err != nil {
			c.counters.refused.Add(1)
			return nil, err
		}
		c.counters.tokens.Add(1)
		return newToken(got.Token, got.lifetime(), c.cfg.TokenHold), nil
	}
}

// mint sends one token request: POST with the credentials in the form body and the scopes
// divided by blanks, as Coupa documents it (OAuth "Getting Started"). The error is an [*Error].
func (c *Client) mint(ctx context.Context, way *http.Client, scopes []string) (*grant, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.cfg.ClientID}, "client_secret": {string(c.cfg.ClientSecret)},
	}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+c.cfg.TokenPath, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, misused(mintOp, "coupa.token.path is not a path: write it as %s", defaultTokenPath)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := way.Do(req)
	if err != nil {
		return nil, c.mintFailed(err)
	}
	defer res.Body.Close() //nolint:errcheck // what was read of it is all that counts
	body, err := io.ReadAll(io.LimitReader(res.Body, mostTokenBody))
	if err != nil {
		return nil, c.mintFailed(err)
	}
	return c.grantOf(res, body)
}

// grant is the answer to a token request: RFC 6749, sections 5.1
// and 5.2, and beside it the form that Coupa's errors have elsewhere.
type grant struct {
	Token       string          `json:"access_token"`
	ExpiresIn   json.RawMessage `json:"expires_in"` // seconds, also seen as a text
	Error       json.RawMessage `json:"error"`      // a code of the RFC
	Description string          `json:"error_description"`
	Errors      json.RawMessage `json:"errors"`
}

// lifetime is how long the token lives; 0: it does not say so in whole seconds.
func (g *grant) lifetime() time.Duration {
	n, err := strconv.ParseInt(strings.Trim(string(g.ExpiresIn), `"`), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(min(max(n, 0), math.MaxInt32)) * time.Second
}

// code is the error's code, "" where there is none.
func (g *grant) code() (code string) {
	_ = json.Unmarshal(g.Error, &code)
	return code
}

// said is what Coupa says is wrong, "" where it says nothing.
func (g *grant) said() string {
	said := []string{strings.Join(append(sentences("", g.Error), sentences("", g.Errors)...), "; ")}
	if g.Description != "" {
		said = append(said, g.Description)
	}
	return strings.TrimSpace(strings.Join(said, " "))
}

// grantOf reads an answer. One with a token is good, whatever the type that it is sent as.
func (c *Client) grantOf(res *http.Response, body []byte) (*grant, error) {
	var g grant
	err := json.Unmarshal(bytes.TrimPrefix(body, byteOrderMark), &g)
	contentType := res.Header.Get("Content-Type")
	if err != nil && isType(contentType, "application/x-www-form-urlencoded", "text/plain") {
		if form, formErr := url.ParseQuery(string(body)); formErr == nil {
			g, err = grant{Token: form.Get("access_token"), ExpiresIn: json.RawMessage(form.Get("expires_in"))}, nil
			if code := form.Get("error"); code != "" {
				g.Error, g.Description = json.RawMessage(strconv.Quote(code)), form.Get("error_description")
			}
		}
	}
	e := &Error{Op: mintOp, Kind: Retry, RetryAfter: retryAfter(res.Header)}
	switch {
	case res.StatusCode/100 != 2 || g.code() != "":
		return nil, c.refusal(e, res, body, &g)
	case err != nil:
		e.Err = errors.New("Coupa sent something else than a token: it is not JSON")
		e.Hint = "maintenance does that; if it goes on, check coupa.url and coupa.token.path"
	case g.Token == "":
		e.Err = fmt.Errorf("the answer (%q) holds no access_token", oneLine(contentType, 60))
		e.Hint = "see whether coupa.url and coupa.token.path are those of Coupa's token endpoint"
	case !fitsHeader(g.Token):
		e.Err = errors.New("Coupa sent a token that cannot stand in a header: it holds a line break or the like")
		e.Hint = "see what answers in place of Coupa's token endpoint"
	default:
		return &g, nil
	}
	return nil, e
}

// fitsHeader tells whether a text can be the value of a header.
func fitsHeader(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// mintFailed classes a token request that was not answered.
func (c *Client) mintFailed(err error) *Error {
	e := &Error{Op: mintOp, Kind: Retry, Err: errors.New(c.cleaned(withoutURL(err).Error()))}
	e.Hint = "check coupa.url = " + c.base.String() + " and the network; a silent instance is waited for coupa.request.timeout.ms"
	if errors.Is(err, errRedirect) {
		e.Hint = "maintenance does that; if it goes on, check coupa.url and coupa.token.path"
	}
	if misconfigured(err) {
		e.Kind, e.Hint = Misconfigured, ""
	}
	return e
}

// refusal completes the error of a request that was answered without a token. Of
// the body it holds what Coupa says is wrong, and nothing of another kind.
func (c *Client) refusal(e *Error, res *http.Response, body []byte, g *grant) *Error {
	e.Status = res.StatusCode
	if isWebPage(res.Header, body) {
		if e.passes(); kindOfStatus(e.Status) == Throttled {
			e.Kind = Throttled
		}
		return e
	}
	e.Kind = kindOfRefusal(g.code(), e.Status)
	if said := g.said(); said != "" {
		e.Err = errors.New(c.cleaned(said))
	}
	e.Hint = c.refusalHint(e.Kind, e.Status, g.code())
	return e
}

// cleaned makes foreign text fit for an error: short, in one line, without the secret.
func (c *Client) cleaned(text string) string {
	secret := string(c.cfg.ClientSecret)
	text = strings.NewReplacer(secret, hidden, url.QueryEscape(secret), hidden).Replace(text)
	return oneLine(text, longestMessage)
}

// kindOfRefusal goes by the code where there is one: invalid_scope
// and invalid_client are seen with 400 and with 401.
func kindOfRefusal(code string, status int) Kind {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Throttled
	case status >= 500, status == http.StatusRequestTimeout:
		return Retry
	case code == "invalid_scope":
		return Scope
	case status >= 400, code != "":
		return Misconfigured
	default:
		return Retry
	}
}

// refusalHint says what to do in Coupa's Setup, or in the configuration.
func (c *Client) refusalHint(k Kind, status int, code string) string {
	switch {
	case k == Scope:
		return fmt.Sprintf("grant every scope asked for (%s) to the API client at %s, or take objects out of coupa.objects",
			strings.Join(c.cfg.Scopes, " "), c.clientsPage())
	case k == Misconfigured && code == "" && status != http.StatusUnauthorized && status != http.StatusBadRequest:
		return "that is no token endpoint of Coupa: check coupa.url = " + c.base.String() + " and coupa.token.path = " + c.cfg.TokenPath
	case k == Misconfigured && (code == "invalid_client" || code == ""):
		return "check coupa.client.id and coupa.client.secret against " + c.clientsPage() +
			"; refreshing a sandbox from production deletes its API clients"
	case k == Misconfigured:
		return "the API client must allow the grant type client credentials: see " + c.clientsPage()
	}
	return ""
}
