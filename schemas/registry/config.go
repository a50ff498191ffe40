package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"
)

// clientOptions checks the settings, all of them, and makes sr's options
// of them. No error shows a URL as it was given: it may hold a password. lost
// is called when a connection ends; an HTTP client of one's own calls nothing.
func (cfg Config) clientOptions(lost func()) ([]sr.ClientOpt, error) {
	var errs []error
	if len(cfg.URLs) == 0 {
		errs = append(errs, errors.New("schema.registry.url is missing; give the registry's address, https://registry.example.com"))
	}
	username, password := cfg.Username, cfg.Password
	var urls []string
	for i, text := range cfg.URLs {
		clean, user, err := cleanURL(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("schema.registry.url: address %d %w", i+1, err))
			continue
		}
		urls = append(urls, clean)
		if user != nil && username == "" {
			username = user.Username()
			password, _ = user.Password()
		}
	}
	client, err := cfg.httpClient(lost)
	if err != nil {
		errs = append(errs, err)
	}
	opts := []sr.ClientOpt{sr.URLs(urls...), sr.HTTPClient(client), sr.UserAgent("coupastream"), sr.PreReq(ownLevelOnly)}
	if username != "" {
		opts = append(opts, sr.BasicAuth(username, password))
	}
	return opts, errors.Join(errs...)
}

// ownLevelOnly asks for a subject's own compatibility level in
// words: not every registry leaves the global one out by itself.
func ownLevelOnly(r *http.Request) error {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/config/") {
		q := r.URL.Query()
		q.Set("defaultToGlobal", "false")
		r.URL.RawQuery = q.Encode()
	}
	return nil
}

// cleanURL parts an address from the credentials in it.
func cleanURL(text string) (clean string, user *url.Userinfo, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", nil, errors.New("is not a URL; write it as https://registry.example.com and percent-encode special characters of a password")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", nil, errors.New("is not a http or https URL; write it as https://registry.example.com")
	}
	user, u.User = u.User, nil
	return u.String(), user, nil
}

// connectionRest is how long a connection may rest: longer than ids do. The
// end of one is a sign that the registry may not be the same when it is back.
const connectionRest = 2 * DefaultCheckInterval

// NewTransport is one of the registry's own, which calls lost when a connection ends, unless this
// side has closed it: idle connections must not outlive the registry's certificates in a shared one.
func NewTransport(c *tls.Config, lost func()) *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: connectionRest, TLSClientConfig: c, DialContext: dialer(lost)}
}

// httpClient is the one given, or one with a timeout.
func (cfg Config) httpClient(lost func()) (*http.Client, error) {
	switch {
	case cfg.HTTPClient != nil && cfg.Transport != nil:
		return nil, errors.New("an HTTP client of one's own, which has schema.registry.ssl.ca.location's authorities or none, excludes a transport; give one of both")
	case cfg.HTTPClient != nil:
		return cfg.HTTPClient, nil
	case cfg.Transport != nil:
		transport, err := cfg.Transport(lost)
		return &http.Client{Timeout: requestTime, Transport: transport}, err
	}
	return &http.Client{Timeout: requestTime, Transport: NewTransport(nil, lost)}, nil
}
