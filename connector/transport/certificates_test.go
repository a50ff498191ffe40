package transport

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/registry"
)

// issuer is an authority.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

var serial atomic.Int64

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, cert, key, pemOf("CERTIFICATE", der)}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue makes a certificate for 127.0.0.1 that ends at a time.
func (i *issuer) issue(until time.Time) (cert, key string) {
	i.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &private.PublicKey, i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		i.t.Fatal(err)
	}
	return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", pkcs8)
}

func (i *issuer) pair() *tls.Certificate {
	i.t.Helper()
	cert, key := i.issue(time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		i.t.Fatal(err)
	}
	return &pair
}

func (i *issuer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.cert)
	return pool
}

// A worker's certificate ends, and that of the brokers comes from another authority. Files are renewed in
// place; a client that was made before goes on with its next connection, and says what is wrong till then.
func TestCertificatesThatAreRenewedInPlaceCountForTheNextConnection(t *testing.T) {
	for name, highest := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			first, second := newIssuer(t), newIssuer(t)
			var shown atomic.Pointer[tls.Certificate]
			shown.Store(first.pair())
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{
				MinVersion: tls.VersionTLS12, MaxVersion: highest, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: first.pool(),
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil },
			}))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			s, logged := brokerFiles(t, first), &bytes.Buffer{}
			opts, err := Kafka(t.Context(), &config.Worker{Security: s}, slog.New(slog.NewTextHandler(logged, nil)))
			if err != nil {
				t.Fatal(err)
			}
			connect := func() error { // as after a reconnect: by the options of before
				cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RequestRetries(0))...)
				if err != nil {
					t.Fatal(err)
				}
				defer cl.Close()
				return cl.Ping(t.Context())
			}

			ended := time.Now().Add(-time.Hour)
			wants(t, connect(), s.Cert+" ended at "+ended.UTC().Format(time.RFC3339)[:13])
			renew(t, s, first, time.Now().Add(time.Hour))
			if err := connect(); err != nil {
				t.Errorf("after the client's files were renewed: %v", err)
			}

			shown.Store(second.pair())
			wants(t, connect(), "ssl.ca.location = "+s.CA+" is valid until")
			write(t, s.CA, first.pem+second.pem)
			if err := connect(); err != nil {
				t.Errorf("after the authorities were renewed: %v", err)
			}
			if !strings.Contains(logged.String(), "changed files were read again") {
				t.Errorf("nothing was said of it: %s", logged)
			}
		})
	}
}

// brokerFiles are those of a worker whose certificate has ended.
func brokerFiles(t *testing.T, by *issuer) config.Security {
	t.Helper()
	folder := t.TempDir()
	s := config.Security{Protocol: "SSL", CA: filepath.Join(folder, "ca.pem"), Cert: filepath.Join(folder, "cert.pem"), Key: filepath.Join(folder, "key.pem")}
	write(t, s.CA, by.pem)
	renew(t, s, by, time.Now().Add(-time.Hour))
	return s
}

func renew(t *testing.T, s config.Security, by *issuer, until time.Time) {
	t.Helper()
	cert, key := by.issue(until)
	write(t, s.Cert, cert)
	write(t, s.Key, key)
	later := time.Now().Add(time.Duration(serial.Add(1)) * time.Second) // two writes may share a stamp
	for _, path := range []string{s.Cert, s.Key} {
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
}

// wants expects a certificate's error that says something.
func wants(t *testing.T, err error, part string) {
	t.Helper()
	var told *CertificateError
	if !errors.As(err, &told) || !strings.Contains(err.Error(), part) || !told.Temporary() || !strings.Contains(told.Remedy(), "renew") {
		t.Errorf("%v, want %q in it", err, part)
	}
}

func TestTheRegistrysAuthoritiesAreReadAgain(t *testing.T) {
	first, second := newIssuer(t), newIssuer(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("%s, want HTTP/2", r.Proto)
		}
		_, _ = io.WriteString(w, `{"subject":"s","id":5,"version":1,"schema":"{}"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*second.pair()}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	r := config.Registry{CA: filepath.Join(t.TempDir(), "ca.pem")}
	write(t, r.CA, first.pem)
	transport := func(lost func()) (http.RoundTripper, error) { return Registry(r, lost, slog.New(slog.DiscardHandler)) }
	client, err := registry.New(registry.Config{URLs: []string{server.URL}, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Lookup(t.Context(), "s", "{}")
	wants(t, err, "schema.registry.ssl.ca.location = "+r.CA+" is valid until")
	var failed *registry.Error
	if !errors.As(err, &failed) || !failed.Temporary() {
		t.Errorf("%v is not tried again", err)
	}
	write(t, r.CA, first.pem+second.pem)
	if id, err := client.Lookup(t.Context(), "s", "{}"); id != 5 || err != nil {
		t.Errorf("after the renewal: %d, %v", id, err)
	}
	for path, want := range map[string]string{"/nowhere.pem": "/nowhere.pem", filepath.Join(t.TempDir(), "empty.pem"): "holds no certificate"} {
		if strings.HasSuffix(path, "empty.pem") {
			write(t, path, "")
		}
		if _, err := Registry(config.Registry{CA: path}, func() {}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "schema.registry.ssl.ca.location") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestValidityOfFiles(t *testing.T) {
	by, folder := newIssuer(t), t.TempDir()
	soon, late := time.Now().Add(time.Hour).UTC().Truncate(time.Second), time.Now().Add(9*time.Hour).UTC().Truncate(time.Second)
	one, _ := by.issue(soon)
	other, _ := by.issue(late)
	path := filepath.Join(folder, "both.pem")
	for _, text := range []string{one + other, other + one} {
		write(t, path, "# a comment\n"+text)
		if _, until, err := (CertificateFile{"k", path, false}).Validity(); err != nil || !until.Equal(soon) {
			t.Errorf("a chain is valid until %v, %v; want %v", until, err, soon)
		}
		if _, until, err := (CertificateFile{"k", path, true}).Validity(); err != nil || !until.Equal(late) {
			t.Errorf("authorities are valid until %v, %v; want %v", until, err, late)
		}
	}
	write(t, path, "nothing")
	if _, _, err := (CertificateFile{"k", path, false}).Validity(); err == nil {
		t.Error("a file without a certificate has an end")
	}
	w := config.Worker{Security: config.Security{CA: "a", Cert: "b", Password: coupa.Secret("x")}, Registry: config.Registry{CA: "c"}, ListenerCert: "d"}
	keys := ""
	for _, f := range CertificateFiles(&w) {
		keys += f.Key + "=" + f.Path + " "
	}
	if keys != "ssl.ca.location=a ssl.certificate.location=b schema.registry.ssl.ca.location=c listeners.https.ssl.certificate.location=d " {
		t.Errorf("got %s", keys)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
