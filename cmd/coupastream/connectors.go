package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/config"
)

func newConnectorsCommand(a *app) *cobra.Command {
	r := &remote{app: a}
	cmd := &cobra.Command{
		Use:   "connectors",
		Short: "List, make, change and delete connectors of a running worker's group",
		Long: `List, make, change and delete connectors of a running worker's group, from connector files as run takes them. The file is sent as it is: a secret must be a reference,
which the worker resolves, not this program.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("no command given; give list, create, update, apply or delete, see " + cmd.CommandPath() + " --help")}
		},
	}
	r.flags(cmd)
	cmd.AddCommand(r.connectorsList(),
		r.connectorsFrom("create", "Make connectors that there are not yet", r.create),
		r.connectorsFrom("update", "Give connectors that there are another configuration", r.update),
		r.connectorsApply(),
		r.connectorsDelete())
	return cmd
}

func (r *remote) connectorsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the names of the connectors", Args: cobra.NoArgs,
		RunE: r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			names, err := c.Names(ctx)
			if err != nil {
				return err
			}
			return r.print(names, func(w io.Writer) {
				for _, name := range names {
					fmt.Fprintln(w, name)
				}
			})
		}),
	}
}

// connectorsFrom makes a command that does something with each of
// some connector files. All files are read before the first is sent.
func (r *remote) connectorsFrom(verb, short string, act func(ctx context.Context, c *client.Client, name string, raw map[string]string) (string, error)) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use: verb + " -f FILE", Short: short, Example: "  coupastream connectors " + verb + " -f acme.yaml", Args: cobra.NoArgs,
		RunE: r.asking(func(ctx context.Context, c *client.Client, _ []string) error {
			if len(files) == 0 {
				return usageError{errors.New("no file given; give a connector file with -f")}
			}
			var configs []map[string]string
			for _, file := range files {
				raw, err := config.ReadConnector(file)
				if err != nil {
					return err
				}
				configs = append(configs, raw)
			}
			for _, raw := range configs {
				done, err := act(ctx, c, raw["name"], raw)
				if err != nil {
					return fmt.Errorf("%s: %w", raw["name"], err)
				}
				if err := r.done(raw["name"], "%s", done); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().StringSliceVarP(&files, "file", "f", nil, "connector file: YAML, JSON or .properties")
	return cmd
}

func (r *remote) create(ctx context.Context, c *client.Client, name string, raw map[string]string) (string, error) {
	return "created", c.Create(ctx, name, raw)
}

func (r *remote) update(ctx context.Context, c *client.Client, name string, raw map[string]string) (string, error) {
	if _, err := c.Info(ctx, name); err != nil {
		return "", err
	}
	return "updated", c.Configure(ctx, name, raw)
}

func (r *remote) apply(ctx context.Context, c *client.Client, name string, raw map[string]string) (string, error) {
	before, err := c.Info(ctx, name)
	switch {
	case client.IsNotFound(err):
		return "created", c.Configure(ctx, name, raw)
	case err != nil:
		return "", err
	case maps.Equal(before.Config, raw):
		return "unchanged", nil
	}
	return "updated", c.Configure(ctx, name, raw)
}

func (r *remote) connectorsDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete CONNECTOR…", Short: "Delete connectors; their positions stay, and one of the same name goes on from there", Args: cobra.MinimumNArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			for _, name := range args {
				if err := c.Delete(ctx, name); err != nil {
					return err
				}
				if err := r.done(name, "deleted"); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: r.completeConnectors(0),
	}
}
