package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
)

func newConfigCommand(a *app) *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "config [KEY]",
		Short: "Explain the keys of worker and connector files",
		Long: `Explain a key of worker or connector files: what it is for, its type, its default and the values that it takes.
Without a key, all are listed. With --schema a JSON Schema of such files is printed, which tells mistakes in an
editor: save it, and begin a YAML file with the line

  # yaml-language-server: $schema=connector.schema.json`,
		Example: "  coupastream config poll.interval.ms\n  coupastream config object.invoices.lines\n  coupastream config --schema connector >connector.schema.json",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, k := range append(config.WorkerKeys(), config.ConnectorKeys()...) {
				names = append(names, k.Name+"\t"+firstSentence(k.Doc))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case kind != "" && len(args) > 0:
				return usageError{errors.New("--schema describes whole files; leave the key out")}
			case kind != "":
				return a.printFileSchema(kind)
			case len(args) > 0:
				return a.explainKey(args[0])
			}
			return a.listKeys()
		},
	}
	cmd.Flags().StringVar(&kind, "schema", "", "print a JSON Schema of files: worker or connector")
	_ = cmd.RegisterFlagCompletionFunc("schema", cobra.FixedCompletions([]string{"worker", "connector"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) printFileSchema(kind string) error {
	var text []byte
	var err error
	switch kind {
	case "worker":
		text, err = config.WorkerSchema()
	case "connector":
		text, err = config.ConnectorSchema()
	default:
		return usageError{fmt.Errorf("--schema %q is no kind of file; give worker or connector", kind)}
	}
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(text)
	return err
}

func (a *app) listKeys() error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for i, part := range []struct {
		heading string
		keys    []config.Key
	}{{"WORKER", config.WorkerKeys()}, {"CONNECTOR", config.ConnectorKeys()}} {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\tDEFAULT\tMEANING\n", part.heading)
		for _, k := range part.keys {
			fmt.Fprintf(w, "%s\t%s\t%s\n", k.Name, plain(k.DefaultText()), plain(firstSentence(k.Doc)))
		}
	}
	return w.Flush()
}

// explainKey prints all that is declared of a key; one name may be a worker's and a connector's.
func (a *app) explainKey(name string) error {
	found := 0
	print := func(k config.Key, where string) {
		if found++; found > 1 {
			fmt.Fprintln(a.stdout)
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(a.stdout, "%s\n\n%s\n\n", k.Name, plain(k.Doc))
		for _, line := range [][2]string{
			{"in", where}, {"type", strings.ToLower(string(k.Type))}, {"default", plain(cmp.Or(k.DefaultText(), "none"))},
			{"values", strings.Join(k.Values, ", ")}, {"example", k.Example},
		} {
			if line[1] != "" {
				fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
			}
		}
		_ = w.Flush()
	}
	for _, k := range config.WorkerKeys() {
		if k.Name == name {
			print(k, "the worker's file")
		}
	}
	if k, ok := config.LookupConnectorKey(name); ok {
		where := "a connector's file, or POST /connectors"
		if k.PerObject && !strings.HasPrefix(k.Name, "object.") {
			where += "; object.<path>." + k.Name + " for one object"
		}
		print(k, where)
	}
	if found == 0 {
		return usageError{fmt.Errorf("%s: %s", name, config.UnknownKey(name))}
	}
	return nil
}

// plain is documentation without Markdown's marks.
func plain(doc string) string { return strings.ReplaceAll(doc, "`", "") }

func firstSentence(doc string) string {
	first, _, cut := strings.Cut(doc, ". ")
	if cut {
		first += "."
	}
	return first
}
