package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/rest"
)

func newSnapshotCommand(a *app) *cobra.Command {
	r := &remote{app: a}
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Have rows read again, beside what changes: an object, a span of time, or ids",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("no command given; give start, list, pause, resume or cancel, see " + cmd.CommandPath() + " --help")}
		},
	}
	r.flags(cmd)
	cmd.AddCommand(r.snapshotStart(), r.snapshotList(),
		r.snapshotChange("pause", "paused", "Stop reading until it is resumed", (*client.Client).PauseSnapshot),
		r.snapshotChange("resume", "resumed", "Go on with a snapshot that was paused", (*client.Client).ResumeSnapshot),
		r.snapshotChange("cancel", "cancelled", "End a snapshot; what it has published stays", (*client.Client).CancelSnapshot))
	return cmd
}

// snapshotSettings are the flags of `snapshot start`.
type snapshotSettings struct {
	object, from, to, filter string
	ids                      []int64
	wait                     bool
}

func (r *remote) snapshotStart() *cobra.Command {
	var s snapshotSettings
	cmd := &cobra.Command{
		Use:   "start CONNECTOR --object OBJECT",
		Short: "Have rows of an object read again",
		Long: `Have rows of an object read again, beside what changes: all of them, those stamped in a span of time, or some by id. It keeps to coupa.rate.limit, goes on after a restart,
and publishes no version of a row that is older than one that is in the topic.`,
		Example: "  coupastream snapshot start acme --object invoices --from 2026-01-01 --to 2026-02-01 --wait\n" +
			"  coupastream snapshot start acme --object suppliers --ids 17,4711",
		Args: cobra.ExactArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			return r.startSnapshot(ctx, c, args[0], s)
		}),
		ValidArgsFunction: r.completeConnectors(1),
	}
	f := cmd.Flags()
	f.StringVar(&s.object, "object", "", "the object whose rows are read")
	f.StringVar(&s.from, "from", "", "of these, rows stamped at this instant or later")
	f.StringVar(&s.to, "to", "", "of these, rows stamped before this instant")
	f.Int64SliceVar(&s.ids, "ids", nil, "just the rows with these ids")
	f.StringVar(&s.filter, "filter", "", "of these, rows that fit conditions as Coupa spells them in a URL, e.g. status=approved")
	f.BoolVar(&s.wait, "wait", false, "wait for its end, and show how far it is")
	_ = cmd.RegisterFlagCompletionFunc("object", r.completeObjectFlag) // the flag is there
	return cmd
}

func (s snapshotSettings) request() (client.SnapshotRequest, error) {
	q := client.SnapshotRequest{Object: s.object, IDs: s.ids, Filter: s.filter}
	if s.object == "" {
		return q, usageError{errors.New("--object is missing; give the object whose rows are to be read")}
	}
	var fromErr, toErr error
	q.From, fromErr = parseInstant("--from", s.from)
	q.To, toErr = parseInstant("--to", s.to)
	if err := errors.Join(fromErr, toErr); err != nil {
		return q, usageError{err}
	}
	if len(s.ids) > 0 && (q.From != nil || q.To != nil) {
		return q, usageError{errors.New("--ids names rows by itself; leave out --from and --to")}
	}
	return q, nil
}

func (r *remote) startSnapshot(ctx context.Context, c *client.Client, name string, s snapshotSettings) error {
	q, err := s.request()
	if err != nil {
		return err
	}
	made, err := c.StartSnapshot(ctx, name, q)
	if err != nil {
		return err
	}
	if s.wait {
		if made, err = r.waitForSnapshot(ctx, c, name, made.ID); err != nil {
			return err
		}
	}
	return r.print(made, func(w io.Writer) { printSnapshots(w, []rest.Snapshot{made}) })
}

// waitEvery is how often the end of a snapshot is asked for.
const waitEvery = time.Second

// waitForSnapshot waits for the end of a snapshot and says on
// stderr how far it is. The snapshot goes on when ctx ends.
func (r *remote) waitForSnapshot(ctx context.Context, c *client.Client, name, id string) (rest.Snapshot, error) {
	said := ""
	shown := newMeter(r.app, func(s stage) {
		if now := s.what + ": " + amount(s.done, s.total, s.left); now != said {
			fmt.Fprintln(r.stderr, now)
			said = now
		}
	})
	defer shown.clear()
	for {
		s, err := snapshotByID(ctx, c, name, id)
		switch {
		case err != nil:
			return s, err
		case s.State == checkpoint.RequestFailed:
			return s, fmt.Errorf("snapshot %s of %s has failed: %s", id, s.Object, s.Trace)
		case s.Ended():
			return s, nil
		}
		shown.show(stage{what: name + " " + s.Object, done: s.Rows, total: s.Total, left: leftOf(s.Left), counts: rowsText(s.Rows, s.Total)})
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("not waited for any longer; the snapshot goes on, see coupastream snapshot list %s", name)
		case <-time.After(waitEvery):
		}
	}
}

func snapshotByID(ctx context.Context, c *client.Client, name, id string) (rest.Snapshot, error) {
	all, err := c.Snapshots(ctx, name)
	if err != nil {
		return rest.Snapshot{}, err
	}
	i := slices.IndexFunc(all, func(s rest.Snapshot) bool { return s.ID == id })
	if i < 0 {
		return rest.Snapshot{}, fmt.Errorf("snapshot %s is not known any more; see coupastream snapshot list %s", id, name)
	}
	return all[i], nil
}

func (r *remote) snapshotList() *cobra.Command {
	return &cobra.Command{
		Use: "list CONNECTOR", Short: "List the snapshots of a connector", Args: cobra.ExactArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			all, err := c.Snapshots(ctx, args[0])
			if err != nil {
				return err
			}
			return r.print(all, func(w io.Writer) { printSnapshots(w, all) })
		}),
		ValidArgsFunction: r.completeConnectors(1),
	}
}

func printSnapshots(w io.Writer, all []rest.Snapshot) {
	fmt.Fprintln(w, "ID\tOBJECT\tSTATE\tFROM\tTO\tPROGRESS")
	for _, s := range all {
		progress := amount(s.Rows, s.Total, leftOf(s.Left))
		if s.Trace != "" {
			progress += "; " + strings.Join(strings.Fields(s.Trace), " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Object, s.State, instantText(s.From), instantText(s.To), progress)
	}
}

func (r *remote) snapshotChange(verb, done, short string, change func(c *client.Client, ctx context.Context, name, id string) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " CONNECTOR ID", Short: short, Args: cobra.ExactArgs(2),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			if err := change(c, ctx, args[0], args[1]); err != nil {
				return err
			}
			return r.done(args[0], "snapshot %s %s", args[1], done)
		}),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) != 1 {
				return r.completeConnectors(1)(cmd, args, typed)
			}
			return r.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) {
				all, err := c.Snapshots(ctx, args[0])
				var ids []string
				for _, s := range all {
					if !s.Ended() {
						ids = append(ids, s.ID)
					}
				}
				return ids, err
			})
		},
	}
}
