package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/coupastream/coupastream/connector/config"
)

// Names of what init writes beside the connector's file, which is named after the instance.
const (
	workerFile      = "worker.yaml"
	workerSchema    = "worker.schema.json"
	connectorSchema = "connector.schema.json"
)

// secretName is where the connector's file has its secret from.
const secretName = "COUPA_CLIENT_SECRET"

// question is one of the things that init asks for, unless its flag is given.
type question struct {
	flag, key, asks string
	def             string // "": an answer is needed
	worker          bool   // the key is one of the worker's file
	answer          string
}

func newQuestions() []*question {
	objects, _ := config.LookupConnectorKey("coupa.objects")
	return []*question{
		{flag: "url", key: "coupa.url", asks: "address of the Coupa instance, e.g. https://acme.coupahost.com"},
		{flag: "client-id", key: "coupa.client.id", asks: "id of the API client, or a reference to it", def: "${env:COUPA_CLIENT_ID}"},
		{flag: "objects", key: "coupa.objects", asks: "what to stream (coupastream objects lists all)", def: objects.Default},
		{flag: "bootstrap-servers", key: "bootstrap.servers", asks: "Kafka brokers", def: "localhost:9092", worker: true},
		{flag: "registry", key: "schema.registry.url", asks: "schema registry", def: "http://localhost:8081", worker: true},
	}
}

func newInitCommand(a *app) *cobra.Command {
	questions := newQuestions()
	cmd := &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a worker and a connector file",
		Long: `Write a worker and a connector file, with comments, and JSON Schemas of both for editors. What no flag gives is
asked for. No file is overwritten: a worker's file that is there is kept, and the connector goes beside it. No secret
is written: the client's is read from ` + secretName + ` when the connector runs. If that is set,
validate --online follows.`,
		Example: "  coupastream init\n  coupastream init conf --url https://acme.coupahost.com --objects invoices --bootstrap-servers broker:9092 --registry https://registry:8081",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := func(q *question) bool { return cmd.Flags().Changed(q.flag) }
			return a.init(cmd.Context(), filepath.Clean(strings.Join(args, "")), questions, given)
		},
	}
	for _, q := range questions {
		help := q.key + ": " + q.asks
		if q.def != "" {
			help += " (default " + q.def + ")"
		}
		cmd.Flags().StringVar(&q.answer, q.flag, "", help)
	}
	return cmd
}

// init asks, writes, and tries what it wrote where the environment has what that takes.
func (a *app) init(ctx context.Context, folder string, questions []*question, given func(*question) bool) error {
	_, err := os.Lstat(filepath.Join(folder, workerFile))
	workerThere := err == nil
	in := bufio.NewReader(a.stdin)
	for _, q := range questions {
		var err error
		switch {
		case given(q) && q.worker && workerThere:
			err = usageError{fmt.Errorf("%s is there already and is kept; leave --%s out", filepath.Join(folder, workerFile), q.flag)}
		case given(q):
			err = q.check()
		case q.worker && workerThere:
		default:
			err = a.ask(q, in)
		}
		if err != nil {
			return err
		}
	}
	answers := map[string]string{}
	for _, q := range questions {
		answers[q.key] = q.answer
	}
	c, err := parseAnswers(answers)
	if err != nil {
		return err
	}
	connectorFile := filepath.Join(folder, c.Tenant+".yaml")
	if err := writeFiles(folder, connectorFile, c.Tenant, answers, workerThere); err != nil {
		return err
	}
	worker := filepath.Join(folder, workerFile)
	if workerThere {
		fmt.Fprintf(a.stdout, "%s is kept, and %s is new.\n", worker, connectorFile)
	} else {
		fmt.Fprintf(a.stdout, "%s and %s are new.\n", worker, connectorFile)
	}
	if lacking := a.lacking(answers["coupa.client.id"]); len(lacking) > 0 {
		fmt.Fprintf(a.stdout, "Set %s, and try all that a run needs:\n\n  coupastream validate --online %s %s\n", strings.Join(lacking, " and "), worker, connectorFile)
		return nil
	}
	return a.validate(ctx, []string{worker, connectorFile}, true, false)
}

// ask asks until the answer is one; no answer is the default. The end of the input is no answer.
func (a *app) ask(q *question, in *bufio.Reader) error {
	for {
		fmt.Fprintf(a.stderr, "%s: %s", q.key, q.asks)
		if q.def != "" {
			fmt.Fprintf(a.stderr, " [%s]", q.def)
		}
		fmt.Fprint(a.stderr, ": ")
		line, err := in.ReadString('\n')
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return fmt.Errorf("reading an answer: %w", err)
		}
		if ended {
			fmt.Fprintln(a.stderr)
		}
		q.answer = cmp.Or(strings.TrimSpace(line), q.def)
		if q.answer == "" {
			err = usageError{fmt.Errorf("--%s is missing; give %s", q.flag, q.asks)}
		} else {
			err = q.check()
		}
		if err == nil || ended {
			return err
		}
		fmt.Fprintln(a.stderr, err)
	}
}

// check looks at one answer by itself, as the file with it will be looked at.
func (q *question) check() error {
	if u, err := url.Parse(q.answer); err == nil && u.User != nil && q.key == "schema.registry.url" {
		return config.Problems{{Key: q.key, Message: "holds credentials, which are not written to a file", Remedy: "leave them out, and give schema.registry.basic.auth.user.info a reference, ${env:NAME}, in " + workerFile}}
	}
	var err error
	if q.worker {
		raw := map[string]string{"bootstrap.servers": "localhost:9092"}
		raw[q.key] = q.answer
		_, err = config.ParseWorker(raw, anyValue)
	} else {
		_, err = parseAnswers(map[string]string{"coupa.url": "https://acme.coupahost.com", "coupa.client.id": "x", q.key: q.answer})
	}
	problems := slices.DeleteFunc(problemsOf(err), func(p config.Problem) bool { return p.Key != q.key })
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// anyValue stands for an environment that has all names: what init writes is checked without its secrets.
func anyValue(string) (string, bool) { return "x", true }

// parseAnswers is the connector of the answers.
func parseAnswers(answers map[string]string) (*config.Connector, error) {
	raw := map[string]string{"name": "new", "coupa.client.secret": "${env:" + secretName + "}"}
	for _, key := range []string{"coupa.url", "coupa.client.id", "coupa.objects"} {
		if answers[key] != "" {
			raw[key] = answers[key]
		}
	}
	return config.ParseConnector(raw, anyValue)
}

// lacking names what the environment has to have for the connector to run.
func (a *app) lacking(clientID string) (names []string) {
	for _, name := range []string{"COUPA_CLIENT_ID", secretName} {
		if _, found := a.env(name); !found && (name == secretName || clientID == "${env:"+name+"}") {
			names = append(names, name)
		}
	}
	return names
}

// writeFiles writes what is not there, the connector's file last: who is stopped before may begin again.
func writeFiles(folder, connectorFile, name string, answers map[string]string, workerThere bool) error {
	if _, err := os.Lstat(connectorFile); err == nil || connectorFile == filepath.Join(folder, workerFile) {
		return usageError{fmt.Errorf("%s is there already, or is to be the worker's, and is not overwritten; name another folder", connectorFile)}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	ofWorker, err := config.WorkerSchema()
	if err != nil {
		return err
	}
	ofConnector, err := config.ConnectorSchema()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path    string
		content []byte
		kept    bool // as it is, where it is there
	}{
		{filepath.Join(folder, workerSchema), ofWorker, true},
		{filepath.Join(folder, connectorSchema), ofConnector, true},
		{filepath.Join(folder, workerFile), []byte(workerText(answers)), workerThere},
		{connectorFile, []byte(connectorText(name, answers)), false},
	} {
		err := writeNew(f.path, f.content)
		if err != nil && (!f.kept || !errors.Is(err, fs.ErrExist)) {
			return err
		}
	}
	return nil
}

// writeNew writes a file that is not there yet. There is no secret in it.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func workerText(answers map[string]string) string {
	return `# yaml-language-server: $schema=` + workerSchema + `
# A worker: how it reaches Kafka and the schema registry. "coupastream config" lists all keys and explains each.

# Some of the brokers; the others follow from them. For TLS and log-ins: security.protocol, ssl.*, sasl.*;
# a secret as a reference: ${env:NAME} or ${file:/path:key}.
bootstrap.servers: ` + scalar(answers["bootstrap.servers"]) + `

# Any registry with Confluent's API. Its log-in: schema.registry.basic.auth.user.info, as a reference.
schema.registry.url: ` + scalar(answers["schema.registry.url"]) + `

# Workers with the same id share the connectors. It begins the names of the worker's own topics,
# ` + "`<group.id>-checkpoints` and `<group.id>-configs`" + `, and of its transactional ids.
group.id: coupastream

# On a local disk. It may be lost: the checkpoint topic has it all.
state.dir: ./state
`
}

func connectorText(name string, answers map[string]string) string {
	return `# yaml-language-server: $schema=` + connectorSchema + `
# A connector: one Coupa instance. "coupastream config" lists all keys and explains each.

name: ` + scalar(name) + `
coupa.url: ` + scalar(answers["coupa.url"]) + `

# An API client of Coupa's (Setup, OAuth2/OpenID Connect Clients; grant type: client credentials) with the read
# scopes of the objects. The secret stays out of this file.
coupa.client.id: ` + scalar(answers["coupa.client.id"]) + `
coupa.client.secret: ${env:` + secretName + `}

# "coupastream objects" lists what there is. A key for one object: object.<path>.<key>.
coupa.objects: ` + scalar(answers["coupa.objects"]) + `

# What was there before the first start: earliest publishes all of it, latest nothing, an instant what changed since.
initial.from: earliest
`
}

// scalar is a value as YAML has it.
func scalar(value string) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Sprintf("%q", value)
	}
	return strings.TrimSuffix(string(text), "\n")
}
