package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/client"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/verify"
)

// verifySettings are the flags of `verify`.
type verifySettings struct {
	worker  string
	objects []string
	output  string
	most    int
	repair  bool
}

func newVerifyCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, verifySettings{}
	cmd := &cobra.Command{
		Use:   "verify CONNECTOR --worker WORKER",
		Short: "Compare Coupa with the topics, row by row",
		Long: `Compare a Coupa instance with the topics that a connector streams it to, as consumers see them that read what is committed:

  missing    a row of Coupa that is not in its topic
  stale      a row that is there in an older version
  duplicate  a row that is there twice with the same updated-at and content; also if a snapshot was asked for, whose records have coupa.op=snapshot
  extra      a row that is there and gone from Coupa

It reads ids and stamps of all rows from Coupa, with the connector's coupa.rate.limit, and the topics from their beginning; it writes nothing. Rows that
changed in the last two polls are not compared: they may be on their way. Where lines have topics of their own, it is compared which lines there are and whose they are: what
differs is looked at again after two polls. It ends with status 1 if something differs.

With --repair the running worker at --url (else COUPASTREAM_URL, else http://127.0.0.1:8083) is asked to read again what is missing or stale, and rows whose lines differ, by id, as a
snapshot, and its end is waited for. Rows that are there twice or extra stay: nothing takes a record out of a topic. It ends with status 1 if such remain.`,
		Example: "  coupastream verify acme.yaml --worker worker.yaml\n" +
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
	var asked *client.Client
	if s.repair {
		var err error
		if asked, err = r.client(); err != nil {
			return err
		}
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
	kafka, err := settings.Security.KafkaOpts(ctx, r.log)
	if err != nil {
		return err
	}
	source, err := newSources(settings.Egress()).client(c)
	if err != nil {
		return err
	}
	var reports []verify.Report
	for _, o := range objects {
		cfg := verify.Config{
			Kafka: append(slices.Clone(kafka), kgo.SeedBrokers(settings.BootstrapServers...)), Source: source, Tenant: c.Tenant, Object: o,
			Progress: r.verifyProgress(o.Path),
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
	err = r.printReports(reports, s)
	if s.repair && errors.Is(err, errDiffers) {
		return r.repair(ctx, asked, c.Name, reports)
	}
	return err
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

// verifyProgress says every few seconds how far an object is.
func (a *app) verifyProgress(path string) func(rows, records int64) {
	said := time.Now()
	return func(rows, records int64) {
		if time.Since(said) >= 5*time.Second {
			said = time.Now()
			a.log.Info("comparing", "object", path, "rows", rows, "records", records)
		}
	}
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
	fmt.Fprintln(t, "OBJECT\tTOPIC\tROWS\tRECORDS\tMISSING\tSTALE\tDUPLICATE\tEXTRA")
	for _, r := range reports {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Object, r.Topic, r.Rows, r.Records,
			r.Count(verify.Missing), r.Count(verify.Stale), r.Count(verify.Duplicate), r.Count(verify.Extra))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		if r.Truncated {
			fmt.Fprintf(a.stdout, "%s: the topic has lost its beginning to its retention; what is missing may have been there\n", r.Topic)
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
	return text
}
