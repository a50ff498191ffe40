package coupa

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const mintOp = "getting a token"

// minter returns the function that gets one token: POST with the credentials in the
// form body and the scopes divided by blanks, as Coupa documents it (OAuth "Getting
// Started"). Detecting the style by trial would spend a request on a wrong guess.
func (c *Client) minter() func(context.Context) (*token, error) {
	flow := clientcredentials.Config{
		ClientID:     c.cfg.ClientID,
		ClientSecret: string(c.cfg.ClientSecret),
		TokenURL:     c.base.String() + c.cfg.TokenPath,
		Scopes:       c.cfg.Scopes,
		AuthStyle:    oauth2.AuthStyleInParams,
	}
	way := &http.Client{
		Transport:     tokenTransport{next: c.cfg.Transport, userAgent: c.cfg.UserAgent, clock: &c.clock},
		CheckRedirect: sameHostOnly,
		Timeout:       c.cfg.RequestTimeout,
	}
	unscoped := flow
	unscoped.Scopes = nil
	return func(ctx context.Context) (*token, error) {
		ctx = context.WithValue(ctx, oauth2.HTTPClient, way)
		got, err := flow.Token(ctx)
		if err != nil && c.cfg.AnyScope && c.mintError(err).Kind == Scope {
			c.counters.refused.Add(1)
			got, err = unscoped.Token(ctx)
		}
		if err != nil {
			c.counters.refused.Add(1)
			return nil, c.mintError(err)
		}
		c.counters.tokens.Add(1)
		lifetime := time.Duration(0)
		if !got.Expiry.IsZero() {
			lifetime = time.Until(got.Expiry)
		}
		return newToken(got.AccessToken, lifetime, c.cfg.TokenHold), nil
	}
}

// mintError classes a failed token request. The body of the
// answer stays out of it, but for the codes of RFC 6749.
func (c *Client) mintError(err error) *Error {
	e := &Error{Op: mintOp, Kind: Retry}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		e.Err = errors.New(oneLine(withoutURL(err).Error(), longestMessage))
		e.Hint = "check coupa.url = " + c.base.String() + " and the network; a silent instance is waited for coupa.request.timeout.ms"
		if errors.Is(err, errRedirect) || strings.Contains(err.Error(), "cannot parse json") {
			e.Hint = "maintenance does that; if it goes on, check coupa.url and coupa.token.path"
		}
		if misconfigured(err) {
			e.Kind, e.Hint = Misconfigured, ""
		}
		return e
	}
	e.Status = refused.Response.StatusCode
	e.RetryAfter = retryAfter(refused.Response.Header)
	e.Kind = kindOfRefusal(refused.ErrorCode, e.Status)
	if refused.ErrorCode != "" {
		e.Err = errors.New(oneLine(refused.ErrorCode+" "+refused.ErrorDescription, longestMessage))
	}
	e.Hint = c.refusalHint(e.Kind, e.Status, refused.ErrorCode)
	return e
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
