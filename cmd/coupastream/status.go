package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/rest"
)

// statusSettings are the flags of `status`.
type statusSettings struct {
	watch    bool
	interval time.Duration
}

func newStatusCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, statusSettings{}
	cmd := &cobra.Command{
		Use:   "status [CONNECTOR]",
		Short: "Show how the connectors of a running worker's group are, or one with its objects",
		Long: `Show how the connectors of a group are, as any of its workers knows: state, condition, freshness and what is wrong, with the remedy.

FRESHNESS is the time since which nothing is proven: every change before it is in the topic. Of a connector it is that of the object that is furthest behind.
With --watch it is shown again as it changes, until Ctrl-C; with -o json too then a line for each change.`,
		Example: "  coupastream status\n  coupastream status acme --watch\n  coupastream status -o json | jq '.[] | select(.state == \"FAILED\") | .name'",
		Args:    cobra.MaximumNArgs(1),
		RunE:    r.asking(func(ctx context.Context, c *client.Client, args []string) error { return r.status(ctx, c, args, s) }),

		ValidArgsFunction: r.completeConnectors(1),
	}
	r.flags(cmd)
	cmd.Flags().BoolVarP(&s.watch, "watch", "w", false, "show it again as it changes")
	cmd.Flags().DurationVar(&s.interval, "interval", 2*time.Second, "how often --watch asks")
	return cmd
}

func (r *remote) status(ctx context.Context, c *client.Client, args []string, s statusSettings) error {
	if s.interval <= 0 {
		return usageError{fmt.Errorf("--interval %s is no time to wait; give e.g. 2s", s.interval)}
	}
	if s.watch {
		return r.watch(ctx, c, args, s.interval)
	}
	result, text, err := r.health(ctx, c, args)
	if err != nil {
		return err
	}
	return r.print(result, text)
}

// health asks for what is shown: all connectors, or one.
func (r *remote) health(ctx context.Context, c *client.Client, args []string) (result any, text func(io.Writer), err error) {
	if len(args) == 0 {
		all, err := c.Health(ctx)
		return all, func(w io.Writer) { printConnectors(w, r.palette(), all) }, err
	}
	one, err := c.ConnectorHealth(ctx, args[0])
	return one, func(w io.Writer) { printConnector(w, r.palette(), one) }, err
}

// watch shows the status whenever it has changed, until ctx
// ends. A worker that does not answer may be back soon.
func (r *remote) watch(ctx context.Context, c *client.Client, args []string, every time.Duration) error {
	clear := ""
	if r.onTerminal() && r.output == "text" {
		clear = "\x1b[H\x1b[2J" // to the top, and what was there goes
	}
	var shown []byte
	for {
		var now bytes.Buffer
		result, text, err := r.health(ctx, c, args)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && shown == nil:
			return err
		case err != nil:
			fmt.Fprintln(&now, err)
		case r.output == "json":
			_ = json.NewEncoder(&now).Encode(result) // it came as JSON, and memory takes it
		default:
			table := newTable(&now)
			text(table)
			_ = table.Flush() // memory takes it
		}
		if !bytes.Equal(now.Bytes(), shown) {
			between := clear
			if shown != nil && clear == "" && r.output == "text" {
				between = "\n"
			}
			if _, err := fmt.Fprintf(r.stdout, "%s%s", between, now.Bytes()); err != nil {
				return err
			}
			shown = now.Bytes()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func printConnectors(w io.Writer, p palette, all []rest.Health) {
	if len(all) == 0 {
		fmt.Fprintln(w, "no connector; make one with coupastream connectors apply -f FILE")
		return
	}
	fmt.Fprintln(w, "CONNECTOR\tTENANT\t"+p.state("STATE")+"\tWORKER\tTASKS\tFRESHNESS\tREQUESTS/S")
	for _, h := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, h.Tenant, p.state(h.State), orDash(h.WorkerID), tasksText(h.Tasks), worst(h.Tasks), rateText(h.Rate))
	}
	printTroubles(w, all...)
}

func printConnector(w io.Writer, p palette, h rest.Health) {
	fmt.Fprintf(w, "%s: %s, tenant %s, worker %s", h.Name, h.State, h.Tenant, orDash(h.WorkerID))
	if h.FromFile {
		fmt.Fprint(w, ", from a file of the worker")
	}
	fmt.Fprintln(w)
	if h.Rate != nil {
		fmt.Fprintf(w, "requests a second: %s", rateText(h.Rate))
		if h.Rate.ThrottledSince != nil {
			fmt.Fprintf(w, ", slowed down by Coupa since %s", instantText(h.Rate.ThrottledSince))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\nTASK\tOBJECT\t"+p.state("STATE")+"\t"+p.state("CONDITION")+"\tFRESHNESS\tMARK\tPROVEN UNTIL\tPROGRESS\tPUBLISHED\tDEAD LETTERS")
	for _, t := range h.Tasks {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", t.ID, t.Object, p.state(t.State), p.state(orDash(t.Condition)), freshness(t), instantText(t.Mark), proven(t.Verified), p.progressText(t), t.Published, t.DeadLetters)
	}
	printMalformed(w, h)
	printTroubles(w, h)
}

// printMalformed tells of texts that are not in the topic as they are in Coupa.
func printMalformed(w io.Writer, h rest.Health) {
	for _, t := range h.Tasks {
		if t.Malformed > 0 {
			fmt.Fprintf(w, "\n%s: %d texts with bytes that are not UTF-8; U+FFFD stands in their place\n", t.Object, t.Malformed)
		}
	}
}

// printTroubles says what is wrong now, a line each.
func printTroubles(w io.Writer, all ...rest.Health) {
	var lines []string
	for _, h := range all {
		if h.Trace != "" {
			lines = append(lines, h.Name+": "+h.Trace)
		}
		if h.Token != nil && h.Token.Trouble != "" {
			lines = append(lines, h.Name+": no token: "+h.Token.Trouble)
		}
		for _, t := range h.Tasks {
			if t.Trace != "" && t.Trace != h.Trace {
				lines = append(lines, troubleOf(h.Name, t))
			}
			for _, n := range t.Notices {
				lines = append(lines, fmt.Sprintf("%s %s: %s; %s", h.Name, t.Object, n.Message, n.Remedy))
			}
		}
	}
	if len(lines) > 0 {
		fmt.Fprintln(w, "\n"+strings.Join(lines, "\n"))
	}
}

func troubleOf(connector string, t rest.TaskHealth) string {
	line := fmt.Sprintf("%s %s: %s", connector, t.Object, t.Trace)
	if len(t.Errors) > 0 && t.Errors[0].Remedy != "" && strings.Contains(t.Trace, t.Errors[0].Message) && !strings.Contains(t.Trace, t.Errors[0].Remedy) {
		line += "; " + t.Errors[0].Remedy
	}
	if t.NextTry != nil {
		line += " (tried again at " + instantText(t.NextTry) + ")"
	}
	return line
}

// tasksText counts tasks by state.
func tasksText(tasks []rest.TaskHealth) string {
	counts := map[string]int{}
	for _, t := range tasks {
		counts[t.State]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[state], state))
	}
	return orDash(strings.Join(parts, ", "))
}

// worst is the freshness of the task that is furthest behind.
func worst(tasks []rest.TaskHealth) string {
	var most *int64
	for _, t := range tasks {
		if t.Freshness != nil && (most == nil || *t.Freshness > *most) {
			most = t.Freshness
		}
	}
	return freshness(rest.TaskHealth{Freshness: most})
}

func freshness(t rest.TaskHealth) string {
	if t.Freshness == nil {
		return "-"
	}
	return short(time.Duration(*t.Freshness) * time.Millisecond)
}

// proven says until when the last comparison with Coupa proves that it and the topic agree.
func proven(v *rest.VerifiedHealth) string {
	switch {
	case v == nil:
		return "-"
	case v.ProvenUntil != nil:
		return instantText(v.ProvenUntil)
	}
	n := int64(0)
	for _, found := range v.Found {
		n += found
	}
	return fmt.Sprintf("%d differences at %s", n, instantText(&v.At))
}

func rateText(r *rest.RateHealth) string {
	switch {
	case r == nil:
		return "-"
	case r.Auto:
		return fmt.Sprintf("%.1f of %.1f (auto)", r.Used, r.Current)
	case r.Current > 0:
		return fmt.Sprintf("%.1f of %.1f", r.Used, r.Current)
	}
	return fmt.Sprintf("%.1f", r.Used)
}

// progressText is how far a backfill or a snapshot is, or else a sweep, with a bar at a terminal.
func (p palette) progressText(t rest.TaskHealth) string {
	of, what := t.Progress, ""
	if of == nil && t.Deletes != nil {
		of, what = t.Deletes.Progress, "sweep: "
	}
	if of == nil {
		return "-"
	}
	text := what + amount(of.Done, of.Total, leftOf(of.Left))
	if p.bars && of.Total > 0 {
		text = bar(of.Done, of.Total, 10) + " " + text
	}
	return text
}

// amount says how much of something is done.
func amount(done, total int64, left time.Duration) string {
	if total <= 0 {
		return rowsText(done, total)
	}
	return rowsText(done, total) + ", " + shareText(done, total, left)
}

func rowsText(done, total int64) string {
	switch {
	case total > 0:
		return fmt.Sprintf("%d of %d rows", done, total)
	case done == 1:
		return "1 row"
	}
	return fmt.Sprintf("%d rows", done)
}

// leftOf is the time left as REST has it.
func leftOf(ms *int64) time.Duration {
	if ms == nil {
		return 0
	}
	return time.Duration(*ms) * time.Millisecond
}
