package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
)

func newObjectsCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "objects",
		Short: "List Coupa's objects, with scopes and abilities",
		Long: `List the collections of Coupa's API that the catalogue has: the path that coupa.objects takes, the record in its topic, the scopes that reading takes.

  changes   how they are found: by updated-at; by content, where rows can't be asked for by it and are all read every reread.interval.ms; or by both, where
            updated-at does not show every change
  lines     lines with an updated-at of their own: a change of them alone is found too
  topics    lists whose lines go to topics of their own with lines=topics or both
  exported  rows carry Coupa's exported flag
  deletes   Coupa has an operation that deletes rows

The forms json and markdown tell of the collections of each row too, as /invoices/{id}/comments: where a stream has what they hold.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.objects(output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "form of the list: text, json or markdown")
	return cmd
}

// listedObject is one object as it is listed.
type listedObject struct {
	Path     string   `json:"path"`
	Record   string   `json:"record"`
	Scopes   []string `json:"scopes"`
	Changes  []string `json:"changes"` // "updated-at", "content"
	Lines    string   `json:"lines,omitempty"`
	Topics   []string `json:"line_topics,omitempty"` // lists that can have them
	Parent   string   `json:"parent,omitempty"`      // whose rows these are below
	Exported bool     `json:"exported"`
	Deletes  bool     `json:"deletes"`
	Below    []below  `json:"sub_collections,omitempty"`
	Doc      string   `json:"doc"`
}

// below is a collection of each row, and where a stream has what it holds: in "row", or in another object.
type below struct {
	Name   string `json:"name"`
	Record string `json:"record"`
	In     string `json:"in"`
}

func (a *app) objects(output string) error {
	var all []listedObject
	for _, r := range coupa.Resources() {
		lists, err := schemas.Lists(r.Path)
		if err != nil {
			return err
		}
		all = append(all, listedObject{r.Path, "coupa." + avroname.Of(r.Object), r.Scopes, changesOf(r), r.Lines, avroname.Fields(lists), r.Parent, r.Exported, r.Deletes, belowOf(r), r.Doc})
	}
	switch output {
	case "json":
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(all)
	case "text":
		return a.printObjects(all)
	case "markdown":
		return a.writeObjects(all)
	}
	return usageError{fmt.Errorf("--output %q is not a form; give text, json or markdown", output)}
}

func belowOf(r coupa.Resource) []below {
	var all []below
	for _, b := range r.Below {
		all = append(all, below{b.Name, "coupa." + avroname.Of(b.Object), b.In})
	}
	return all
}

func changesOf(r coupa.Resource) []string {
	switch {
	case !r.UpdatedAt:
		return []string{"content"}
	case r.ByContent:
		return []string{"updated-at", "content"}
	}
	return []string{"updated-at"}
}

func (a *app) printObjects(all []listedObject) error {
	word := map[bool]string{true: "yes", false: "-"}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OBJECT\tSCOPE\tCHANGES\tLINES\tTOPICS\tEXPORTED\tDELETES\tWHAT IT IS")
	for _, o := range all {
		lines := o.Lines
		if lines == "" {
			lines = "-"
		}
		topics := "-"
		if len(o.Topics) > 0 {
			topics = strings.Join(o.Topics, ", ")
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", o.Path, strings.Join(o.Scopes, " "), strings.Join(o.Changes, ", "), lines, topics, word[o.Exported], word[o.Deletes], o.Doc)
	}
	return t.Flush()
}

// writeObjects writes the table that schemas/OBJECTS.md holds.
func (a *app) writeObjects(all []listedObject) error {
	const row = "| `%s` | `%s` | %s | %s | %s | %s | %s | %s |\n"
	var b strings.Builder
	b.WriteString("| object | record | scope | changes | line topics | exported | deletes | sub-collections |\n|---|---|---|---|---|---|---|---|\n")
	mark := map[bool]string{true: "yes"}
	for _, o := range all {
		changes := strings.Join(o.Changes, ", ")
		if o.Lines != "" {
			changes += ", and of `" + o.Lines + "` alone"
		}
		topics := ""
		if len(o.Topics) > 0 {
			topics = "`" + strings.Join(o.Topics, "`, `") + "`"
		}
		fmt.Fprintf(&b, row, o.Path, o.Record, "`"+strings.Join(o.Scopes, "`, `")+"`", changes, topics, mark[o.Exported], mark[o.Deletes], belowInWords(o))
	}
	_, err := a.stdout.Write([]byte(b.String()))
	return err
}

// belowInWords says where a stream has what the collections of each row hold.
func belowInWords(o listedObject) string {
	var all []string
	for _, b := range o.Below {
		where := " in `" + b.In + "`"
		switch b.In {
		case "row":
			where = " in the row"
		case b.Name, o.Path + "/" + b.Name:
			where = " as an object"
		}
		all = append(all, "`"+b.Name+"`"+where)
	}
	return strings.Join(all, ", ")
}
