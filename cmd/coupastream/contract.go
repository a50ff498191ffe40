package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/contract"
)

// contractSettings are the flags of `contract`.
type contractSettings struct{ worker, output string }

func newContractCommand(a *app) *cobra.Command {
	r, s := &remote{app: a}, contractSettings{}
	cmd := &cobra.Command{
		Use:   "contract CONNECTOR [OBJECT …]",
		Short: "Print the data contract of a connector's topics",
		Long: `Print what the topics of a connector hold, for those who read them, as a data contract of the Open Data Contract Standard (` + contract.APIVersion + `): a schema for each
topic with types, descriptions and tags of personal data, the key, what holds of the records, brokers and registry, retention.

CONNECTOR is the name of a connector, which a running worker is asked of, or a connector file. A file is enough: nobody is asked, and servers and retention stand there if the
worker file is given too, whose mapping counts. No secret is printed.`,
		Example: "  coupastream contract acme >acme.odcs.yaml\n" +
			"  coupastream contract acme invoices suppliers -o json\n" +
			"  coupastream contract acme.yaml --worker worker.yaml",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.contract(cmd.Context(), args[0], args[1:], s) },

		ValidArgsFunction: r.completeObjects(0),
	}
	r.connection(cmd)
	cmd.Flags().StringVar(&s.worker, "worker", "", "worker file, beside a connector file: for brokers, registry, mapping and how topics are made")
	cmd.Flags().StringVarP(&s.output, "output", "o", "yaml", "form of the document: yaml or json")
	return cmd
}

// isFile tells a connector file from the name of a connector.
func isFile(connector string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json", ".properties"}, filepath.Ext(connector))
}

func (r *remote) contract(ctx context.Context, connector string, objects []string, s contractSettings) error {
	if s.output != "yaml" && s.output != "json" {
		return usageError{fmt.Errorf("--output %q is not a form; give yaml or json", s.output)}
	}
	document, err := r.contractOf(ctx, connector, objects, s)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err == nil && s.output == "yaml" {
		text, err = blockYAML(text)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(r.stdout, strings.TrimSuffix(string(text), "\n"))
	return err
}

func (r *remote) contractOf(ctx context.Context, connector string, objects []string, s contractSettings) (*contract.Document, error) {
	switch {
	case !isFile(connector) && s.worker == "":
		c, err := r.client()
		if err != nil {
			return nil, err
		}
		return c.Contract(ctx, connector, objects)
	case s.worker == "":
		c, err := config.LoadConnector(connector, r.env)
		if err != nil {
			return nil, err
		}
		return contract.Of(nil, c, objects)
	}
	settings, connectors, err := r.load(s.worker, []string{connector})
	if err != nil {
		return nil, err
	}
	return contract.Of(settings, connectors[0], objects)
}

// blockYAML writes JSON, which is YAML, as people write YAML.
func blockYAML(text []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	var plain func(*yaml.Node)
	plain = func(n *yaml.Node) {
		n.Style = 0
		for _, inner := range n.Content {
			plain(inner)
		}
	}
	plain(&root)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(&root)
	return out.Bytes(), err
}
