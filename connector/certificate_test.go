package connector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// A worker's certificate ends while its connections stand, and the brokers start again. Health
// names the file and its end; once it is renewed in place the worker goes on, without a restart.
func TestAWorkerOutlivesItsCertificate(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 181, Rows: 60}, func(h *harness) {
		files := config.Security{Protocol: "SSL", CA: filepath.Join(h.state, "ca.pem"), Cert: filepath.Join(h.state, "cert.pem"), Key: filepath.Join(h.state, "key.pem")}
		ends := time.Now().Add(3 * time.Minute)
		by := newAuthority(t)
		writePEM(t, files.CA, "CERTIFICATE", by.Certificate[0])
		renewCertificate(t, files, by, ends)
		pool := x509.NewCertPool()
		pool.AddCert(by.Leaf)
		brokers := &restartable{}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(brokers.network.Listen), kfake.SleepOutOfOrder(),
			kfake.TLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{by}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		dial, err := transport.Dial(files, slog.New(slog.NewTextHandler(h.log, nil)), brokers.dial)
		if err != nil {
			t.Fatal(err)
		}
		w := h.build(map[string]string{
			"state.dir": h.state, "heartbeat.interval.ms": "4000", "security.protocol": "SSL", "ssl.ca.location": files.CA, "ssl.certificate.location": files.Cert, "ssl.key.location": files.Key,
		}, []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(dial)})
		h.running = h.run(w)
		h.settle()
		const metric = `coupastream_certificate_not_after_timestamp_seconds{key="ssl.certificate.location"}`
		if got := scrape(t, w)[metric]; got != float64(ends.Unix()) {
			t.Errorf("%s is %v, want %d", metric, got, ends.Unix())
		}
		published := func() int64 { return w.Connectors()[0].Tasks[0].Published }
		h.pass(time.Until(ends))
		brokers.restart()
		h.tenant.Update("invoices", 4)
		h.pass(5 * time.Minute)
		want := "ssl.certificate.location = " + files.Cert + " ended at " + ends.UTC().Format(time.RFC3339)
		if err := w.Reachable(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
		if !strings.Contains(h.log.String(), "ended at "+ends.UTC().Format(time.RFC3339)) {
			t.Error("the log does not name the file and its end")
		}

		renewCertificate(t, files, by, time.Now().Add(24*time.Hour))
		before := published()
		h.pass(5 * time.Minute)
		if task := w.Connectors()[0].Tasks[0]; task.State != status.Running || published() == before || w.Reachable() != nil {
			t.Errorf("after the renewal: %s %q, %v", task.State, task.Trace, w.Reachable())
		}
	})
}

// restartable is the network of brokers whose connections can be ended, as by a restart.
type restartable struct {
	network kfake.VirtualNetwork
	mu      sync.Mutex
	made    []net.Conn
}

func (r *restartable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	pipe, err := r.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &buffered{Conn: pipe, writes: make(chan []byte, 1000), closed: make(chan struct{})}
	go conn.send()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, conn)
	return conn, nil
}

// buffered is a pipe whose writes do not wait for the reader, as those of a socket:
// in TLS both sides may write at a time.
type buffered struct {
	net.Conn
	writes chan []byte
	closed chan struct{}
	once   sync.Once
}

func (b *buffered) Write(p []byte) (int, error) {
	select {
	case b.writes <- slices.Clone(p):
		return len(p), nil
	case <-b.closed:
		return 0, net.ErrClosed
	}
}

func (b *buffered) send() {
	for {
		select {
		case p := <-b.writes:
			if _, err := b.Conn.Write(p); err != nil {
				return
			}
		case <-b.closed:
			return
		}
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

func (r *restartable) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.made {
		_ = conn.Close()
	}
	r.made = nil
}

// newAuthority makes a certificate for this machine that is its own authority.
func newAuthority(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// renewCertificate writes a client's certificate and its key over what is there.
func renewCertificate(t *testing.T, files config.Security, by tls.Certificate, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(until.Unix()), NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Leaf, &key.PublicKey, by.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.Cert, "CERTIFICATE", der)
	writePEM(t, files.Key, "PRIVATE KEY", private)
}

// writePEM writes a file with a stamp of the bubble's time, which no two versions share.
func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
}
