//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// nginx reads a tenant through Debian's nginx with the bounds that it has by itself: over HTTP/1.1 in clear,
// over HTTP/1.1 with TLS, and over HTTP/2. Rows have forty custom fields of the global namespace: asked for
// by name, with all others, they would make request lines that nginx does not take.
func (p *parts) nginx(t *testing.T) {
	nightly(t)
	begun := time.Now()
	objects := []string{"suppliers", "invoices"}
	tenant := p.tenant(t, "nginx", "--objects", strings.Join(objects, ","), "--rows", "120", "--changes-per-second", "0")
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("legacy-cost-center-of-the-company-%d", i))
	}
	for _, object := range objects {
		for id := range tenant.ids(t, object) {
			for i, name := range names {
				value := json.RawMessage(fmt.Sprintf("%q", fmt.Sprintf("center %d of %d", i, id)))
				tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d/members/%s", object, id, name), value, nil)
			}
		}
	}
	gateway := p.newGateway(t, tenant)
	var ws []*worker
	for name, url := range gateway.urls {
		w := p.worker(t, tenant.as("nginx-"+name+p.run), map[string]string{"coupa.objects": strings.Join(objects, ","), "coupa.url": url})
		w.globals, w.env = names, []string{"SSL_CERT_FILE=" + gateway.authority}
		ws = append(ws, w)
	}
	ws[0].beside = ws[1:]
	ws[0].start()
	history := map[string]map[int64]bool{}
	for _, w := range ws {
		for object, topic := range w.topics() {
			history[topic] = tenant.ids(t, object)
		}
	}
	ws[0].comes(t, newWatch(t, p, history))
	for _, object := range objects {
		for id := range tenant.ids(t, object) {
			tenant.must(t, http.MethodPost, fmt.Sprintf("/_tenant/objects/%s/%d", object, id), nil, nil)
		}
	}
	mustHold(t, begun, ws...)
	for _, w := range ws {
		tasks, err := tasksOf(ws[0].listener, w.tenant.name)
		if err != nil || len(tasks) != len(objects) || slices.ContainsFunc(tasks, func(t task) bool { return t.State != "RUNNING" }) {
			t.Errorf("%s: %+v %v", w.tenant.name, tasks, err)
		}
	}
	ws[0].stop(t)
	gateway.check(t)
}

// gateway is nginx before a tenant: a server for each way to talk with it.
type gateway struct {
	dir       string
	urls      map[string]string // by the server's name
	authority string            // a PEM file
}

// spoken is the version of HTTP that each server is to be talked to in.
var spoken = map[string]string{"clear": "HTTP/1.1", "tls": "HTTP/1.1", "http2": "HTTP/2.0"}

// newGateway starts it.
func (p *parts) newGateway(t *testing.T, tenant *tenant) *gateway {
	t.Helper()
	if err := command("./nginx.sh").Run(); err != nil {
		t.Fatal(err)
	}
	g := &gateway{dir: filepath.Join(p.dir, tenant.name+"-nginx"), urls: map[string]string{}}
	g.authority = filepath.Join(g.dir, "ca.pem")
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	g.certify(t)
	servers := ""
	for name, listens := range map[string]string{"clear": "", "tls": " ssl", "http2": " ssl http2"} {
		scheme := "https"
		if listens == "" {
			scheme = "http"
		}
		port := freePort(t)
		g.urls[name] = fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
		servers += fmt.Sprintf("  server { listen 127.0.0.1:%d%s; access_log %s.log seen; location / { proxy_pass %s; } }\n", port, listens, name, tenant.url)
	}
	config := "worker_processes 1;\npid nginx.pid;\nevents {}\nhttp {\n  log_format seen '$server_protocol $status $request_length';\n" +
		"  ssl_certificate cert.pem;\n  ssl_certificate_key key.pem;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		config += fmt.Sprintf("  %s_temp_path %s;\n", kind, kind)
	}
	path := filepath.Join(g.dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config+servers+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	nginx := launch(t, filepath.Join(g.dir, "nginx"), "./nginx.sh", path, g.dir)
	for _, url := range g.urls {
		_, at, _ := strings.Cut(url, "://")
		err := await(t.Context(), "nginx", 20*time.Second, func() error {
			if !nginx.running() {
				return fmt.Errorf("%w: %s", errEnded, tail(nginx.stderr, 3))
			}
			conn, err := net.Dial("tcp", at)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// certify makes a certificate that vouches for itself, and its key.
func (g *gateway) certify(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nginx of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: cert}, "cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(g.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// check sees to it that each server was talked to as it should be, and tells what it answered.
func (g *gateway) check(t *testing.T) {
	t.Helper()
	for name, protocol := range spoken {
		log, err := os.ReadFile(filepath.Join(g.dir, name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		answers, longest := map[string]int{}, 0
		for line := range strings.Lines(string(log)) {
			var proto, status string
			var length int
			if _, err := fmt.Sscan(line, &proto, &status, &length); err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			answers[proto+" "+status]++
			longest = max(longest, length)
		}
		t.Logf("%s: %v, the longest request had %d bytes", name, answers, longest)
		if answers[protocol+" 200"] == 0 {
			t.Errorf("%s: nothing was answered over %s", name, protocol)
		}
	}
}
