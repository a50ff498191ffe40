package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest"
)

// api is the REST API's listeners.
type api struct {
	listeners []net.Listener
	urls      []string
}

// listen opens the worker's listeners.
func listen(settings *config.Worker) (*api, error) {
	a := &api{}
	for _, l := range settings.Listeners {
		u, err := url.Parse(l)
		if err != nil {
			return nil, config.Problem{File: settings.File, Key: "listeners", Value: l, Message: err.Error(), Remedy: "write e.g. http://127.0.0.1:8083"}
		}
		ln, err := net.Listen("tcp", u.Host)
		if err != nil {
			return nil, fmt.Errorf("listeners = %s: %w; give a free host:port, or port 0", l, err)
		}
		if u.Scheme == "https" {
			pair, err := tls.LoadX509KeyPair(settings.ListenerCert, settings.ListenerKey)
			if err != nil {
				return nil, config.Problem{File: settings.File, Key: "listeners.https.ssl.certificate.location", Value: settings.ListenerCert,
					Message: "cannot be used with listeners.https.ssl.key.location: " + err.Error(), Remedy: "give two readable PEM files that belong together"}
			}
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
		}
		a.listeners = append(a.listeners, ln)
		a.urls = append(a.urls, u.Scheme+"://"+ln.Addr().String())
	}
	return a, nil
}

// serve answers requests until ctx ends.
func (a *api) serve(ctx context.Context, w *connector.Worker) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, ln := range a.listeners {
		h := rest.New(w, rest.Info{Version: version(), Commit: commit(), WorkerID: ln.Addr().String()})
		g.Go(func() error { return serve(ctx, ln, h) })
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
