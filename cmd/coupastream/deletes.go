package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/rest"
)

func newDeletesCommand(a *app) *cobra.Command {
	r := &remote{app: a}
	cmd := &cobra.Command{
		Use:   "deletes",
		Short: "Approve deletes that a sweep has found and waits with",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("no command given; give approve, see " + cmd.CommandPath() + " --help")}
		},
	}
	r.flags(cmd)
	cmd.AddCommand(r.deletesApprove())
	return cmd
}

func (r *remote) deletesApprove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "approve CONNECTOR OBJECT",
		Short: "Have the rows deleted that a sweep shows as missing",
		Long: `Have the rows deleted that a sweep shows as missing. It says what the sweep saw, with some ids, and why it waits; at a terminal it then asks, and --yes leaves that out. Without
a terminal it does not ask. Each row is asked for once more before its tombstone goes out, and the approval counts for these rows alone.`,
		Args: cobra.ExactArgs(2),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			h, err := c.ConnectorHealth(ctx, args[0])
			if err != nil {
				return err
			}
			for _, t := range h.Tasks {
				if d := t.Deletes; t.Object == args[1] && d != nil && d.Stage == "waiting" {
					printMissing(r.stderr, h.Name, t.Object, d)
					if !yes && r.atTerminal() {
						if said, err := r.says("Delete them?"); err != nil || !said {
							return errors.Join(err, errors.New("nothing was approved"))
						}
					}
				}
			}
			if err := c.ApproveDeletes(ctx, args[0], args[1]); err != nil {
				return err
			}
			return r.done(args[0], "deletes of %s approved", args[1])
		}),
		ValidArgsFunction: r.completeObjects(1),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask at a terminal")
	return cmd
}

// printMissing says what a sweep that waits saw.
func printMissing(w io.Writer, name, object string, d *rest.DeletesHealth) {
	ids := make([]string, len(d.Examples))
	for i, id := range d.Examples {
		ids[i] = fmt.Sprint(id)
	}
	fmt.Fprintf(w, "%s of %s: %d of %d rows are missing, Coupa showed %d\n  why it waits: %s\n  ids: %s", object, name, d.Missing, d.Known, d.Shown, d.Why, strings.Join(ids, ", "))
	if int64(len(ids)) < d.Missing {
		fmt.Fprint(w, ", …")
	}
	fmt.Fprintln(w)
}
