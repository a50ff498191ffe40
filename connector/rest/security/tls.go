package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/reload"
	"github.com/coupastream/coupastream/connector/transport"
)

const certificateKey = "listeners.https.ssl.certificate.location"

// identity is what the files of https listeners hold.
type identity struct {
	certificate tls.Certificate
	authorities *x509.CertPool // nil: none are given
}

// loadIdentity reads them. The error is a config.Problem.
func loadIdentity(settings *config.Worker) (identity, error) {
	var id identity
	var err error
	if settings.ListenerCert != "" {
		if id.certificate, err = tls.LoadX509KeyPair(settings.ListenerCert, settings.ListenerKey); err != nil {
			return id, config.Problem{File: settings.File, Key: certificateKey, Value: settings.ListenerCert,
				Message: "cannot be used with listeners.https.ssl.key.location: " + err.Error(), Remedy: "give two readable PEM files that belong together, the key without a passphrase"}
		}
	}
	if settings.ListenerCA != "" {
		id.authorities, err = transport.Authorities("listeners.https.ssl.ca.location", settings.ListenerCA)
	}
	return id, err
}

// identityFiles are the files of an identity.
func identityFiles(settings *config.Worker) []string {
	return []string{settings.ListenerCert, settings.ListenerKey, settings.ListenerCA}
}

// clients is what https listeners ask of those who connect. What the files hold at the
// time of a handshake counts, and for clients' certificates at that of each request.
type clients struct{ current *reload.Value[*tls.Config] }

func newClients(settings *config.Worker, log *slog.Logger) (*clients, error) {
	current, err := reload.New("listeners.https.ssl.*", identityFiles(settings), log, func() (*tls.Config, error) {
		id, err := loadIdentity(settings)
		if err != nil {
			return nil, err
		}
		c := &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			Certificates: []tls.Certificate{id.certificate}, ClientCAs: id.authorities,
			ClientAuth: clientAuth(settings.ListenerClientAuth),
		}
		// A session that is resumed skips the look at the
		// certificate, whose authority may be gone meanwhile.
		c.SessionTicketsDisabled = c.ClientAuth != tls.NoClientCert
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return &clients{current}, nil
}

func clientAuth(setting string) tls.ClientAuthType {
	switch setting {
	case "required":
		return tls.RequireAndVerifyClientCert
	case "requested":
		return tls.VerifyClientCertIfGiven
	}
	return tls.NoClientCert
}

// config is that of a listener.
func (c *clients) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Get(), nil }}
}

type clientsKey struct{}

// handler lets vouched know what counts for the requests of next.
func (c *clients) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), clientsKey{}, c)))
	})
}

// vouched tells whether the certificate that the client of a request showed
// when it connected, if it did, would be taken now: connections last.
func vouched(r *http.Request) bool {
	c, _ := r.Context().Value(clientsKey{}).(*clients)
	if c == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return true
	}
	between := x509.NewCertPool()
	for _, one := range r.TLS.PeerCertificates[1:] {
		between.AddCert(one)
	}
	_, err := r.TLS.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: c.current.Get().ClientCAs, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
