package main

import (
	"context"
	"log/slog"
	"runtime/debug"

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
	return a, nil
}

// serve answers requests until ctx ends.
func (a *api) serve(ctx context.Context, w *connector.Worker) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range a.listeners {
		h := rest.New(w, rest.Info{Version: version(), Commit: commit(), WorkerID: l.Addr()})
		g.Go(func() error { return l.Serve(ctx, a.guard.Handler(h, l.Local)) })
	}
	return g.Wait()
}

// commit is the revision that the program was built from, "unknown" where the build did not record it.
func commit() string {
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
