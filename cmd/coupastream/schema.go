package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

func newSchemaCommand(a *app) *cobra.Command {
	var connector string
	var lines bool
	cmd := &cobra.Command{
		Use:   "schema OBJECT",
		Short: "Print the schema of an object",
		Example: "  coupastream schema invoices\n" +
			"  coupastream schema invoices --connector acme.yaml\n" +
			"  coupastream schema invoices --lines",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.printSchema(args[0], connector, lines) },
	}
	cmd.Flags().StringVar(&connector, "connector", "", "connector file; print the schema as that connector would register it")
	cmd.Flags().BoolVar(&lines, "lines", false, "print the schemas of the object's lines, as they are where lines have topics of their own")
	return cmd
}

// printSchema prints the schema of one object, or those of its
// lines, with the options of a connector file if one is given.
func (a *app) printSchema(path, connectorFile string, lines bool) error {
	var options schemas.Options
	format, where := config.FormatAvro, config.LinesEmbedded
	if connectorFile != "" {
		c, err := config.LoadConnector(connectorFile, a.env)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path })
		if i < 0 {
			return usageError{fmt.Errorf("%s: %s is not in coupa.objects; it streams %s", connectorFile, path, pathsOf(c))}
		}
		options, format, where = c.Objects[i].SchemaOptions(), c.Objects[i].ValueFormat, c.Objects[i].Lines
	}
	s, err := schemas.For(path, options)
	if err != nil {
		return usageError{err}
	}
	if format == config.FormatJSON {
		return usageError{fmt.Errorf("%s: %s has value.format=json, for which no schema is registered; with jsonschema there is one", connectorFile, path)}
	}
	all := []*schemas.Schema{s}
	if lines || where == config.LinesTopics {
		split, err := s.Split(where != config.LinesTopics)
		if err != nil {
			return err
		}
		if all[0] = split.Row; lines {
			all = nil
			for _, l := range split.Lists {
				all = append(all, l.Schema)
			}
		}
	}
	if len(all) == 0 {
		return usageError{fmt.Errorf("rows of %s have no lines that could have topics of their own (coupastream objects shows which have)", path)}
	}
	for _, s := range all {
		if format == config.FormatJSONSchema {
			err = a.printJSONSchema(s)
		} else {
			_, err = fmt.Fprintln(a.stdout, s.Pretty())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printJSONSchema(s *schemas.Schema) error {
	text, err := s.JSONSchema()
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(text), "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, pretty.String())
	return err
}
