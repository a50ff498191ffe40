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
	cmd := &cobra.Command{
		Use:   "schema OBJECT",
		Short: "Print the schema of an object",
		Example: "  coupastream schema invoices\n" +
			"  coupastream schema invoices --connector acme.yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.printSchema(args[0], connector) },
	}
	cmd.Flags().StringVar(&connector, "connector", "", "connector file; print the schema as that connector would register it")
	return cmd
}

// printSchema prints the schema of one object, with the options of a connector file if one is given.
func (a *app) printSchema(path, connectorFile string) error {
	var options schemas.Options
	format := config.FormatAvro
	if connectorFile != "" {
		c, err := config.LoadConnector(connectorFile, a.env)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(c.Objects, func(o config.Object) bool { return o.Path == path })
		if i < 0 {
			return usageError{fmt.Errorf("%s: %s is not in coupa.objects; it streams %s", connectorFile, path, pathsOf(c))}
		}
		options, format = c.Objects[i].SchemaOptions(), c.Objects[i].ValueFormat
	}
	s, err := schemas.For(path, options)
	if err != nil {
		return usageError{err}
	}
	switch format {
	case config.FormatJSON:
		return usageError{fmt.Errorf("%s: %s has value.format=json, for which no schema is registered; with jsonschema there is one", connectorFile, path)}
	case config.FormatJSONSchema:
		return a.printJSONSchema(s)
	}
	_, err = fmt.Fprintln(a.stdout, s.Pretty())
	return err
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
