package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
)

func newOffsetsCommand(a *app) *cobra.Command {
	r := &remote{app: a}
	cmd := &cobra.Command{
		Use:   "offsets",
		Short: "Show, set and reset where the objects of a connector are",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{errors.New("no command given; give get, set or reset, see " + cmd.CommandPath() + " --help")}
		},
	}
	r.flags(cmd)
	cmd.AddCommand(r.offsetsGet(), r.offsetsSet(), r.offsetsReset())
	return cmd
}

func (r *remote) offsetsGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get CONNECTOR [OBJECT…]",
		Short: "Show the committed position of each object, or of some",
		Long: `Show the committed position of each object: every change stamped before UPDATED AT is in the topic. ID is the lowest id that a backfill, or else a walk, under way
has still to read.`,
		Args: cobra.MinimumNArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			all, err := positions(ctx, c, args[0], args[1:])
			if err != nil {
				return err
			}
			return r.print(all, func(w io.Writer) {
				fmt.Fprintln(w, "OBJECT\tUPDATED AT\tID")
				for _, p := range all {
					at, id := "-", "-"
					if p.Offset != nil {
						at, id = instantText(p.Offset.UpdatedAt), fmt.Sprint(p.Offset.ID)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\n", p.Partition.Object, at, id)
				}
			})
		}),
		ValidArgsFunction: r.completeObjects(0),
	}
}

// positions are those of some objects of a connector; of all if none is given.
func positions(ctx context.Context, c *client.Client, name string, objects []string) ([]client.Position, error) {
	if len(objects) == 0 {
		return c.Offsets(ctx, name)
	}
	var all []client.Position
	for _, object := range objects {
		p, err := c.Offset(ctx, name, object)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (r *remote) offsetsSet() *cobra.Command {
	var at string
	var id int64
	cmd := &cobra.Command{
		Use:   "set CONNECTOR OBJECT --updated-at INSTANT",
		Short: "Move one object to another position, while the others go on",
		Long: `Move one object to another position, while it and the others go on. Rows stamped from --updated-at on are read again; what the ledger still remembers as published
is not published again. Moved forward, what lies between is left out for good.`,
		Example: "  coupastream offsets set acme invoices --updated-at 2026-01-01T00:00:00Z",
		Args:    cobra.ExactArgs(2),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			to, err := parseInstant("--updated-at", at)
			if err != nil {
				return err
			}
			if to == nil {
				return usageError{errors.New("--updated-at is missing; give an instant, e.g. 2026-01-01T00:00:00Z, or reset the object")}
			}
			if err := c.SetOffset(ctx, args[0], args[1], client.Offset{UpdatedAt: to, ID: id}); err != nil {
				return err
			}
			return r.done(args[0], "%s goes on from %s", args[1], instantText(to))
		}),
		ValidArgsFunction: r.completeObjects(1),
	}
	cmd.Flags().StringVar(&at, "updated-at", "", "the instant, as RFC 3339 has it")
	cmd.Flags().Int64Var(&id, "id", 0, "the lowest id that a backfill has still to read; 0: there is none")
	return cmd
}

func (r *remote) offsetsReset() *cobra.Command {
	return &cobra.Command{
		Use:   "reset CONNECTOR [OBJECT…]",
		Short: "Have objects begin anew, by initial.from; all of them if none is given, of a stopped connector",
		Args:  cobra.MinimumNArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			name, objects := args[0], args[1:]
			if len(objects) == 0 {
				if err := c.ResetOffsets(ctx, name); err != nil {
					return err
				}
				return r.done(name, "all objects begin anew")
			}
			for _, object := range objects {
				if err := c.ResetOffset(ctx, name, object); err != nil {
					return err
				}
				if err := r.done(name, "%s begins anew", object); err != nil {
					return err
				}
			}
			return nil
		}),
		ValidArgsFunction: r.completeObjects(0),
	}
}

// parseInstant reads an instant of the command line, in whole seconds as Coupa's are; nil: none is given.
func parseInstant(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(form, text); err == nil {
			at = at.UTC().Truncate(time.Second)
			return &at, nil
		}
	}
	return nil, usageError{fmt.Errorf("%s %q is not an instant; give e.g. 2026-01-01T00:00:00Z", flag, text)}
}
