package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/egress"
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/registry"
)

// userAgent names this program to Coupa, as its administrators see it in their logs.
func userAgent() string { return "coupastream/" + version() }

// Written by the linker where the sources are built without their repository, as in an image or a release:
// -ldflags "-X main.release=v1.2.3 -X main.revision=<commit>". Only version and commit read them.
var release, revision string

// version is what the linker was told, or else the module's
// version as the Go toolchain wrote it into the program.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// newWorker builds a worker from its files: the only place that
// puts the parts together. ctx must live as long as the worker.
func (a *app) newWorker(ctx context.Context, settings *config.Worker, connectors []*config.Connector, adjust func(*connector.Config)) (*connector.Worker, error) {
	kafka, err := transport.Kafka(ctx, settings, a.log)
	if err != nil {
		return nil, err
	}
	registry, err := newRegistry(settings, a.log)
	if err != nil {
		return nil, err
	}
	cfg := connector.Config{
		Settings: settings, Connectors: connectors,
		Kafka:    kafka,
		Registry: registry,
		Source:   newSources(settings.Egress()).client,
		Log:      logging.Named(a.log, "connector"),
		LoggerLevel: func(logger, level string) {
			if _, err := a.levels.Set(logger, level); err != nil {
				a.log.Warn("a level that the group has set can't be had here", "logger", logger, "level", level, "error", err)
			}
		},
		Version: version(),
	}
	if adjust != nil {
		adjust(&cfg)
	}
	return connector.New(cfg)
}

// newRegistry makes the client of the schema registry; nil where the worker
// has none, which config.CheckTogether allows if no object needs one.
func newRegistry(settings *config.Worker, log *slog.Logger) (record.Registry, error) {
	if len(settings.Registry.URLs) == 0 {
		return nil, nil
	}
	return openRegistry(settings, log)
}

func openRegistry(settings *config.Worker, log *slog.Logger) (*registry.Client, error) {
	return registryClient(settings, filepath.Join(settings.StateDir, settings.GroupID, "schema-ids.json"), log)
}

// registryClient keeps ids in a file; "": in none.
func registryClient(settings *config.Worker, file string, log *slog.Logger) (*registry.Client, error) {
	return registry.New(registry.Config{
		URLs: settings.Registry.URLs, Username: settings.Registry.Username, Password: string(settings.Registry.Password),
		Transport: func(lost func()) (http.RoundTripper, error) { return transport.Registry(settings.Registry, lost, log) },
		CacheFile: file, CheckInterval: settings.Registry.Check, Log: logging.Named(log, "schemas"),
	})
}

// sources makes the clients of Coupa instances. Connectors to one host share its
// limiter: what Coupa grants, it grants to the instance. Safe for concurrent use.
type sources struct {
	mu     sync.Mutex
	paces  map[string]*pace // by host
	egress egress.Policy    // of connectors that came over REST
}

// pace is the limiter of one host, for as long as a connector uses it.
type pace struct {
	limiter *coupa.Limiter
	asked   string // see config.Connector.Pace
	users   int
}

func newSources(policy egress.Policy) *sources {
	return &sources{paces: map[string]*pace{}, egress: policy}
}

// source is a client that gives its place at the host's limiter back.
type source struct {
	*coupa.Client
	close func()
}

// Close ends the client's share of its host's limiter.
func (s source) Close() error {
	s.close()
	return nil
}

// client makes a connector's client. large counts its large rows; nil: they are its own.
func (s *sources) client(c *config.Connector, large *coupa.LargeRows) (stream.Source, error) {
	opened, err := s.open(c, large)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (s *sources) open(c *config.Connector, large *coupa.LargeRows) (source, error) {
	limiter, release, err := s.acquire(c.Host(), c)
	if err != nil {
		return source{}, err
	}
	cfg := c.Coupa()
	cfg.Limiter, cfg.UserAgent, cfg.TokenHold, cfg.LargeRows = limiter, userAgent(), tokenHold(), large
	if c.Submitted {
		apart := coupa.NewTransport()
		apart.DisableKeepAlives = true
		cfg.Transport, cfg.Apart = s.egress.Transport(coupa.NewTransport()), s.egress.Transport(apart)
	}
	client, err := coupa.New(cfg)
	if err != nil {
		release()
		return source{}, err
	}
	return source{client, sync.OnceFunc(release)}, nil
}

// acquire gives the host's limiter, and what gives it back.
func (s *sources) acquire(host string, c *config.Connector) (*coupa.Limiter, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.paces[host]
	if p == nil {
		p = &pace{limiter: c.Limiter(), asked: c.Pace()}
		s.paces[host] = p
	}
	if p.asked != c.Pace() {
		return nil, nil, config.Problem{File: c.File, Key: "coupa.rate.limit", Value: c.Pace(),
			Message: fmt.Sprintf("another connector to %s has %s, and an instance has one limit", host, p.asked), Remedy: "give both the same"}
	}
	p.users++
	return p.limiter, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.users--; p.users == 0 {
			delete(s.paces, host)
		}
	}, nil
}

var (
	_ stream.Source   = source{}
	_ record.Registry = (*registry.Client)(nil)
)
