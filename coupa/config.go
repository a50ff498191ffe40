package coupa

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultTokenPath      = "/oauth2/token"
	defaultRequestTimeout = 60 * time.Second
	defaultUserAgent      = "coupastream"
)

// Config describes one Coupa instance and the API client (an OAuth 2 client of Coupa's Setup) that reads it.
type Config struct {
	URL          string   // "https://acme.coupahost.com"; http only to loopback
	ClientID     string   // identifier of the API client
	ClientSecret Secret   // its secret
	TokenPath    string   // path of the token endpoint; "": /oauth2/token
	Scopes       []string // scopes to ask for; none: Coupa grants all that the API client has
	// AnyScope asks for a token without naming scopes, which has all that the API client was
	// granted, when Coupa refuses one of Scopes: what lacks its scope then fails by itself, and not
	// everything. Coupa refuses the whole request for one scope that is unknown or not granted.
	AnyScope bool

	// TokenHold is how long a fresh token rests before its first use;
	// 0: the 5 s that Coupa asks for (OAuth "Design Considerations").
	TokenHold time.Duration

	Limiter        *Limiter      // pace, shared by all clients of one instance; nil: NewLimiter(0)
	RequestTimeout time.Duration // longest wait for the header, and for the next byte of a body; 0: 60 s
	// Transport sends the requests; nil: one as NewTransport makes them. If an
	// error of its has a method Misconfigured that returns true, the request
	// was not sent, for a reason that only another configuration changes.
	Transport http.RoundTripper
	// Apart sends what may cost its connection, a request line that is too long for the way over HTTP/2;
	// nil: Transport without kept connections where it is an [*http.Transport], else Transport.
	Apart     http.RoundTripper
	UserAgent string // "": coupastream

	RowBytes int64 // longest row, row.max.bytes; 0: 64 MiB
	// RowBytesOf has the longest row of each resource, by path, that has another one.
	RowBytesOf map[string]int64
	// LargeRows counts rows above 1 MiB, shared by all clients of a process; nil: one of its own.
	LargeRows *LargeRows
}

// Secret is a text that is never printed: whatever the verb,
// the encoder or the logger, it shows as [hidden].
type Secret string

const hidden = "[hidden]"

// String returns [hidden].
func (Secret) String() string { return hidden }

// GoString returns [hidden].
func (Secret) GoString() string { return hidden }

// Format prints [hidden] for every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(hidden)) }

// MarshalJSON returns "[hidden]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText returns [hidden], for encoders that prefer text.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns [hidden].
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// withDefaults returns the configuration with the documented defaults filled in.
func (c Config) withDefaults() Config {
	if c.TokenPath == "" {
		c.TokenPath = defaultTokenPath
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = defaultRequestTimeout
	}
	if c.TokenHold == 0 {
		c.TokenHold = tokenHold
	}
	if c.UserAgent == "" {
		c.UserAgent = defaultUserAgent
	}
	if c.RowBytes == 0 {
		c.RowBytes = defaultRowBytes
	}
	if c.LargeRows == nil {
		c.LargeRows = NewLargeRows(nil)
	}
	if c.Limiter == nil {
		c.Limiter = NewLimiter(0)
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	if c.Apart == nil {
		c.Apart = apartFrom(c.Transport)
	}
	return c
}

// check reports every problem at once, with key, value and remedy, and returns the parsed URL.
func (c Config) check() (*url.URL, error) {
	base, err := baseURL(c.URL)
	problems := []error{err}
	if c.ClientID == "" {
		problems = append(problems, errors.New("coupa.client.id is missing: set it to the identifier shown at Setup > OAuth2/OpenID Connect Clients"))
	}
	if c.ClientSecret == "" {
		problems = append(problems, errors.New("coupa.client.secret is missing: set it to the secret shown at Setup > OAuth2/OpenID Connect Clients"))
	}
	if !strings.HasPrefix(c.TokenPath, "/") || strings.ContainsAny(c.TokenPath, "?#") {
		problems = append(problems, fmt.Errorf("coupa.token.path %q is not a path: write it as %s", c.TokenPath, defaultTokenPath))
	}
	if c.RequestTimeout < 0 {
		problems = append(problems, fmt.Errorf("coupa.request.timeout.ms is negative (%s): leave it out for %s", c.RequestTimeout, defaultRequestTimeout))
	}
	for _, bytes := range append(slices.Collect(maps.Values(c.RowBytesOf)), c.RowBytes) {
		if bytes < 1 || bytes > math.MaxInt32 {
			problems = append(problems, fmt.Errorf("row.max.bytes is %d: give 1 to %d, or leave it out for %d", bytes, math.MaxInt32, defaultRowBytes))
		}
	}
	for _, s := range c.Scopes {
		if s == "" || strings.ContainsAny(s, " ,\t\n") {
			problems = append(problems, fmt.Errorf("coupa.scope %q is not one scope: give each by itself, as core.invoice.read", s))
		}
	}
	return base, errors.Join(problems...)
}

// baseURL parses the address of an instance. A rejected
// address is never repeated whole: it may hold credentials.
func baseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("coupa.url is not an address: write it as https://acme.coupahost.com")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("coupa.url holds credentials: give them as coupa.client.id and coupa.client.secret")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("coupa.url has more than an address (%s): write it as https://%s", u.Host, u.Host)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("coupa.url would send the secret to %s in clear: write it as https://%s (http is for loopback alone)", u.Host, u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("coupa.url has the scheme %q: write it as https://%s", u.Scheme, u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
