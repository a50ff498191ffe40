package security

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"

	"github.com/coupastream/coupastream/connector/config"
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
		id.authorities, err = config.Authorities("listeners.https.ssl.ca.location", settings.ListenerCA)
	}
	return id, err
}

// identityFiles are the files of an identity.
func identityFiles(settings *config.Worker) []string {
	return []string{settings.ListenerCert, settings.ListenerKey, settings.ListenerCA}
}

// serverTLS is the configuration of https listeners. What the files hold at the time of a handshake counts.
func serverTLS(settings *config.Worker, log *slog.Logger) (*tls.Config, error) {
	current, err := newReloaded("listeners.https.ssl.*", identityFiles(settings), log, func() (*tls.Config, error) {
		id, err := loadIdentity(settings)
		if err != nil {
			return nil, err
		}
		c := &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
			Certificates: []tls.Certificate{id.certificate}, ClientCAs: id.authorities,
			ClientAuth: clientAuth(settings.ListenerClientAuth),
		}
		// A session that is resumed skips the look at the certificate, whose authority may be gone meanwhile.
		c.SessionTicketsDisabled = c.ClientAuth != tls.NoClientCert
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.get(), nil }}, nil
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
