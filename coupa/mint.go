package coupa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	mintOp        = "getting a token"
	mostTokenBody = 1 << 20 // bytes of an answer of the token endpoint that are read
)

// minter returns the function that gets one token. It ends within the request timeout.
func (c *Client) minter() func(context.Context) (*token, error) {
	return func(ctx context.Context) (*token, error) {
		got, err := c.mint(ctx, c.cfg.Scopes)
		if err != nil && c.cfg.AnyScope && KindOf(err) == Scope {
			c.counters.refused.Add(1)
			got, err = c.mint(ctx, nil)
		}
		if err != nil {
			c.counters.refused.Add(1)
			return nil, err
		}
		c.counters.tokens.Add(1)
		made := newToken(got.AccessToken, time.Until(got.Expiry), c.cfg.TokenHold)
		made.scopes = c.grantedBy(got)
		return made, nil
	}
}

// grantedBy are the scopes that a token is for: those that the answer names, or where it names none, those
// that were asked for (RFC 6749, 5.1).
func (c *Client) grantedBy(got *oauth2.Token) string {
	named, _ := got.Extra("scope").(string)
	scopes := strings.Fields(named)
	if len(scopes) == 0 {
		scopes = slices.Clone(c.cfg.Scopes)
	}
	slices.Sort(scopes)
	return strings.Join(slices.Compact(scopes), " ")
}

// mint sends one token request: POST with the credentials in the form body and the scopes divided by
// blanks, as Coupa documents it (OAuth "Getting Started"). Detecting the style by trial would spend
// a request on a wrong guess. The error is an [*Error].
func (c *Client) mint(ctx context.Context, scopes []string) (*oauth2.Token, error) {
	flow := clientcredentials.Config{
		ClientID: c.cfg.ClientID, ClientSecret: string(c.cfg.ClientSecret), Scopes: scopes,
		TokenURL: c.base.String() + c.cfg.TokenPath, AuthStyle: oauth2.AuthStyleInParams,
	}
	way := &mintTransport{next: tokenTransport{next: c.cfg.Transport, userAgent: c.cfg.UserAgent, clock: &c.clock}}
	got, err := flow.Token(context.WithValue(ctx, oauth2.HTTPClient,
		&http.Client{Transport: way, CheckRedirect: sameHostOnly, Timeout: c.cfg.RequestTimeout}))
	if err != nil || !fitsHeader(got.AccessToken) {
		return nil, c.mintError(err, way)
	}
	return got, nil
}

// mintTransport is the way of one token request. It keeps what the answer
// says, and hands on what x/oauth2 can read a token or an error of.
type mintTransport struct {
	next    http.RoundTripper
	header  http.Header
	members map[string]json.RawMessage // of the body; nil: it is no JSON object
}

// RoundTrip implements [http.RoundTripper].
func (t *mintTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // what was read of it is all that counts
	body, err := io.ReadAll(io.LimitReader(res.Body, mostTokenBody))
	if err != nil {
		return nil, err
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	t.header, t.members = res.Header.Clone(), nil
	if json.Unmarshal(body, &t.members) == nil {
		res.Header.Set("Content-Type", "application/json")
		body, _ = json.Marshal(legible(t.members))
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// legible returns the members of an answer that x/oauth2 can read: texts, and expires_in where it
// is a whole number. Any other would make it refuse the whole answer, and so counts as absent.
func legible(members map[string]json.RawMessage) map[string]json.RawMessage {
	taken := map[string]json.RawMessage{}
	for name, value := range members {
		if name != "expires_in" && value[0] == '"' {
			taken[name] = value
		}
	}
	if n, err := strconv.ParseInt(strings.Trim(string(members["expires_in"]), `"`), 10, 64); err == nil {
		taken["expires_in"] = strconv.AppendInt(nil, max(n, 0), 10)
	}
	return taken
}

// mintError classes a token request that got no token, or (err is nil) one that cannot be used.
func (c *Client) mintError(err error, way *mintTransport) *Error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return c.refusal(refused, way)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return c.mintFailed(failed)
	}
	e := &Error{Op: mintOp, Kind: Retry, RetryAfter: retryAfter(way.header)}
	switch {
	case err == nil:
		e.Err = errors.New("Coupa sent a token that cannot stand in a header: it holds a line break or the like")
		e.Hint = "see what answers in place of Coupa's token endpoint"
	case strings.HasSuffix(err.Error(), "missing access_token"):
		e.Err = fmt.Errorf("the answer (%q) holds no access_token", oneLine(way.header.Get("Content-Type"), 60))
		e.Hint = "see whether coupa.url and coupa.token.path are those of Coupa's token endpoint"
	default:
		e.Err = errors.New("Coupa sent something else than a token: it is not JSON")
		e.Hint = "maintenance does that; if it goes on, check coupa.url and coupa.token.path"
	}
	return e
}

// fitsHeader tells whether a text can be the value of a header.
func fitsHeader(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// mintFailed classes a token request that was not answered.
func (c *Client) mintFailed(err *url.Error) *Error {
	if err.Op == "parse" {
		return misused(mintOp, "coupa.token.path is not a path: write it as %s", defaultTokenPath)
	}
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

// refusal is the error of a request that was answered with an error. Of the
// body it holds what Coupa says is wrong, and nothing of another kind.
func (c *Client) refusal(refused *oauth2.RetrieveError, way *mintTransport) *Error {
	e := &Error{Op: mintOp, Status: refused.Response.StatusCode, RetryAfter: retryAfter(way.header)}
	if isWebPage(way.header, refused.Body) {
		if e.passes(); kindOfStatus(e.Status) == Throttled {
			e.Kind = Throttled
		}
		return e
	}
	e.Kind = kindOfRefusal(refused.ErrorCode, e.Status)
	said := append(sentences("", way.members["error"]), sentences("", way.members["errors"])...)
	if way.members == nil { // a form
		said = []string{refused.ErrorCode}
	}
	if text := strings.TrimSpace(strings.Join(said, "; ") + " " + refused.ErrorDescription); text != "" {
		e.Err = errors.New(c.cleaned(text))
	}
	e.Hint = c.refusalHint(e.Kind, e.Status, refused.ErrorCode)
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
