package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// previewSettings are the flags of `preview`.
type previewSettings struct {
	worker string
	rows   int
	output string
	// rows are not shown as Coupa sends them, so that nothing is shown that a topic would not have
	records bool
	schema  bool
}

// mostPreviewed is the most rows that are shown.
const mostPreviewed = 50

func newPreviewCommand(a *app) *cobra.Command {
	var s previewSettings
	cmd := &cobra.Command{
		Use:   "preview CONNECTOR OBJECT",
		Short: "Show rows of Coupa as they are and as their records would be",
		Long: `Read the rows of an object with the highest ids from Coupa, with the connector's credentials, and print each as Coupa sends it, and as its record would be
by the connector's keys and mapping; with --schema, or as JSON, the schema of the records too. Nothing is published or registered, and Kafka is not needed.

Where custom fields are typed, those of the rows shown are; a running connector knows those of all rows that it has seen.
What is printed before the mapping holds what the mapping hides; with --records it is left out.`,
		Example: "  coupastream preview acme.yaml invoices\n" +
			"  coupastream preview acme.yaml invoices --worker worker.yaml -n 20 -o json",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.preview(cmd.Context(), args[0], args[1], s) },
	}
	f := cmd.Flags()
	f.StringVar(&s.worker, "worker", "", "worker file; its mapping.file is put under the connector's mapping")
	f.IntVarP(&s.rows, "rows", "n", 5, fmt.Sprintf("most rows to show, up to %d", mostPreviewed))
	f.BoolVar(&s.records, "records", false, "show the records alone, which hold what the mapping lets through")
	f.BoolVar(&s.schema, "schema", false, "show the schema of the records too")
	f.StringVarP(&s.output, "output", "o", "text", "form of the result: text or json")
	return cmd
}

// previewed is what is shown of an object.
type previewed struct {
	Object string          `json:"object"`
	Rows   []previewedRow  `json:"rows"`
	Schema json.RawMessage `json:"schema"`
	// by list, of those whose lines have topics of their own
	Lines  map[string]json.RawMessage `json:"line_schemas,omitempty"`
	Fields json.RawMessage            `json:"fields,omitempty"` // that Coupa is asked for; none: all
}

// previewedRow is a row, and its record or why there is none.
type previewedRow struct {
	ID     int64           `json:"id"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Lines  []previewedLine `json:"lines,omitempty"` // where they have records of their own
	Error  string          `json:"error,omitempty"`
	// what the row has and no record, with unmapped=off
	LeftOut []string `json:"left_out,omitempty"`
}

// previewedLine is the record of a line.
type previewedLine struct {
	List  string          `json:"list"`
	ID    int64           `json:"id"`
	After json.RawMessage `json:"after"`
}

func (a *app) preview(ctx context.Context, connectorFile, path string, s previewSettings) error {
	if s.output != "text" && s.output != "json" {
		return usageError{fmt.Errorf("--output %q is not a form; give text or json", s.output)}
	}
	if s.rows < 1 || s.rows > mostPreviewed {
		return usageError{fmt.Errorf("--rows %d is not from 1 to %d", s.rows, mostPreviewed)}
	}
	c, o, err := a.previewedObject(connectorFile, path, s.worker)
	if err != nil {
		return err
	}
	var scopes []string // those that were written down
	if c.Coupa().AnyScope {
		scopes = coupa.Scopes([]string{path})
	}
	client, err := a.newClient(c, c.Limiter(), scopes)
	if err != nil {
		return err
	}
	p := previewer{client: client, object: o, tenant: c.Tenant, mapper: o.Rewriter()}
	shown, err := p.show(ctx, s.rows)
	if err != nil {
		return err
	}
	if s.records {
		for i := range shown.Rows {
			shown.Rows[i].Before = nil
		}
	}
	return a.printPreview(shown, p.split, s)
}

// previewedObject reads the files.
func (a *app) previewedObject(connectorFile, path, workerFile string) (*config.Connector, config.Object, error) {
	c, err := config.LoadConnector(connectorFile, a.env)
	if workerFile != "" {
		w, failed := config.LoadWorker(workerFile, a.env)
		if err = errors.Join(err, failed); err == nil {
			err = c.MapWith(w)
		}
	}
	if err != nil {
		return nil, config.Object{}, err
	}
	i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path })
	if i < 0 {
		return nil, config.Object{}, usageError{fmt.Errorf("%s: %s is not in coupa.objects; it streams %s", connectorFile, path, pathsOf(c))}
	}
	return c, c.Objects[i], nil
}

// previewer makes records of rows as a worker does, and keeps them.
type previewer struct {
	client *coupa.Client
	object config.Object
	tenant string
	mapper *mapping.Rewriter
	split  *schemas.Split
}

func (p *previewer) show(ctx context.Context, most int) (*previewed, error) {
	options := p.object.SchemaOptions()
	asked, err := schemas.For(p.object.Path, options)
	if err != nil {
		return nil, err
	}
	q := coupa.Query{Path: p.object.Path}
	if p.object.Fields != "all" {
		q.Fields = asked.Fields()
	}
	rows, err := p.read(ctx, q, most)
	if err != nil {
		return nil, err
	}
	if options.Custom != nil {
		if options.Custom, err = p.customFields(rows); err != nil {
			return nil, err
		}
	}
	schema, err := schemas.For(p.object.Path, options)
	if err == nil && p.object.Lines == config.LinesEmbedded {
		p.split = schema.Unsplit()
	} else if err == nil {
		p.split, err = schema.Split(p.object.Lines == config.LinesBoth)
	}
	if err != nil {
		return nil, err
	}
	shown := &previewed{Object: p.object.Path, Schema: json.RawMessage(p.split.Row.JSON()), Fields: json.RawMessage(q.Fields)}
	for _, l := range p.split.Lists {
		if shown.Lines == nil {
			shown.Lines = map[string]json.RawMessage{}
		}
		shown.Lines[l.Name] = json.RawMessage(l.Schema.JSON())
	}
	plan, err := schema.Plan()
	if err != nil {
		return nil, err
	}
	encoder := plan.Encoder()
	encoder.KeepUnreadable, encoder.Tenant = p.object.KeepsUnreadable(), p.tenant
	for _, r := range rows {
		one := previewedRow{ID: r.ID, Before: r.JSON}
		if one.After, one.Lines, err = p.record(encoder, r); err != nil {
			one.Error = err.Error()
		}
		one.LeftOut = encoder.LeftOut()
		shown.Rows = append(shown.Rows, one)
	}
	return shown, nil
}

// read reads rows with the highest ids. Where many ids are missing below
// the highest it looks further down a few times, and takes what it finds.
func (p *previewer) read(ctx context.Context, q coupa.Query, most int) ([]coupa.Row, error) {
	highest, err := p.client.MaxID(ctx, coupa.Query{Path: q.Path})
	if err != nil || highest == 0 {
		return nil, err
	}
	for span, tries := int64(most), 0; ; span, tries = 10*span, tries+1 {
		var rows []coupa.Row
		q.After = max(0, highest-span)
		_, err := p.client.Fetch(ctx, q, func(r coupa.Row) error {
			r.JSON = slices.Clone(r.JSON)
			rows = append(rows, r)
			return nil
		})
		if err != nil || len(rows) >= most || q.After == 0 || tries == 4 {
			return rows[max(0, len(rows)-most):], err
		}
	}
}

// customFields types the custom fields of the rows, as they are with the mapping.
func (p *previewer) customFields(rows []coupa.Row) (*custom.Fields, error) {
	d, err := schemas.NewDiscovery(p.object.Path)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		row := r.JSON
		if p.mapper != nil {
			if row, err = p.mapper.Guarded(row); err != nil {
				continue // record tells why
			}
		}
		if err := d.Observe(row); err != nil {
			return nil, err
		}
	}
	if p.object.WidensCustomFields() {
		return d.Fields(), nil
	}
	return d.Fields().Single(), nil
}

// record gives the record of a row, and those of its lines where they have their own, as JSON.
func (p *previewer) record(encoder *schemas.Encoder, r coupa.Row) (row []byte, lines []previewedLine, err error) {
	row = r.JSON
	if p.mapper != nil {
		if row, err = p.mapper.Row(row); err != nil {
			return nil, nil, err
		}
	}
	value, err := encoder.Append(nil, row)
	if err != nil {
		return nil, nil, err
	}
	splitter, err := p.split.Splitter()
	if err != nil {
		return nil, nil, err
	}
	if err := splitter.Split(r.ID, value); err != nil {
		return nil, nil, err
	}
	for _, l := range splitter.Lines() {
		of := p.split.Lists[l.List]
		text, err := inJSON(of.Schema, l.Value)
		if err != nil {
			return nil, nil, err
		}
		lines = append(lines, previewedLine{of.Name, l.ID, text})
	}
	row, err = inJSON(p.split.Row, splitter.Row())
	return row, lines, err
}

func inJSON(s *schemas.Schema, value []byte) ([]byte, error) {
	plan, err := s.Plan()
	if err != nil {
		return nil, err
	}
	return plan.AppendJSON(nil, value)
}

func (a *app) printPreview(shown *previewed, split *schemas.Split, s previewSettings) error {
	if s.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(shown)
	}
	for _, r := range shown.Rows {
		if r.Before != nil {
			fmt.Fprintf(a.stdout, "%s id %d, as Coupa sends it:\n%s\n", shown.Object, r.ID, indented(r.Before))
		} else {
			fmt.Fprintf(a.stdout, "%s id %d\n", shown.Object, r.ID)
		}
		if r.Error != "" {
			fmt.Fprintf(a.stdout, "there is no record: %s\n\n", r.Error)
			continue
		}
		fmt.Fprintf(a.stdout, "its record:\n%s\n\n", indented(r.After))
		for _, l := range r.Lines {
			fmt.Fprintf(a.stdout, "the record of line %d of %s:\n%s\n\n", l.ID, l.List, indented(l.After))
		}
	}
	if len(shown.Rows) == 0 {
		fmt.Fprintf(a.stdout, "there are no rows of %s\n\n", shown.Object)
	}
	if !s.schema {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "schema:\n%s", split.Row.Pretty())
	for _, l := range split.Lists {
		if err == nil {
			_, err = fmt.Fprintf(a.stdout, "\nschema of %s:\n%s", l.Name, l.Schema.Pretty())
		}
	}
	return err
}

// indented gives JSON for people, or as it is where it is none.
func indented(text json.RawMessage) string {
	var pretty bytes.Buffer
	if json.Indent(&pretty, text, "", "  ") == nil {
		return pretty.String()
	}
	return string(text)
}
