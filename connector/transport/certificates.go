package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/reload"
	"github.com/coupastream/coupastream/schemas/registry"
)

// CertificateFile is a PEM file of certificates that a worker is given.
type CertificateFile struct {
	Key         string // the setting
	Path        string
	Authorities bool // it says whom to trust; else it holds a certificate of this worker's, with its chain
}

// CertificateFiles are those that the worker's file names.
func CertificateFiles(w *config.Worker) []CertificateFile {
	var given []CertificateFile
	for _, f := range []CertificateFile{
		authorities(w.Security), certificate(w.Security), registryAuthorities(w.Registry),
		{"listeners.https.ssl.certificate.location", w.ListenerCert, false}, {"listeners.https.ssl.ca.location", w.ListenerCA, true},
	} {
		if f.Path != "" {
			given = append(given, f)
		}
	}
	return given
}

func authorities(s config.Security) CertificateFile {
	return CertificateFile{"ssl.ca.location", s.CA, true}
}

func certificate(s config.Security) CertificateFile {
	return CertificateFile{"ssl.certificate.location", s.Cert, false}
}

func registryAuthorities(r config.Registry) CertificateFile {
	return CertificateFile{"schema.registry.ssl.ca.location", r.CA, true}
}

// Validity is from when until when the file is of use as it is now: what is given away with it until the
// first certificate of the chain ends, and authorities until the last one does, since an old one may stand
// beside its successor.
func (f CertificateFile) Validity() (from, until time.Time, err error) {
	text, err := os.ReadFile(f.Path)
	if err != nil {
		return from, until, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // authorities that Go does not read are passed over when they are loaded, too
		}
		if until.IsZero() || c.NotAfter.After(until) == f.Authorities {
			from, until = c.NotBefore, c.NotAfter
		}
	}
	if until.IsZero() {
		err = fmt.Errorf("%s holds no certificate", f.Path)
	}
	return from, until, err
}

// String names the file with the end of its validity, for errors.
func (f CertificateFile) String() string {
	if f.Path == "" {
		return f.Key + " is not given"
	}
	_, until, err := f.Validity()
	switch {
	case err != nil:
		return fmt.Sprintf("%s = %s: %v", f.Key, f.Path, err)
	case time.Now().After(until):
		return fmt.Sprintf("%s = %s ended at %s", f.Key, f.Path, until.UTC().Format(time.RFC3339))
	default:
		return fmt.Sprintf("%s = %s is valid until %s", f.Key, f.Path, until.UTC().Format(time.RFC3339))
	}
}

// CertificateError says that one side of a connection did not take the other's
// certificate, and names the file to look at. Files are read again when they change.
type CertificateError struct {
	message string
	cause   error
}

func (e *CertificateError) Error() string { return e.message + ": " + e.cause.Error() }

func (e *CertificateError) Unwrap() error { return e.cause }

// Temporary says that trying again helps: once the file is renewed, the next connection has it.
func (*CertificateError) Temporary() bool { return true }

// Remedy is what a person can do.
func (*CertificateError) Remedy() string {
	return "renew the file in place; it is read again when it changes, and nothing has to be restarted"
}

// trust is the files that one side of connections goes by.
type trust struct {
	ca, cert CertificateFile
	refused  func() // called when they were of no use
}

// explain names the file where an error is about a certificate.
func (t trust) explain(address string, err error) error {
	told := t.blame(address, err)
	if told == nil {
		return err
	}
	t.refused()
	return told
}

// blame is nil where an error is about something else.
func (t trust) blame(address string, err error) error {
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) {
		their := ""
		if len(unverified.UnverifiedCertificates) > 0 {
			their = ", valid until " + unverified.UnverifiedCertificates[0].NotAfter.UTC().Format(time.RFC3339)
		}
		return &CertificateError{fmt.Sprintf("the certificate of %s%s, is not taken here (%v)", address, their, t.ca), err}
	}
	if t.cert.Key != "" && isAlertOfCertificates(err) {
		return &CertificateError{fmt.Sprintf("%s does not take this worker's certificate (%v)", address, t.cert), err}
	}
	return nil
}

// isAlertOfCertificates tells whether the other side ended a connection for the certificate that it was
// shown, or was not: TLS alerts 42 to 46, 48 and 116, which package tls tells apart by their texts alone.
func isAlertOfCertificates(err error) bool {
	var remote *net.OpError
	return errors.As(err, &remote) && remote.Op == "remote error" && strings.Contains(remote.Err.Error(), "certificate")
}

// Dial makes TLS connections to brokers, for kgo.Dialer, over those that base makes. Each is made by what
// the files hold at the time: they are read here, and again when they have changed. What can't be used
// then is logged, and what they held before stays in force.
func Dial(s config.Security, log *slog.Logger, base func(ctx context.Context, network, address string) (net.Conn, error)) (
	func(ctx context.Context, network, address string) (net.Conn, error), error,
) {
	current, err := reload.New("ssl.*", []string{s.CA, s.Cert, s.Key}, log, func() (*tls.Config, error) { return clientTLS(s) })
	if err != nil {
		return nil, err
	}
	goesBy := trust{authorities(s), certificate(s), current.LookAgain}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := base(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := current.Get().Clone()
		c.ServerName = host
		conn := tls.Client(plain, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, goesBy.explain(address, err)
		}
		return told{conn, goesBy, address}, nil
	}, nil
}

// dialTimeout bounds connecting, and the handshake with it.
const dialTimeout = 10 * time.Second

// told is a connection whose errors name the file that they are about: with TLS 1.3 a
// client hears only when it reads that its certificate was not taken.
type told struct {
	net.Conn
	trust   trust
	address string
}

// Read implements [net.Conn].
func (c told) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		err = c.trust.explain(c.address, err)
	}
	return n, err
}

// registryTransport sends requests to the registry by what its file of authorities holds at the time.
type registryTransport struct {
	trust
	current *reload.Value[*http.Transport]
}

// Registry is how the registry is reached. It calls lost when a connection ends.
// The error names the key when the file can't be used.
func Registry(r config.Registry, lost func(), log *slog.Logger) (http.RoundTripper, error) {
	t := registryTransport{trust: trust{ca: registryAuthorities(r)}}
	var err error
	t.current, err = reload.New(t.ca.Key, []string{r.CA}, log, func() (*http.Transport, error) {
		c := &tls.Config{MinVersion: tls.VersionTLS12}
		if r.CA != "" {
			roots, err := Authorities(t.ca.Key, r.CA)
			if err != nil {
				return nil, err
			}
			c.RootCAs = roots
		}
		return registry.NewTransport(c, lost), nil
	})
	t.refused = t.current.LookAgain
	return t, err
}

// RoundTrip implements [http.RoundTripper].
func (t registryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.current.Get().RoundTrip(r)
	if err != nil {
		err = t.explain(r.URL.Host, err)
	}
	return resp, err
}
