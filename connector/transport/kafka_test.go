package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

func TestClientsReachASecuredBroker(t *testing.T) {
	folder := t.TempDir()
	certificate := selfSigned(t, folder)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		kfake.Superuser("PLAIN", "plain", "pw"), kfake.Superuser("SCRAM-SHA-256", "scram", "pw"), kfake.Superuser("SCRAM-SHA-512", "scram", "pw"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	for _, test := range []struct {
		mechanism, user, password string
		works                     bool
	}{
		{"PLAIN", "plain", "pw", true},
		{"PLAIN", "plain", "wrong", false},
		{"SCRAM-SHA-256", "scram", "pw", true},
		{"SCRAM-SHA-512", "scram", "pw", true},
	} {
		t.Run(test.mechanism+" with "+test.password, func(t *testing.T) {
			w, err := config.ParseWorker(map[string]string{
				"bootstrap.servers": cluster.ListenAddrs()[0], "schema.registry.url": "http://localhost:8081",
				"security.protocol": "SASL_SSL", "sasl.mechanism": test.mechanism, "sasl.username": test.user, "sasl.password": test.password,
				"ssl.ca.location": filepath.Join(folder, "cert.pem"),
			}, func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatal(err)
			}
			if err := ping(t, w); (err == nil) != test.works {
				t.Errorf("got %v", err)
			}
		})
	}
}

// ping connects with the worker's options.
func ping(t *testing.T, w *config.Worker) error {
	t.Helper()
	opts, err := Kafka(t.Context(), w, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.Ping(t.Context())
}

func TestOAuthBearerTokensComeFromTheEndpoint(t *testing.T) {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "client" || secret != "pw" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"the-token","token_type":"bearer","expires_in":3600}`)
	}))
	t.Cleanup(endpoint.Close)
	for secret, want := range map[coupa.Secret]string{"pw": "auth=Bearer the-token", "wr0ng": "sasl.oauthbearer.token.endpoint.url"} {
		security := config.Security{Protocol: "SASL_SSL", Mechanism: "OAUTHBEARER",
			OAuth: config.OAuth{TokenURL: endpoint.URL, ClientID: "client", ClientSecret: secret, Scope: "a  b"}}
		mechanism, err := mechanism(t.Context(), security)
		if err != nil {
			t.Fatal(err)
		}
		_, first, err := mechanism.Authenticate(context.Background(), "broker")
		if got := fmt.Sprint(string(first), err); !strings.Contains(got, want) || strings.Contains(got, "wr0ng") {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func TestRecordsAreCompressedAsTheWorkerSays(t *testing.T) {
	for codec, want := range map[string]uint8{"": 2, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4} {
		t.Run("compression.type="+codec, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "data"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			keys := map[string]string{"bootstrap.servers": cluster.ListenAddrs()[0], "schema.registry.url": "http://localhost:8081"}
			if codec != "" {
				keys["compression.type"] = codec
			}
			w, err := config.ParseWorker(keys, func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatal(err)
			}
			opts, err := Kafka(t.Context(), w, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var beside sync.WaitGroup // clients are made at once by the same options
			for range 4 {
				beside.Go(func() {
					if client, err := kgo.NewClient(opts...); err == nil {
						client.Close()
					}
				})
			}
			beside.Wait()
			client, err := kgo.NewClient(append(opts, kgo.ConsumeTopics("data"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			r := kgo.StringRecord(strings.Repeat("a row ", 1000))
			r.Topic = "data"
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			for _, r := range client.PollFetches(t.Context()).Records() {
				if got := r.Attrs.CompressionType(); got != want {
					t.Errorf("codec %d, want %d", got, want)
				}
			}
		})
	}
}

func TestUnusableCertificatesNameTheirKey(t *testing.T) {
	folder := t.TempDir()
	selfSigned(t, folder)
	junk := filepath.Join(folder, "junk.pem")
	write(t, junk, "no certificate")
	cert := filepath.Join(folder, "cert.pem")
	for _, test := range []struct {
		name     string
		security config.Security
		want     string
	}{
		{"no such file", config.Security{Protocol: "SSL", CA: filepath.Join(folder, "nowhere")}, "ssl.ca.location = "},
		{"no certificate in the file", config.Security{Protocol: "SSL", CA: junk}, "holds no certificate"},
		{"no key in the file", config.Security{Protocol: "SSL", Cert: cert, Key: junk}, "ssl.certificate.location = "},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Kafka(t.Context(), &config.Worker{Security: test.security}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	if opts, err := Kafka(t.Context(), &config.Worker{Security: config.Security{Protocol: "SSL", CA: cert, Cert: cert, Key: filepath.Join(folder, "key.pem")}}, slog.New(slog.DiscardHandler)); err != nil || len(opts) != 3 {
		t.Errorf("good files: %d options, %v", len(opts), err)
	}
}

// selfSigned writes cert.pem and key.pem for 127.0.0.1.
func selfSigned(t *testing.T, folder string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	write(t, filepath.Join(folder, "cert.pem"), string(certPEM))
	write(t, filepath.Join(folder, "key.pem"), string(keyPEM))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
