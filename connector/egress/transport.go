package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Transport sends requests as base does, to where the policy lets them. base is
// not changed; its dialer is not used, but for requests that go through a proxy:
// of these the host's name alone is looked at, since the proxy resolves it.
func (p Policy) Transport(base *http.Transport) http.RoundTripper {
	direct := base.Clone()
	direct.Proxy = nil
	direct.DialContext = p.dial
	return &transport{p, direct, base}
}

// Client sends requests to where the policy lets them, directly
// or through the environment's proxy, and follows no redirect.
func (p Policy) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     p.Transport(http.DefaultTransport.(*http.Transport).Clone()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		Timeout:       timeout,
	}
}

// errRedirect ends a request whose answer sends it elsewhere:
// it may carry what is meant for the first host alone.
var errRedirect = errors.New("the answer is a redirect, which is not followed; give the address that it leads to")

type transport struct {
	policy  Policy
	direct  *http.Transport
	proxied *http.Transport
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Hostname()
	if t.proxied.Proxy != nil {
		if proxy, err := t.proxied.Proxy(req); err != nil || proxy != nil {
			if err := t.policy.checkProxied(host); err != nil {
				return nil, closing(req, err)
			}
			return t.proxied.RoundTrip(req)
		}
	}
	if err := t.policy.CheckHost(host); err != nil {
		return nil, closing(req, err)
	}
	return t.direct.RoundTrip(req)
}

// closing gives err for a request that is not sent: its body is to be closed all the same.
func closing(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// dial connects to a host if the policy has nothing against the address that it was resolved to.
func (p Policy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return p.checkAddr(canonical(host), to.Addr())
	}}
	return dialer.DialContext(ctx, network, address)
}
