package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// api is the REST API's listeners, and what stands before it.
type api struct {
	listeners []*security.Listener
	guard     *security.Guard
	urls      []string
	self      connector.Owner // how other workers reach it
}

// listen opens the worker's listeners, and says what may be a mistake about them.
func listen(settings *config.Worker, log *slog.Logger) (*api, error) {
	for _, a := range security.Advice(settings) {
		log.Warn(a.Error())
	}
	guard, err := security.New(settings, log)
	if err != nil {
		return nil, err
	}
	a := &api{guard: guard}
	if a.listeners, err = security.Listen(settings, log); err != nil {
		return nil, err
	}
	for _, l := range a.listeners {
		a.urls = append(a.urls, l.URL)
	}
	a.self, err = advertised(settings, a.urls)
	return a, err
}

// advertised is the address at which other workers reach the first listener that fits rest.advertised.*.
func advertised(settings *config.Worker, urls []string) (connector.Owner, error) {
	at := slices.IndexFunc(urls, func(u string) bool {
		return settings.AdvertisedListener == "" || strings.HasPrefix(u, settings.AdvertisedListener+":")
	})
	if at < 0 {
		return connector.Owner{}, config.Problem{File: settings.File, Key: "rest.advertised.listener", Value: settings.AdvertisedListener,
			Message: "none of listeners is of this protocol", Remedy: "name the protocol of one of listeners, or leave it out"}
	}
	u, err := url.Parse(urls[at])
	if err != nil {
		return connector.Owner{}, err
	}
	host, port := u.Hostname(), u.Port()
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return connector.Owner{}, fmt.Errorf("this machine has no name that other workers could use; set rest.advertised.host.name: %w", err)
		}
	}
	if settings.AdvertisedHost != "" {
		host = settings.AdvertisedHost
	}
	if settings.AdvertisedPort != 0 {
		port = strconv.Itoa(settings.AdvertisedPort)
	}
	id := net.JoinHostPort(host, port)
	return connector.Owner{WorkerID: id, URL: u.Scheme + "://" + id}, nil
}

// serve answers requests until ctx ends.
func (a *api) serve(ctx context.Context, w *connector.Worker) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range a.listeners {
		h := rest.New(w, rest.Info{Version: version(), Commit: commit(), WorkerID: a.self.WorkerID})
		g.Go(func() error { return l.Serve(ctx, a.guard.Handler(h, l.Local)) })
	}
	return g.Wait()
}

// commit is the revision that the program was built from, "unknown" where the build did not record it.
func commit() string {
	if revision != "" {
		return revision
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
