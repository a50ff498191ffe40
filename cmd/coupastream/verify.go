package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/transport"
	"github.com/coupastream/coupastream/connector/verify"
)

// verifySettings are the flags of `verify`.
type verifySettings struct {
	worker  string
	objects []string
	output  string
	since   string
	strict  bool
	most    int
	repair  bool
}

func newVerifyCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, verifySettings{}
	cmd := &cobra.Command{
		Use:   "verify CONNECTOR --worker WORKER",
		Short: "Compare Coupa with the topics, row by row",
		Long: `Compare a Coupa instance with the topics that a connector streams it to, as consumers see them that read what is committed:

  missing      a row of Coupa that is not in its topic, or whose last record there is a delete
  stale        a row that is there in an older version
  stale_lines  a row that is there in its version, but with other lines, or lines in other versions: the lines' change was lost
  duplicate    a row that is there twice with the same updated-at and content, and was not deleted in between
  extra        a row that is there, not deleted, and gone from Coupa
  not_covered  a row that Coupa gives the id of and fails to send: nothing tells whether it is there as it should be

It reads ids and stamps of all rows and of their lines from Coupa, with the connector's coupa.rate.limit, and the topics from their beginning; it writes nothing. Rows that
changed in the last two polls are not compared: they may be on their way. Rows without updated-at are counted, and compared by what they hold: their changes may be on their way
for reread.interval.ms. Where lines have topics of their own, it is compared which lines there are and whose they are. What differs in lines or content is looked at again
after two polls. It ends with status 1 if something differs.

Records that are there once more because somebody asked for them (coupa.reason=requested: a snapshot, positions moved) are counted as REQUESTED and are no difference; with --strict
they are duplicates.

With --since only rows stamped since then are compared, with what the topics were given since then, so that it can run each night: its cost goes by what has changed. What is
gone from Coupa is then found of these rows alone, and of rows that were deleted since. Objects without updated-at are compared whole. Of lines with topics of their own, those that
changed since then are compared, where Coupa stamps them.

What is found is told to the running worker at --url: its status, metrics and page show the last comparison and until when it proves that topic and Coupa agree. A worker that
can't be told is a warning.

Ids that have versions in several partitions, since the topic got more partitions while they went by that number, are counted: nothing takes them together again but a new topic.

Rows that Coupa hides end nothing: it goes on behind them up to the highest id. Where more than 2,000 ids in a row are hidden its steps grow, and the result says which ids were stepped over.

With --repair the running worker at --url (else COUPASTREAM_URL, else http://127.0.0.1:8083) is asked to read again what is missing or stale, and rows whose lines differ, by id, as a
snapshot, and its end is waited for. Rows that are there twice or extra stay: nothing takes a record out of a topic; rows that are not covered stay, too. It ends with status 1 if such remain.`,
		Example: "  coupastream verify acme.yaml --worker worker.yaml\n" +
			"  coupastream verify acme.yaml --worker worker.yaml --since 7d\n" +
			"  coupastream verify acme.yaml --worker worker.yaml --objects invoices -o json\n" +
			"  coupastream verify acme.yaml --worker worker.yaml --repair --url https://coupastream.example.com:8443 --token-file token",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.verify(cmd.Context(), args[0], s) },
	}
	r.connection(cmd)
	f := cmd.Flags()
	f.StringVar(&s.worker, "worker", "", "worker file, for the brokers")
	f.StringSliceVar(&s.objects, "objects", nil, "objects to compare; all that the connector streams if none is given")
	f.StringVarP(&s.output, "output", "o", "text", "form of the result: text or json")
	f.BoolVar(&s.repair, "repair", false, "have the running worker read again what is missing or stale")
	f.StringVar(&s.since, "since", "", "compare just what is stamped since: an instant, or how long ago, e.g. 7d or 36h")
	f.BoolVar(&s.strict, "strict", false, "count records that somebody asked for as duplicates, too")
	f.IntVar(&s.most, "show", 20, "most findings of an object that are listed as text")
	return cmd
}

// errDiffers is the outcome of a comparison that found something; the findings are on stdout.
var errDiffers = errors.New("Coupa and the topics differ")

func (r *remote) verify(ctx context.Context, connectorFile string, s verifySettings) error {
	if s.worker == "" {
		return usageError{errors.New("--worker is missing; give the worker file that names the brokers")}
	}
	if s.output != "text" && s.output != "json" {
		return usageError{fmt.Errorf("--output %q is not a form; give text or json", s.output)}
	}
	since, err := parseSince(s.since, time.Now())
	if err != nil {
		return usageError{err}
	}
	asked, err := r.client()
	if err != nil {
		return err
	}
	settings, connectors, err := r.load(s.worker, []string{connectorFile})
	if err != nil {
		return err
	}
	c := connectors[0]
	objects, err := chosen(c, s.objects)
	if err != nil {
		return usageError{err}
	}
	kafka, err := transport.Kafka(ctx, settings, r.log)
	if err != nil {
		return err
	}
	source, err := newSources(settings.Egress()).open(c, nil)
	if err != nil {
		return err
	}
	defer source.Close()
	known, err := schemasOf(settings, r.log)
	if err != nil {
		return err
	}
	intervals := r.intervals(ctx, asked, c.Name)
	shown := newComparing(r.app, len(objects))
	defer shown.clear()
	var reports []verify.Report
	for _, o := range objects {
		shown.begin(o.Path)
		cfg := verify.Config{
			Kafka: slices.Clip(kafka), Source: source, Schemas: known, Tenant: c.Tenant, Object: o,
			Since: since, Strict: s.strict, Interval: intervals[o.Path], Progress: shown.tell,
		}
		report, err := verify.Object(ctx, cfg)
		if err != nil {
			return err
		}
		lines, err := verify.Lines(ctx, cfg)
		if err != nil {
			return err
		}
		reports = append(append(reports, report), lines...)
	}
	shown.clear()
	if intervals != nil {
		if err := asked.NoteVerified(ctx, c.Name, comparisonOf(c.Tenant, reports)); err != nil {
			r.log.Warn("the running worker could not be told what was found; its status and metrics show the comparison before", "error", err)
		}
	}
	err = r.printReports(reports, s)
	if s.repair && errors.Is(err, errDiffers) {
		return r.repair(ctx, asked, c.Name, reports)
	}
	return err
}

// schemasOf gives the schemas of the worker's registry; nil where it has none.
func schemasOf(settings *config.Worker, log *slog.Logger) (verify.Schemas, error) {
	if len(settings.Registry.URLs) == 0 {
		return nil, nil
	}
	return openRegistry(settings, log)
}

// chosen are the objects of a connector with the paths; all of them for none.
func chosen(c *config.Connector, paths []string) ([]config.Object, error) {
	if len(paths) == 0 {
		return c.Objects, nil
	}
	var objects []config.Object
	for _, path := range paths {
		i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path })
		if i < 0 {
			return nil, fmt.Errorf("--objects: %s is not in coupa.objects; %s streams %s", path, c.File, pathsOf(c))
		}
		objects = append(objects, c.Objects[i])
	}
	return objects, nil
}

// parseSince reads an instant, or how long before now it was; zero: "".
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	ago, err := time.ParseDuration(text)
	if days, whole := strings.CutSuffix(text, "d"); whole {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		ago = time.Duration(n * float64(24*time.Hour))
	}
	if err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	at, err := parseInstant("--since", text)
	if err != nil || at.After(now) {
		return time.Time{}, fmt.Errorf("--since %q is neither a time ago nor an instant that has passed; give e.g. 7d, 36h or 2026-01-31", text)
	}
	return *at, nil
}

// patienceWithWorker is how long verify waits for the running worker, which it can do without.
const patienceWithWorker = 10 * time.Second

// intervals asks the running worker how long it is from one reading of each object to the next. Where the
// budget of polls does not allow poll.interval.ms that is longer, and so is a change on its way. nil: it
// can't be asked.
func (r *remote) intervals(ctx context.Context, c *client.Client, name string) map[string]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, patienceWithWorker)
	defer cancel()
	h, err := c.ConnectorHealth(ctx, name)
	if err != nil {
		r.log.Warn("the running worker can't be asked: what is found is not told to it, and a change counts as on its way for two poll.interval.ms", "error", err)
		return nil
	}
	all := map[string]time.Duration{}
	for _, t := range h.Tasks {
		all[t.Object] = time.Duration(t.Interval) * time.Millisecond
	}
	return all
}

// steppedOver is what ids that were not looked at are told as: they prove nothing.
const steppedOver = "stepped_over"

// comparisonOf is what a worker is told of reports: what was found of an object, with its lines.
func comparisonOf(tenant string, reports []verify.Report) rest.Comparison {
	c := rest.Comparison{Tenant: tenant}
	for _, r := range reports {
		i := slices.IndexFunc(c.Objects, func(o rest.ComparedObject) bool { return o.Object == r.Object })
		if i < 0 { // the rows come before their lines
			o := rest.ComparedObject{Object: r.Object, Topic: r.Topic, Until: r.Until, Rows: r.Rows, Found: map[string]int64{}}
			if !r.Since.IsZero() {
				o.Since = &r.Since
			}
			i, c.Objects = len(c.Objects), append(c.Objects, o)
		}
		o := &c.Objects[i]
		o.Requested += r.Requested
		for _, f := range r.Findings {
			o.Found[string(f.Difference)]++
		}
		for _, ids := range r.Skipped {
			o.Found[steppedOver] += ids.Last - ids.First + 1
		}
	}
	return c
}

func (a *app) printReports(reports []verify.Report, s verifySettings) error {
	differs := slices.ContainsFunc(reports, func(r verify.Report) bool { return len(r.Findings) > 0 })
	var err error
	if s.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(reports)
	} else {
		err = a.printTables(reports, s.most)
	}
	if err == nil && differs {
		err = errDiffers
	}
	return err
}

func (a *app) printTables(reports []verify.Report, most int) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OBJECT\tTOPIC\tROWS\tRECORDS\tMISSING\tSTALE\tSTALE_LINES\tDUPLICATE\tEXTRA\tNOT_COVERED\tREQUESTED")
	for _, r := range reports {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Object, r.Topic, r.Rows, r.Records,
			r.Count(verify.Missing), r.Count(verify.Stale), r.Count(verify.StaleLines), r.Count(verify.Duplicate), r.Count(verify.Extra), r.Count(verify.NotCovered), r.Requested)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		if r.Truncated {
			fmt.Fprintf(a.stdout, "%s: the topic has lost the beginning of what was compared to its retention; what is missing may have been there\n", r.Topic)
		}
		if r.Exported > 0 {
			fmt.Fprintf(a.stdout, "%s: exported in Coupa, so not compared: %d\n", r.Object, r.Exported)
		}
		if r.Undated > 0 {
			fmt.Fprintf(a.stdout, "%s: without updated-at: %d\n", r.Object, r.Undated)
		}
		if r.Spread > 0 {
			fmt.Fprintf(a.stdout, "%s: ids with versions in several partitions, where nothing orders them: %d\n", r.Topic, r.Spread)
		}
		for _, ids := range r.Skipped {
			fmt.Fprintf(a.stdout, "%s: ids %d to %d were stepped over: Coupa shows none of many ids before them\n", r.Object, ids.First, ids.Last)
		}
		for i, f := range r.Findings {
			if i == most {
				fmt.Fprintf(a.stdout, "%s: %d more; -o json lists all\n", r.Topic, len(r.Findings)-most)
				break
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", named(r, f), f.Difference, versions(f))
		}
	}
	return nil
}

// named is the row, or the line, that a finding is of.
func named(r verify.Report, f verify.Finding) string {
	switch {
	case r.List == "":
		return fmt.Sprintf("%s id %d", r.Object, f.ID)
	case f.RowGone:
		return fmt.Sprintf("%s of %s id %d, which is gone from Coupa: id %d", r.List, r.Object, f.Row, f.ID)
	}
	return fmt.Sprintf("%s of %s id %d: id %d", r.List, r.Object, f.Row, f.ID)
}

// versions says which versions of a row are where.
func versions(f verify.Finding) string {
	text := ""
	if !f.Coupa.IsZero() {
		text += ", Coupa has " + f.Coupa.Format(time.RFC3339)
	}
	if !f.Topic.IsZero() {
		text += fmt.Sprintf(", the topic %s at %d/%d", f.Topic.Format(time.RFC3339), f.Partition, f.Offset)
	}
	if f.Deleted {
		text += ", which is a delete"
	}
	return text
}
