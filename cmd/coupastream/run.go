package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/garbage"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
)

func newRunCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run WORKER [CONNECTOR …]",
		Short: "Run a worker with its connectors until it is stopped",
		Long: `Run a worker from a worker file and any number of connector files (YAML, JSON or .properties).

Connectors also come over the REST API, of any worker, and are kept in Kafka (config.storage.topic).

Workers with one group.id share the connectors: start as many as you like, each with the same connector files and a state.dir of its own. When one stops,
the others take over its share at once; when one dies, after session.timeout.ms.

SIGINT or SIGTERM stops it cleanly: the batch in hand is committed or dropped whole. A second signal ends it at once; that is safe too.
It ends with status 1 when it cannot start or cannot be a member of its group.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args[0], args[1:]) },
	}
}

func (a *app) run(ctx context.Context, workerFile string, connectorFiles []string) error {
	settings, connectors, err := a.load(workerFile, connectorFiles)
	if err != nil {
		return err
	}
	api, err := a.listen(settings)
	if err != nil {
		return err
	}
	traces, flush, err := newTraces(ctx, settings, a.log)
	if err != nil {
		return err
	}
	defer flush()
	w, err := a.newWorker(ctx, settings, connectors, func(c *connector.Config) {
		if c.Self, c.Env = api.self, a.env; traces != nil {
			c.Traces = traces
		}
	})
	if err != nil {
		return err
	}
	a.log.Info("worker starting", "version", version(), "group.id", settings.GroupID, "bootstrap.servers", settings.BootstrapServers,
		"connectors", len(connectors), "rest", api.urls)
	g, ctx := errgroup.WithContext(ctx)
	go garbage.Bound(ctx)
	g.Go(func() error { return api.serve(ctx, w) })
	g.Go(func() error { return w.Run(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("the worker has ended: %w", err)
	}
	a.log.Info("worker stopped")
	return nil
}

// load reads every file and reports every problem of all of them at once.
func (a *app) load(workerFile string, connectorFiles []string) (*config.Worker, []*config.Connector, error) {
	settings, err := config.LoadWorker(workerFile, a.env)
	errs := []error{err}
	var connectors []*config.Connector
	for _, file := range connectorFiles {
		c, err := config.LoadConnector(file, a.env)
		errs = append(errs, err)
		if err == nil {
			connectors = append(connectors, c)
		}
	}
	errs = append(errs, config.CheckTogether(settings, connectors))
	return settings, connectors, errors.Join(errs...)
}
