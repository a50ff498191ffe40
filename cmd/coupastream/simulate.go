package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// simulateFlags are the flags of simulate.
type simulateFlags struct {
	listen  string
	objects []string
	tenant  coupatest.Config
}

func newSimulateCommand(a *app) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run a simulated Coupa instance that keeps changing, for rehearsals",
		Long: "Run a simulated Coupa instance that keeps changing, for rehearsals. Its address and credentials are printed on\n" +
			"stdout as keys of a connector file. Ctrl-C ends it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.simulate(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8090", "host:port to listen on; port 0 takes a free one")
	flags.StringSliceVar(&f.objects, "objects", nil, "objects to serve, by comma (default all)")
	flags.Uint64Var(&f.tenant.Seed, "seed", 1, "what the rows are made from: the same seed gives the same rows")
	flags.IntVar(&f.tenant.Rows, "rows", 200, "rows of each object at the start")
	flags.IntVar(&f.tenant.RowBytes, "row-bytes", 0, "bytes of JSON per row, about; 0 for a natural size")
	flags.Float64Var(&f.tenant.ChangesPerSecond, "changes-per-second", 2, "changes a second, all objects together; 0 for none")
	flags.Float64Var(&f.tenant.RateLimit, "rate-limit", 25, "requests a second that are served before 429; 0 for no limit")
	flags.BoolVar(&f.tenant.RateWaits, "rate-waits", false, "up to 20 requests above that wait for their turn, instead of passing at once")
	flags.DurationVar(&f.tenant.Latency, "latency", 0, "wait before each answer")
	flags.DurationVar(&f.tenant.TokenHold, "token-hold", 5*time.Second, "time for which a new token is refused with 401")
	flags.DurationVar(&f.tenant.TokenTTL, "token-ttl", 24*time.Hour, "time for which a token is good")
	flags.DurationVar(&f.tenant.LateBy, "late-by", 2*time.Second, "delay with which some rows become visible")
	flags.StringVar(&f.tenant.ClientID, "client-id", "simulated", "the OAuth 2 client that is let in")
	flags.StringVar(&f.tenant.ClientSecret, "client-secret", "simulated-secret", "its secret")
	return cmd
}

// config checks the flags and gives the tenant's configuration.
func (f simulateFlags) config() (coupatest.Config, error) {
	cfg := f.tenant
	for _, o := range f.objects {
		if !slices.Contains(coupatest.Resources(), o) {
			return cfg, usageError{fmt.Errorf("--objects: unknown object %q; there are %s", o, strings.Join(coupatest.Resources(), ", "))}
		}
	}
	if cfg.Rows < 0 || cfg.RowBytes < 0 || cfg.ChangesPerSecond < 0 || cfg.RateLimit < 0 || cfg.TokenHold < 0 || cfg.LateBy < 0 || cfg.Latency < 0 {
		return cfg, usageError{errors.New("a flag has a negative value; give 0 for none, or for no limit")}
	}
	cfg.Objects = f.objects
	cfg.Rows, cfg.RateLimit = noneIfZero(cfg.Rows), noneIfZero(cfg.RateLimit)
	cfg.TokenHold, cfg.LateBy = noneIfZero(cfg.TokenHold), noneIfZero(cfg.LateBy)
	return cfg, nil
}

// noneIfZero translates a flag's zero: in a tenant's configuration
// zero means the default, and a negative value none.
func noneIfZero[T int | float64 | time.Duration](flag T) T {
	if flag == 0 {
		return -1
	}
	return flag
}

// simulate serves the tenant until ctx ends.
func (a *app) simulate(ctx context.Context, f simulateFlags) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w; give a free host:port, or port 0", err)
	}
	tenant := coupatest.New(cfg)
	fmt.Fprintf(a.stdout, "coupa.url=http://%s\ncoupa.client.id=%s\ncoupa.client.secret=%s\n", listener.Addr(), cfg.ClientID, cfg.ClientSecret)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, listener, tenant) })
	if cfg.ChangesPerSecond > 0 {
		group.Go(func() error { return ignoreCancel(tenant.Run(ctx)) })
	}
	return group.Wait()
}

// serve answers requests until ctx ends, and then lets those under way finish for a second at most.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1) // the server's only result
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // the clients of a rehearsal need no goodbye
	}
	<-stopped
	return nil
}

// ignoreCancel is nil for the end that was asked for.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
