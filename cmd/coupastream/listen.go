package main

import (
	"context"
	"fmt"
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
	"github.com/coupastream/coupastream/connector/logging"
	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/agents"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/rest/ui"
	"github.com/coupastream/coupastream/connector/status"
)

// api is the REST API's listeners, and what stands before it.
type api struct {
	listeners []*security.Listener
	guard     *security.Guard
	urls      []string
	self      status.Owner // how other workers reach it
	options   rest.Options
	agents    agents.Options
}

// listen opens the worker's listeners, and says what may be a mistake about them.
func (a *app) listen(settings *config.Worker) (*api, error) {
	log := logging.Named(a.log, "rest.security")
	for _, advice := range security.Advice(settings) {
		log.Warn(advice.Error())
	}
	guard, err := security.New(settings, log)
	if err != nil {
		return nil, err
	}
	peers, err := security.NewForwarder(settings, log)
	if err != nil {
		return nil, err
	}
	api := &api{guard: guard, options: rest.Options{
		Version: version(), Commit: commit(), Loggers: a.levels, Hooks: settings.Hooks, Peers: peers, Log: logging.Named(a.log, "rest"),
	}, agents: agents.Options{Version: version(), Changes: settings.AgentsChange}}
	if api.listeners, err = security.Listen(settings, log); err != nil {
		return nil, err
	}
	for _, l := range api.listeners {
		api.urls = append(api.urls, l.URL)
	}
	api.self, err = advertised(settings, api.urls)
	return api, err
}

// advertised is the address at which other workers reach the first listener that fits rest.advertised.*.
func advertised(settings *config.Worker, urls []string) (status.Owner, error) {
	at := slices.IndexFunc(urls, func(u string) bool {
		return settings.AdvertisedListener == "" || strings.HasPrefix(u, settings.AdvertisedListener+":")
	})
	if at < 0 {
		return status.Owner{}, config.Problem{File: settings.File, Key: "rest.advertised.listener", Value: settings.AdvertisedListener,
			Message: "none of listeners is of this protocol", Remedy: "name the protocol of one of listeners, or leave it out"}
	}
	u, err := url.Parse(urls[at])
	if err != nil {
		return status.Owner{}, err
	}
	host, port := u.Hostname(), u.Port()
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return status.Owner{}, fmt.Errorf("this machine has no name that other workers could use; set rest.advertised.host.name: %w", err)
		}
	}
	if settings.AdvertisedHost != "" {
		host = settings.AdvertisedHost
	}
	if settings.AdvertisedPort != 0 {
		port = strconv.Itoa(settings.AdvertisedPort)
	}
	id := net.JoinHostPort(host, port)
	return status.Owner{WorkerID: id, URL: u.Scheme + "://" + id}, nil
}

// serve answers requests until ctx ends.
func (a *api) serve(ctx context.Context, w *connector.Worker) error {
	h := rest.New(w, a.options)
	page := ui.New(h)
	h.MountUI(page)
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, page.Close)() // its streams would hold the end up
	for _, l := range a.listeners {
		// what agents ask comes by the guard once more, as what it is
		answers, err := agents.Handler(a.guard.Handler(h, l.Local), a.agents)
		if err != nil {
			return err
		}
		g.Go(func() error { return l.Serve(ctx, a.guard.Handler(answers, l.Local)) })
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
