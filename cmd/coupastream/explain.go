package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/explain"
)

// explainSettings are the flags of `explain`.
type explainSettings struct {
	at, search string
}

func newExplainCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, explainSettings{}
	cmd := &cobra.Command{
		Use:   "explain CONNECTOR OBJECT ID",
		Short: "Tell why a row is in its topic, or is not",
		Long: `Tell why a row is in its topic, or is not, and what to do: in a sentence, and with what it follows from.

The worker that runs the connector asks Coupa for the row's stamps, with one request behind polls, looks at position and ledger, and reads topics backwards from the partition of
the row's key: that of the rows, those of its lines where these have topics, and that of dead letters. It reads as many bytes of each as --search says, in at most 45 seconds; an
answer that may lie further back says so. What is told are stamps, ids and places; no other value of the row.

ID is Coupa's internal id of the row, which is no number that is printed on a document. With --updated-at it is told of that version of the row. The status is 0 whatever the answer
is; with -o json its "case" is one of a closed list.`,
		Example: "  coupastream explain acme invoices 4711\n" +
			"  coupastream explain acme invoices 4711 --updated-at 2026-01-02T03:04:05Z --search 10GiB\n" +
			"  coupastream explain acme invoices 4711 -o json | jq -r .case",
		Args: cobra.ExactArgs(3),
		RunE: r.asking(func(ctx context.Context, c *client.Client, args []string) error { return r.explain(ctx, c, args, s) }),

		ValidArgsFunction: r.completeObjects(1),
	}
	r.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.at, "updated-at", "", "a version of the row, as RFC 3339 has its updated-at; else the one that Coupa shows now")
	f.StringVar(&s.search, "search", "256MiB", "how much of each topic is read at most, as it lies in the log")
	return cmd
}

func (r *remote) explain(ctx context.Context, c *client.Client, args []string, s explainSettings) error {
	q := explain.Request{Object: args[1], Progress: r.searching}
	var err error
	if q.ID, err = strconv.ParseInt(args[2], 10, 64); err != nil || q.ID <= 0 {
		return usageError{fmt.Errorf("%q is not an id; give Coupa's internal id of the row, a whole number above 0, which is no number that is printed on a document", args[2])}
	}
	at, err := parseInstant("--updated-at", s.at)
	if err != nil {
		return err
	}
	if at != nil {
		q.UpdatedAt = *at
	}
	if q.Most, err = parseSize("--search", s.search); err != nil {
		return err
	}
	a, err := c.Explain(ctx, args[0], q)
	if err != nil {
		return err
	}
	return r.print(a, func(w io.Writer) { printExplanation(w, a) })
}

// searching says how far a search is.
func (a *app) searching(p explain.Progress) {
	a.log.Info("searching", "topic", p.Topic, "records", p.Records, "mib", p.Bytes>>20, "back_to", instantText(p.Back))
}

// parseSize reads a number of bytes: 1000, or 256KiB, 10MiB, 1GiB, 1TiB.
func parseSize(flag, text string) (int64, error) {
	number, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if before, has := strings.CutSuffix(text, suffix); has {
			number, unit = before, 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, usageError{fmt.Errorf("%s %q is not a size; give e.g. 512MiB or 10GiB", flag, text)}
	}
	return n * unit, nil
}

func printExplanation(w io.Writer, a *explain.Answer) {
	fmt.Fprintf(w, "%s %d of %s: %s\nWhat to do: %s\n\n", a.Object, a.ID, a.Connector, a.Sentence, a.Next)
	fmt.Fprintf(w, "CASE\t%s\n", a.Case)
	printCoupa(w, a.Coupa)
	fmt.Fprintf(w, "TOPIC\t%s\n", recordText(a.Record))
	if a.Version != nil {
		fmt.Fprintf(w, "VERSION\t%s\n", recordText(a.Version))
	}
	if a.Letter != nil {
		fmt.Fprintf(w, "DEAD LETTER\t%s\n", recordText(a.Letter))
	}
	for _, s := range a.Searches {
		fmt.Fprintf(w, "SEARCHED\t%s\n", searchText(s))
	}
	fmt.Fprintf(w, "LEDGER\tfrom %s: %s\n", instantText(a.Ledger.Floor), versionsText(a.Ledger.Versions))
	printStream(w, a.State)
}

func printCoupa(w io.Writer, c explain.Coupa) {
	switch {
	case !c.Asked:
		fmt.Fprintln(w, "COUPA\tis not asked for one row")
	case c.Error != "":
		fmt.Fprintf(w, "COUPA\t%s\n", c.Error)
	case !c.Shown:
		fmt.Fprintln(w, "COUPA\tshows no such row")
	default:
		fmt.Fprintf(w, "COUPA\tupdated-at %s", instantText(c.UpdatedAt))
		if c.LinesAt != nil {
			fmt.Fprintf(w, ", the newest of its lines %s", instantText(c.LinesAt))
		}
		fmt.Fprintln(w)
	}
	for _, l := range c.Lines {
		fmt.Fprintf(w, "LINE\t%s %d, updated-at %s", l.List, l.ID, instantText(l.UpdatedAt))
		if l.Record != nil {
			fmt.Fprintf(w, "; %s", recordText(l.Record))
		}
		fmt.Fprintln(w)
	}
}

func printStream(w io.Writer, s explain.State) {
	fmt.Fprintf(w, "STREAM\t%s %s, mark %s, polls every %s\n", s.State, orDash(string(s.Condition)), instantText(s.Mark), short(time.Duration(s.Interval)*time.Millisecond))
	if s.Trace != "" {
		fmt.Fprintf(w, "\t%s\n", s.Trace)
	}
	if b := s.Backfill; b != nil {
		has := "has passed the row"
		if b.Holds {
			has = "has still to come to the row"
		}
		fmt.Fprintf(w, "BACKFILL\t%s of %d rows, %s\n", b.Kind, b.Rows, has)
	}
	for _, l := range s.LookBacks {
		fmt.Fprintf(w, "LOOK-BACK\tof %s every %s, the last at %s\n", short(time.Duration(l.Depth)*time.Millisecond), short(time.Duration(l.Every)*time.Millisecond), instantText(l.Last))
	}
}

// recordText is where a record is, and what it is.
func recordText(r *explain.Record) string {
	if r == nil {
		return "no record found"
	}
	text := fmt.Sprintf("%s, partition %d, offset %d: %s of %s, written %s", r.Topic, r.Partition, r.Offset, orDash(r.Op), instantText(r.UpdatedAt), instantText(&r.Written))
	if r.Schema != 0 {
		text += fmt.Sprintf(", schema %d", r.Schema)
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

func searchText(s explain.Search) string {
	switch {
	case s.Error != "":
		return fmt.Sprintf("%s: %s", s.Topic, s.Error)
	case s.Missing:
		return s.Topic + ": there is no such topic"
	}
	text := fmt.Sprintf("%s: %d records, %.1f MiB, back to %s", s.Topic, s.Records, float64(s.Bytes)/(1<<20), instantText(s.Back))
	if !s.Through {
		text += "; there is more, see --search"
	}
	return text
}

// versionsText lists what the ledger has of a row.
func versionsText(all []explain.Published) string {
	var texts []string
	for _, v := range all {
		text := instantText(v.UpdatedAt)
		if v.LinesAt != nil {
			text += " with lines of " + instantText(v.LinesAt)
		}
		texts = append(texts, text)
	}
	if texts == nil {
		return "nothing of the row"
	}
	return strings.Join(texts, ", ")
}
