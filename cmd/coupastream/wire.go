package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/egress"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// userAgent names this program to Coupa, as its administrators see it in their logs.
func userAgent() string { return "coupastream/" + version() }

// version is the module's version as the Go toolchain wrote it into the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// newWorker builds a worker from its files: the only place that puts the parts together. ctx must live as long as the worker.
func newWorker(ctx context.Context, settings *config.Worker, connectors []*config.Connector, log *slog.Logger, adjust func(*connector.Config)) (*connector.Worker, error) {
	kafka, err := settings.Security.KafkaOpts(ctx)
	if err != nil {
		return nil, err
	}
	registry, err := newRegistry(settings, log)
	if err != nil {
		return nil, err
	}
	cfg := connector.Config{
		Settings: settings, Connectors: connectors,
		Kafka:    append(kafka, kgo.SeedBrokers(settings.BootstrapServers...)),
		Registry: registry,
		Source:   newSources(settings.Egress()).client,
		Log:      log,
		Version:  version(),
	}
	if adjust != nil {
		adjust(&cfg)
	}
	return connector.New(cfg)
}

// newRegistry makes the client of the schema registry; nil where the worker has none, which config.CheckTogether allows if no object needs one.
func newRegistry(settings *config.Worker, log *slog.Logger) (connector.Registry, error) {
	if len(settings.Registry.URLs) == 0 {
		return nil, nil
	}
	return schemas.NewRegistry(schemas.RegistryConfig{
		URLs: settings.Registry.URLs, Username: settings.Registry.Username, Password: string(settings.Registry.Password), CAFile: settings.Registry.CA,
		CacheFile: filepath.Join(settings.StateDir, settings.GroupID, "schema-ids.json"), Log: log,
	})
}

// sources makes the clients of Coupa instances. Connectors to one host share its limiter: what Coupa grants, it grants to the instance.
type sources struct {
	limiters map[string]*coupa.Limiter
	rates    map[string]float64
	egress   egress.Policy // of connectors that came over REST
}

func newSources(policy egress.Policy) *sources {
	return &sources{limiters: map[string]*coupa.Limiter{}, rates: map[string]float64{}, egress: policy}
}

func (s *sources) client(c *config.Connector) (connector.Source, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("coupa.url = %s: %w", c.URL, err)
	}
	host := strings.ToLower(u.Host)
	if s.limiters[host] == nil {
		s.limiters[host], s.rates[host] = coupa.NewLimiter(c.RateLimit), c.RateLimit
	}
	if s.rates[host] != c.RateLimit {
		return nil, config.Problem{File: c.File, Key: "coupa.rate.limit", Value: fmt.Sprint(c.RateLimit),
			Message: fmt.Sprintf("another connector to %s has %v, and an instance has one limit", host, s.rates[host]), Remedy: "give both the same"}
	}
	cfg := c.Coupa()
	cfg.Limiter, cfg.UserAgent, cfg.TokenHold = s.limiters[host], userAgent(), tokenHold()
	if c.File == "" {
		cfg.Transport = s.egress.Transport(coupa.NewTransport())
	}
	return coupa.New(cfg)
}

var (
	_ connector.Source   = (*coupa.Client)(nil)
	_ connector.Registry = (*schemas.Registry)(nil)
)
