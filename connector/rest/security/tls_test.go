package security

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/reload"
	"github.com/coupastream/coupastream/coupa"
)

// authority makes certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key, _ = issue(t, nil, "authority")
	return a
}

// issue makes a certificate for a name and 127.0.0.1; without an authority one that is an authority.
func issue(t *testing.T, by *authority, name string) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.certificate, by.key
	} else {
		c.KeyUsage |= x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key, der
}

// files writes a certificate, its key and the authority's certificate as PEM.
func (a *authority) files(t *testing.T, folder, name string) (cert, key, ca string) {
	t.Helper()
	_, k, der := issue(t, a, name)
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return write(t, filepath.Join(folder, name+".pem"), text("CERTIFICATE", der)), write(t, filepath.Join(folder, name+".key"), text("EC PRIVATE KEY", raw)),
		write(t, filepath.Join(folder, name+"-ca.pem"), text("CERTIFICATE", a.certificate.Raw))
}

// worker is the settings of an https worker.
func (a *authority) worker(t *testing.T, folder, name, clientAuth string) config.Worker {
	cert, key, ca := a.files(t, folder, name)
	return config.Worker{Listeners: []string{"https://127.0.0.1:0"}, ListenerCert: cert, ListenerKey: key, ListenerCA: ca, ListenerClientAuth: clientAuth}
}

// serve runs a worker's API and gives its URL.
func serve(t *testing.T, settings config.Worker) string {
	t.Helper()
	return served(t, settings, api()).URL
}

func served(t *testing.T, settings config.Worker, api http.Handler) *Listener {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	g, err := New(&settings, log)
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := Listen(&settings, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- listeners[0].Serve(ctx, g.Handler(api, listeners[0].Local)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listeners[0]
}

// get asks a worker, with a client's certificate if files are given.
func (a *authority) get(url string, cert, key string) (body string, state *tls.ConnectionState, err error) {
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(a.certificate)
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return "", nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	way := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer way.CloseIdleConnections()
	res, err := (&http.Client{Transport: way}).Get(url + "/connectors")
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.Status + " " + strings.TrimSpace(string(text)), res.TLS, err
}

func TestCertificatesDecideWhoIsLetIn(t *testing.T) {
	folder := t.TempDir()
	trusted, other := newAuthority(t), newAuthority(t)
	readCert, readKey, _ := trusted.files(t, folder, "viewer-1")
	unlistedCert, unlistedKey, _ := trusted.files(t, folder, "somebody")
	foreignCert, foreignKey, _ := other.files(t, folder, "worker-1")
	text, _, _ := accountsText(t)
	accounts := write(t, filepath.Join(folder, "accounts.yaml"), text)
	for _, c := range []struct {
		name, auth, accounts, cert, key, want string // want "": no connection
	}{
		{"none is asked for", "none", "", "", "", "200 OK admin  0"},
		{"required and not given", "required", "", "", "", ""},
		{"required and of another authority", "required", "", foreignCert, foreignKey, ""},
		{"required and given", "required", "", unlistedCert, unlistedKey, "200 OK admin  0"},
		{"requested and not given", "requested", "", "", "", "200 OK admin  0"},
		{"requested and of another authority", "requested", "", foreignCert, foreignKey, ""},
		{"the certificate of an account", "required", accounts, readCert, readKey, "200 OK read-only viewer-1 0"},
		{"the certificate of no account", "required", accounts, unlistedCert, unlistedKey, "401"},
		{"no certificate where accounts are", "requested", accounts, "", "", "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings := trusted.worker(t, t.TempDir(), "listener", c.auth)
			settings.AuthFile = c.accounts
			body, state, err := trusted.get(serve(t, settings), c.cert, c.key)
			if (err != nil) != (c.want == "") || err == nil && !strings.HasPrefix(body, c.want) {
				t.Fatalf("got %s (%v)", body, err)
			}
			if err == nil && (state.Version < tls.VersionTLS12 || state.NegotiatedProtocol != "h2") {
				t.Errorf("%x, %s", state.Version, state.NegotiatedProtocol)
			}
		})
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	a := newAuthority(t)
	address := serve(t, a.worker(t, t.TempDir(), "listener", "none"))
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	c.RootCAs.AddCert(a.certificate)
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), c); err == nil {
		t.Errorf("a connection with version %x", conn.ConnectionState().Version)
	}
}

// aged makes files look as if they were written a while ago,
// so that the next version differs whatever the disk's clock.
func aged(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChangedCertificatesAndAuthoritiesCountWithoutARestart(t *testing.T) {
	synctest.Test(t, changedCertificates)
}

func changedCertificates(t *testing.T) {
	folder := t.TempDir()
	first, second := newAuthority(t), newAuthority(t)
	settings := first.worker(t, folder, "listener", "required")
	firstCert, firstKey, _ := first.files(t, folder, "first")
	secondCert, secondKey, _ := second.files(t, folder, "second")
	aged(t, settings.ListenerCert, settings.ListenerKey, settings.ListenerCA)
	var log bytes.Buffer
	current, err := newClients(&settings, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	// handshake tells whether a client of an authority gets through.
	handshake := func(a *authority, cert, key string) error {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.certificate)
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		server := tls.Server(there, current.config())
		answered := make(chan error, 1)
		go func() { answered <- server.Handshake(); there.Close() }()
		client := tls.Client(here, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{pair}})
		// the server ends it, or says why it did not begin
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			return err
		}
		return <-answered
	}
	if err := handshake(first, firstCert, firstKey); err != nil {
		t.Fatal(err)
	}
	half, err := os.ReadFile(settings.ListenerCert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, settings.ListenerCert, string(half[:len(half)/2]))
	time.Sleep(reload.Interval)
	if err := handshake(first, firstCert, firstKey); err != nil {
		t.Errorf("a certificate that is half written: %v", err)
	}
	second.worker(t, folder, "listener", "required")
	time.Sleep(reload.Interval)
	if err := handshake(second, secondCert, secondKey); err != nil {
		t.Errorf("the second authority: %v", err)
	}
	if err := handshake(second, firstCert, firstKey); err == nil {
		t.Error("a client of the first authority got through")
	}
	for _, want := range []string{"what they held before stays in force", "changed files were read again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
}

func TestAnAuthorityThatIsTakenOutCountsOnOpenConnections(t *testing.T) {
	for _, auth := range []string{"required", "requested"} {
		folder := t.TempDir()
		first, second := newAuthority(t), newAuthority(t)
		settings := first.worker(t, folder, "listener", auth)
		aged(t, settings.ListenerCA)
		asked := make(chan context.Context, 2)
		l := served(t, settings, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Context() }))
		cert, key, _ := first.files(t, folder, "client")
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(first.certificate)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: true}}
		get := func() int {
			res, err := client.Get(l.URL + "/connectors")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return res.StatusCode
		}
		if got := get(); got != 200 {
			t.Fatal(got)
		}
		lasting := <-asked
		if !StillAdmitted(lasting) {
			t.Error("who was just let in would not be now")
		}
		var text bytes.Buffer
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: second.certificate.Raw}); err != nil {
			t.Fatal(err)
		}
		write(t, settings.ListenerCA, text.String())
		l.clients.current.LookAgain()
		if got := get(); got != 403 {
			t.Errorf("%s: after the authority was taken out: %d", auth, got)
		}
		if StillAdmitted(lasting) {
			t.Errorf("%s: an answer that lasts goes on", auth)
		}
		client.CloseIdleConnections()
	}
}

func TestTheTokenOfAWorkerIsNotForWhoHasAnAccount(t *testing.T) {
	got := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Authorization") }))
	defer other.Close()
	forwarder, err := NewForwarder(&config.Worker{ForwardToken: "own"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer forwarder.CloseIdleConnections()
	for _, c := range []struct {
		name, given, want string
		ctx               context.Context
	}{
		{"the worker itself", "", "Bearer own", t.Context()},
		{"somebody on an open path", "", "Bearer own", admitted(t.Context(), Caller{Role: ReadOnly}, nil)},
		{"an account by certificate", "", "", admitted(t.Context(), Caller{Name: "ops", Role: Admin}, nil)},
		{"an account by token", "Bearer ops", "Bearer ops", admitted(t.Context(), Caller{Name: "ops", Role: Admin}, nil)},
	} {
		r, err := http.NewRequestWithContext(c.ctx, http.MethodGet, other.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.given != "" {
			r.Header.Set("Authorization", c.given)
		}
		res, err := forwarder.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if sent := <-got; sent != c.want {
			t.Errorf("%s: %q", c.name, sent)
		}
	}
}

func TestForwardedRequestsShowTheWorkersCertificateAndTheCallersCredentials(t *testing.T) {
	t.Parallel() // HTTP/2 takes a second to end
	a := newAuthority(t)
	text, _, token := accountsText(t)
	settings := a.worker(t, t.TempDir(), "worker-1", "required")
	settings.AuthFile = write(t, filepath.Join(t.TempDir(), "accounts.yaml"), text)
	address := serve(t, settings)
	forwarder, err := NewForwarder(&settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer forwarder.CloseIdleConnections()
	for authorization, want := range map[string]string{"": "200 admin worker-1 0", "Bearer " + token: "403"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, address+"/connectors/a/restart", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		// of the page, which the first worker has looked at
		r.Header.Set("Origin", "https://the-first-worker:8083")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := forwarder.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := res.Status[:4] + string(body); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s", authorization, got)
		}
	}
	reading, hash := NewToken()
	write(t, settings.AuthFile, "tokens: {page: {sha256: "+hash+", role: read-only}}\n")
	settings.ForwardToken = coupa.Secret(reading)
	page, err := NewForwarder(&settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer page.CloseIdleConnections()
	res, err := page.Get(serve(t, settings) + "/connectors")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(body) != "read-only page 0" {
		t.Errorf("in the worker's own name: %s %s", res.Status, body)
	}
	stranger, err := NewForwarder(&config.Worker{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if res, err := stranger.Get(address); err == nil {
		t.Errorf("a worker without a certificate, and without the authority, got %s", res.Status)
	}
}

func TestAdviceNamesListenersThatAreOpen(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings config.Worker
		want     string
	}{
		{"loopback", config.Worker{Listeners: []string{"http://127.0.0.1:8083", "http://localhost:1", "http://[::1]:2"}}, ""},
		{"open", config.Worker{File: "worker.yaml", Listeners: []string{"http://:8083"}}, `worker.yaml: listeners = "http://:8083": everybody who reaches this address may read and change everything; set rest.auth.file, or`},
		{"TLS alone lets everybody in", config.Worker{Listeners: []string{"https://0.0.0.0:8443"}, ListenerClientAuth: "requested"}, "everybody"},
		{"certificates", config.Worker{Listeners: []string{"https://0.0.0.0:8443"}, ListenerClientAuth: "required"}, ""},
		{"accounts", config.Worker{Listeners: []string{"https://0.0.0.0:8443"}, AuthFile: "a"}, ""},
		{"accounts in clear", config.Worker{Listeners: []string{"http://10.0.0.1:8083"}, AuthFile: "a"}, "travel in clear"},
	} {
		if got := Advice(&c.settings); (len(got) > 0) != (c.want != "") || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
