package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/rest"
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

// moving are the flags of what moves positions.
type moving struct {
	yes, dryRun bool
	reason      string
}

func (m *moving) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&m.yes, "yes", "y", false, "do not ask at a terminal")
	f.BoolVar(&m.dryRun, "dry-run", false, "only say what it would do")
	f.StringVar(&m.reason, "reason", "", "why, for the worker's log")
}

const movingHelp = `

At a terminal it says before how many rows will go out again, and asks; --yes leaves that out, --dry-run does nothing else. Without a terminal it does not ask. What goes out again
is marked coupa.reason=requested, and the worker's log says who moved what, from where and to where. To publish rows once more as they are, beside the stream, there is
snapshot start --from: freshness stays what it is.`

// agreed says what a move would do, and tells whether it is to be done.
func (r *remote) agreed(m moving, name string, weigh func() ([]rest.Weight, error)) (bool, error) {
	asks := r.atTerminal() && !m.yes
	if !asks && !m.dryRun {
		return true, nil
	}
	all, err := weigh()
	if err != nil {
		return false, err
	}
	if m.dryRun {
		return false, r.print(all, func(w io.Writer) { printWeights(w, name, all) })
	}
	printWeights(r.stderr, name, all)
	yes, err := r.says("Move it?")
	if err == nil && !yes {
		err = errors.New("nothing was moved")
	}
	return yes, err
}

func printWeights(w io.Writer, name string, all []rest.Weight) {
	for _, one := range all {
		fmt.Fprintf(w, "%s of %s is at %s\n", one.Object, name, instantText(one.From))
		fmt.Fprintf(w, "  go out again: %s\n", rowCountText(one.Again))
		if n := one.LeftOut.Rows; n == nil || *n > 0 {
			fmt.Fprintf(w, "  left out for good: %s\n", rowCountText(one.LeftOut))
		}
	}
}

func rowCountText(c rest.RowCount) string {
	switch {
	case c.Rows == nil:
		return "rows that could not be counted: " + c.Trace
	case c.About:
		return fmt.Sprintf("about %d rows", *c.Rows)
	case *c.Rows == 1:
		return "1 row"
	}
	return fmt.Sprintf("%d rows", *c.Rows)
}

func (r *remote) offsetsSet() *cobra.Command {
	var at string
	var id int64
	var m moving
	cmd := &cobra.Command{
		Use:   "set CONNECTOR OBJECT --updated-at INSTANT",
		Short: "Move one object to another position, while the others go on",
		Long: `Move one object to another position, while it and the others go on. Rows stamped from --updated-at on are read and published again, whether they were published before or not;
the object is behind until they are. Moved forward, what lies between is left out for good.` + movingHelp,
		Example: "  coupastream offsets set acme invoices --updated-at 2026-01-01T00:00:00Z --reason 'rows of January were wrong'",
		Args:    cobra.ExactArgs(2),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			to, err := parseInstant("--updated-at", at)
			if err != nil {
				return err
			}
			if to == nil {
				return usageError{errors.New("--updated-at is missing; give an instant, e.g. 2026-01-01T00:00:00Z, or reset the object")}
			}
			offset := client.Offset{UpdatedAt: to, ID: id}
			yes, err := r.agreed(m, args[0], func() ([]rest.Weight, error) { return c.WeighSet(ctx, args[0], args[1], offset) })
			if err != nil || !yes {
				return err
			}
			if err := c.SetOffset(ctx, args[0], args[1], offset, m.reason); err != nil {
				return err
			}
			return r.done(args[0], "%s goes on from %s", args[1], instantText(to))
		}),
		ValidArgsFunction: r.completeObjects(1),
	}
	cmd.Flags().StringVar(&at, "updated-at", "", "the instant, as RFC 3339 has it")
	cmd.Flags().Int64Var(&id, "id", 0, "the lowest id that a backfill has still to read; 0: there is none")
	m.flags(cmd)
	return cmd
}

func (r *remote) offsetsReset() *cobra.Command {
	var m moving
	cmd := &cobra.Command{
		Use:   "reset CONNECTOR [OBJECT…]",
		Short: "Have objects begin anew, by initial.from; all of them if none is given, of a stopped connector",
		Long:  `Have objects begin anew, by initial.from; all of them if none is given, of a stopped connector. By initial.from=earliest all rows go out again.` + movingHelp,
		Args:  cobra.MinimumNArgs(1),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error {
			name, objects := args[0], args[1:]
			if len(objects) == 0 {
				objects = []string{""} // all
			}
			yes, err := r.agreed(m, name, func() (all []rest.Weight, err error) {
				for _, object := range objects {
					some, err := c.WeighReset(ctx, name, object)
					if err != nil {
						return nil, err
					}
					all = append(all, some...)
				}
				return all, nil
			})
			if err != nil || !yes {
				return err
			}
			for _, object := range objects {
				if object == "" {
					if err := c.ResetOffsets(ctx, name, m.reason); err != nil {
						return err
					}
					return r.done(name, "all objects begin anew")
				}
				if err := c.ResetOffset(ctx, name, object, m.reason); err != nil {
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
	m.flags(cmd)
	return cmd
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
