package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest/agents"
)

func newMCPCommand(a *app) *cobra.Command {
	r, worker, change := &remote{app: a}, "", false
	cmd := &cobra.Command{
		Use:   "mcp [CONNECTOR …]",
		Short: "Let an agent ask a running worker, by the Model Context Protocol over stdin and stdout",
		Long: `Serve the Model Context Protocol over stdin and stdout, for an agent that starts this command. Its tools ask the running worker at --url: connectors, status, health with freshness
and rate, offsets, topics, why a row is in its topic or is not, snapshots.

With connector files there are tools that read Coupa and Kafka themselves: schema and preview, and with --worker verify and deadletters. Of rows they show what the mapping lets through.

Nothing is changed but with --allow-changes: it adds pause, resume, restart, takeSnapshot and cancelSnapshot, for which the account needs the role admin, and with files replay.`,
		Example: "  coupastream mcp\n" +
			"  coupastream mcp --url https://coupastream.example.com:8443 --token-file token\n" +
			"  coupastream mcp acme.yaml --worker worker.yaml --allow-changes",
		RunE: func(cmd *cobra.Command, files []string) error {
			return r.mcp(cmd.Context(), agentFiles{worker: worker, connectors: files}, change)
		},
	}
	r.connection(cmd)
	f := cmd.Flags()
	f.StringVar(&worker, "worker", "", "worker file, for tools that read Kafka")
	f.BoolVar(&change, "allow-changes", false, "have tools that change something")
	return cmd
}

func (r *remote) mcp(ctx context.Context, files agentFiles, change bool) error {
	a := *r.app
	a.readOnly = a.readOnly || !change
	r = &remote{app: &a, to: r.to}
	asked, err := r.client()
	if err != nil {
		return err
	}
	tools, err := agents.Operations(asked.Ask, change)
	if err != nil {
		return err
	}
	more, err := r.commandTools(files, change)
	if err != nil {
		return err
	}
	return agents.Serve(ctx, io.NopCloser(a.stdin), unclosed{a.stdout}, version(), append(tools, more...))
}

// unclosed is a writer that others close.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// agentFiles are the files that commands are given which an agent has run. The agent knows
// connectors by their names, and names no file.
type agentFiles struct {
	worker     string
	connectors []string
}

// agentCommand is a command that an agent may run.
type agentCommand struct {
	name    string
	flags   []string // that the agent may give
	fixed   []string // that it is always given
	kafka   bool     // it needs the worker's file
	asks    bool     // it asks the running worker, too
	changes bool
}

var agentCommands = []agentCommand{
	{name: "schema"},
	{name: "preview", flags: []string{"rows"}, fixed: []string{"--records", "--output=json"}},
	{name: "verify", flags: []string{"objects", "since", "strict"}, fixed: []string{"--output=json"}, kafka: true, asks: true},
	{name: "deadletters", flags: []string{"letters"}, fixed: []string{"--output=json"}, kafka: true},
	{name: "replay", fixed: []string{"--output=json"}, kafka: true, changes: true},
}

// commandTools are the commands that can be run with the files, as tools.
func (r *remote) commandTools(files agentFiles, change bool) ([]agents.Tool, error) {
	byName := map[string]string{}
	for _, file := range files.connectors {
		c, err := config.LoadConnector(file, r.env)
		if err != nil {
			return nil, err
		}
		byName[c.Name] = file
	}
	var all []agents.Tool
	for _, c := range agentCommands {
		cmd, _, err := newRootCommand(r.app).Find([]string{c.name})
		if err != nil {
			return nil, err
		}
		needsConnector := slices.Contains(argumentsOf(cmd), connectorProperty)
		if (len(byName) > 0 || !needsConnector) && (files.worker != "" || !c.kafka) && (change || !c.changes) {
			all = append(all, r.commandTool(c, cmd, files.worker, byName))
		}
	}
	return all, nil
}

// connectorProperty is the connector in what a tool is given.
const connectorProperty = "connector"

// commandTool declares a tool by what the command declares: its arguments, its flags and its words.
// connectors are files by name.
func (r *remote) commandTool(c agentCommand, cmd *cobra.Command, worker string, connectors map[string]string) agents.Tool {
	properties, required := map[string]any{}, argumentsOf(cmd)
	for _, name := range required {
		properties[name] = map[string]any{"type": "string", "minLength": 1}
	}
	if len(connectors) > 0 {
		properties[connectorProperty] = map[string]any{"enum": slices.Sorted(maps.Keys(connectors)), "description": "The connector's name."}
	}
	for _, name := range c.flags {
		properties[name] = flagSchema(cmd.Flags().Lookup(name))
	}
	fixed := append([]string{c.name}, c.fixed...)
	if worker != "" && cmd.Flags().Lookup("worker") != nil {
		fixed = append(fixed, "--worker="+worker)
	}
	if c.asks {
		fixed = append(fixed, r.given()...)
	}
	return agents.Tool{
		Name: c.name, Description: wordsOf(cmd), Changes: c.changes,
		Input: map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false},
		Do: func(ctx context.Context, given map[string]json.RawMessage) ([]byte, error) {
			return r.runCommand(ctx, slices.Concat(fixed, commandLine(given, required, connectors)))
		},
	}
}

// argumentsOf are the names of a command's arguments.
func argumentsOf(cmd *cobra.Command) (names []string) {
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "-") {
			break
		}
		names = append(names, strings.ToLower(word))
	}
	return names
}

// wordsOf is what a command says of itself: in short, and the beginning of
// the whole, which says what comes of it.
func wordsOf(cmd *cobra.Command) string {
	said := strings.SplitN(cmd.Long, "\n\n", 3)
	return strings.TrimSpace(cmd.Short + ".\n" + strings.Join(said[:min(2, len(said))], "\n"))
}

// flagSchema is the schema of a flag's value.
func flagSchema(f *pflag.Flag) map[string]any {
	kinds := map[string]map[string]any{
		"bool": {"type": "boolean"}, "int": {"type": "integer"}, "string": {"type": "string"}, "stringSlice": {"type": "array", "items": map[string]any{"type": "string"}},
	}
	s := kinds[f.Value.Type()]
	s["description"] = f.Usage
	return s
}

// commandLine is what an agent has given, as a command takes it: nothing of it can be taken for a flag that
// the agent may not give.
func commandLine(given map[string]json.RawMessage, arguments []string, connectors map[string]string) (line []string) {
	behind := []string{"--"}
	for _, name := range arguments {
		behind = append(behind, valueOf(name, given, connectors))
	}
	for name := range given {
		if !slices.Contains(arguments, name) {
			line = append(line, "--"+name+"="+valueOf(name, given, connectors))
		}
	}
	return append(line, behind...)
}

// valueOf is a value of a tool as it stands on a command line: of a connector its file.
func valueOf(name string, given map[string]json.RawMessage, connectors map[string]string) string {
	value := strings.Join(agents.Texts(given[name]), ",")
	if name == connectorProperty {
		return connectors[value]
	}
	return value
}

// given are the flags by which the running worker is asked.
func (r *remote) given() (flags []string) {
	for name, value := range map[string]string{
		"url": r.to.URL, "user": r.to.User, "password-file": r.to.PasswordFile, "token-file": r.to.TokenFile, "cacert": r.to.CA, "cert": r.to.Cert, "key": r.to.Key,
	} {
		if value != "" {
			flags = append(flags, "--"+name+"="+value)
		}
	}
	return flags
}

// runCommand runs a command as from a command line, and gives what it prints. That something differs, or
// could not go yet, is what was asked for.
func (r *remote) runCommand(ctx context.Context, line []string) ([]byte, error) {
	var out bytes.Buffer
	a := *r.app
	a.stdin, a.stdout = strings.NewReader(""), &out
	root := newRootCommand(&a)
	root.SetArgs(append([]string{"--log-format=" + a.logFormat, "--log-level=" + a.logLevel}, line...))
	err := root.ExecuteContext(ctx)
	if errors.Is(err, errDiffers) || errors.Is(err, errStillDead) {
		return fmt.Appendf(out.Bytes(), "%q\n", err), nil
	}
	return out.Bytes(), err
}
