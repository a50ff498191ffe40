package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	saslOAuth "github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/coupastream/coupastream/connector/config"
)

// Kafka gives the options of Kafka clients that follow from a worker's settings: how the
// brokers are reached, by which TLS and SASL, and how records are compressed.
// Certificates are read here, so it fails, naming the key, when a file can't be used; see
// Dial. OAUTHBEARER tokens are fetched under ctx, which must live as long as the client.
func Kafka(ctx context.Context, w *config.Worker, log *slog.Logger) ([]kgo.Opt, error) {
	compressed, err := compression(w.Compression)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.SeedBrokers(w.BootstrapServers...), compressed}
	s := w.Security
	if strings.HasSuffix(s.Protocol, "SSL") {
		dial, err := Dial(s, log, new(net.Dialer).DialContext)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer(dial))
	}
	if strings.HasPrefix(s.Protocol, "SASL_") {
		mechanism, err := mechanism(ctx, s)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// Check reads what the settings name, as clients will. The error is config.Problems.
func Check(w *config.Worker) error {
	var problems config.Problems
	note := func(err error) {
		var p config.Problem
		if errors.As(err, &p) {
			p.File = w.File
			problems = append(problems, p)
		}
	}
	if strings.HasSuffix(w.Security.Protocol, "SSL") {
		_, err := clientTLS(w.Security)
		note(err)
	}
	if w.Registry.CA != "" {
		_, err := Authorities("schema.registry.ssl.ca.location", w.Registry.CA)
		note(err)
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// codecs are the values of compression.type but none.
var codecs = map[string]kgo.CompressionCodec{
	"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// compression is an option that clients may share which are made at once: ProducerBatchCompression keeps the
// codecs that it is given, and each client that is made sorts these out in their place. Of no codecs it has
// none.
func compression(kind string) (kgo.Opt, error) {
	codec, compressed := codecs[kind]
	if !compressed {
		return kgo.ProducerBatchCompression(), nil
	}
	c, err := kgo.DefaultCompressor(codec)
	if err != nil {
		return nil, fmt.Errorf("compression.type = %s: %w", kind, err)
	}
	return kgo.WithCompressor(c), nil
}

// clientTLS reads the authorities and the client's certificate.
func clientTLS(s config.Security) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		roots, err := Authorities("ssl.ca.location", s.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = roots
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, config.Problem{Key: "ssl.certificate.location", Value: s.Cert, Message: "cannot be used with ssl.key.location: " + err.Error(),
				Remedy: "give two readable PEM files that belong together, the key without a passphrase"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Authorities reads a PEM file of certificates. key names the setting in the error.
func Authorities(key, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, config.Problem{Key: key, Value: path, Message: err.Error(), Remedy: "give a readable PEM file"}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, config.Problem{Key: key, Value: path, Message: "holds no certificate", Remedy: "give a PEM file with -----BEGIN CERTIFICATE-----"}
	}
	return pool, nil
}

func mechanism(ctx context.Context, s config.Security) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.Username, Pass: string(s.Password)}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.Username, Pass: string(s.Password)}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.Username, Pass: string(s.Password)}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		return oauth(ctx, s.OAuth), nil
	}
	return nil, config.Problem{Key: "sasl.mechanism", Value: s.Mechanism, Message: "not a mechanism", Remedy: "give e.g. SCRAM-SHA-512"}
}

// tokenTimeout bounds one request to the token endpoint.
const tokenTimeout = 30 * time.Second

// oauth logs in with tokens that are kept until shortly before they expire.
func oauth(ctx context.Context, o config.OAuth) sasl.Mechanism {
	credentials := clientcredentials.Config{ClientID: o.ClientID, ClientSecret: string(o.ClientSecret), TokenURL: o.TokenURL,
		Scopes: strings.Fields(o.Scope)}
	tokens := credentials.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: tokenTimeout}))
	return saslOAuth.Oauth(func(context.Context) (saslOAuth.Auth, error) {
		token, err := tokens.Token()
		if err != nil {
			return saslOAuth.Auth{}, fmt.Errorf("fetching a token from sasl.oauthbearer.token.endpoint.url: %w", err)
		}
		return saslOAuth.Auth{Token: token.AccessToken}, nil
	})
}
