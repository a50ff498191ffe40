package coupa

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// errRedirect stops a redirect that would take the token to another host or out of TLS.
var errRedirect = errors.New("redirected to another address")

const mostRedirects = 5

// NewTransport returns a transport of the kind that is used where the configuration
// names none. It asks for gzip and unpacks it by itself. Dead HTTP/2 connections are
// found by pings: a request that timed out would otherwise be repeated on the same one.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		MaxIdleConnsPerHost:   4, // each holds 20 KB, and a worker may have a thousand instances
		IdleConnTimeout:       30 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// sameHostOnly is the redirect policy of every request.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme || len(via) >= mostRedirects {
		return errRedirect
	}
	return nil
}

// tokenTransport is the way of token requests: it names the program and lets the answer set the clock.
type tokenTransport struct {
	next      http.RoundTripper
	userAgent string
	clock     *clock
}

// RoundTrip implements [http.RoundTripper].
func (t tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", t.userAgent)
	req.Header.Set("Accept", "application/json")
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if date, ok := dateOf(res.Header); ok && res.StatusCode == http.StatusOK {
		t.clock.setProvisional(date)
	}
	return res, nil
}
