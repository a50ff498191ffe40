package security

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/reload"
	"github.com/coupastream/coupastream/coupa"
)

// forwardTimeout bounds a request to another worker; Connect's is the same.
const forwardTimeout = 90 * time.Second

// NewForwarder makes the client by which a worker passes requests on to another worker of its group.
//
// With https listeners it shows this worker's certificate and checks the other's against
// listeners.https.ssl.ca.location, or the system's roots. Give it the Authorization header of the request
// that is passed on: the other worker asks for the same accounts. What a browser says of the page that it
// is for (Origin, Sec-Fetch-Site and the like) is taken out, since this worker has looked at it. A
// request that no account has sent, such as this worker's own, gets rest.forward.token; whose certificate
// a Guard has looked at goes by that of this worker. Redirects are not followed, and no proxy is used.
func NewForwarder(settings *config.Worker, log *slog.Logger) (*http.Client, error) {
	current, err := reload.New("listeners.https.ssl.*", identityFiles(settings), log, func() (*http.Transport, error) {
		id, err := loadIdentity(settings)
		if err != nil {
			return nil, err
		}
		c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: id.authorities}
		if settings.ListenerCert != "" {
			c.Certificates = []tls.Certificate{id.certificate}
		}
		return &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}, nil
	})
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: forwarder{current, settings.ForwardToken},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the other worker answered with a redirect; check rest.advertised.* of its file")
		},
		Timeout: forwardTimeout,
	}, nil
}

type forwarder struct {
	current *reload.Value[*http.Transport]
	token   coupa.Secret
}

// RoundTrip implements [http.RoundTripper].
func (f forwarder) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name := range r.Header {
		if name == "Origin" || name == "Referer" || name == "Cookie" || strings.HasPrefix(name, "Sec-") {
			r.Header.Del(name)
		}
	}
	if f.token != "" && r.Header.Get("Authorization") == "" && CallerOf(r.Context()).Name == "" {
		r.Header.Set("Authorization", "Bearer "+string(f.token))
	}
	return f.current.Get().RoundTrip(r)
}
