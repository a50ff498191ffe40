package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
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
	cmd.AddCommand(&cobra.Command{
		Use:   "approve CONNECTOR OBJECT",
		Short: "Have the rows deleted that a sweep shows as missing",
		Long: `Have the rows deleted that a sweep shows as missing: coupastream status CONNECTOR names some of them, and why it waits. Each is asked for once more before its tombstone goes out,
and the approval counts for these rows alone.`,
		Args: cobra.ExactArgs(2),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.ApproveDeletes(ctx, args[0], args[1]); err != nil {
				return err
			}
			return r.done(args[0], "deletes of %s approved", args[1])
		}),
		ValidArgsFunction: r.completeObjects(1),
	})
	return cmd
}
