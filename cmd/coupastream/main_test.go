package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

// programEnv has the test's binary be the program itself, for tests that run it from a shell.
const programEnv = "COUPASTREAM_TEST_IS_PROGRAM"

// TestMain fails if a run of the program leaves something behind in the folder for temporary files.
func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	flag.Parse()
	// what runs in parallel here waits, and hardly works
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(inOwnFolder(m.Run))
}

func inOwnFolder(run func() int) (status int) {
	folder, err := os.MkdirTemp("", "coupastream-test-")
	if err == nil {
		defer func() { _ = os.RemoveAll(folder) }()
		err = os.Setenv("TMPDIR", folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status = run()
	if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left behind:", left, err)
		return 1
	}
	return status
}

// result is what a run of the program left behind.
type result struct {
	status         int
	stdout, stderr string
}

// environment is that of all runs in tests.
func environment(name string) (string, bool) {
	value, found := map[string]string{"COUPA_CLIENT_ID": "client", "COUPA_CLIENT_SECRET": "s3cret"}[name]
	return value, found
}

// program runs the program in testdata.
func program(t *testing.T, args ...string) result {
	t.Helper()
	t.Chdir("testdata")
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, environment, &stdout, &stderr)
	if strings.Contains(stdout.String()+stderr.String(), "s3cret") {
		t.Errorf("a secret was printed:\n%s%s", &stdout, &stderr)
	}
	return result{status, stdout.String(), stderr.String()}
}

// badConnector is what validate says about testdata/bad-connector.json.
const badConnector = `bad-connector.json: coupa.object: unknown key; the nearest one is coupa.objects
bad-connector.json: coupa.url = "http://acme.coupahost.com": http:// is for this machine only, because a token must not travel in clear; write https://acme.coupahost.com
`

// badWorker is what validate says about testdata/bad-worker.yaml.
const badWorker = `bad-worker.yaml: transaction.commit.interval.ms = "abc": not a number of milliseconds; give a whole number, e.g. 100
`

func TestExitStatusAndMessages(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want result
	}{
		{"good files are named on stdout", []string{"validate", "worker.yaml", "acme.yaml"},
			result{0, "worker.yaml: ok\nacme.yaml: ok\n", ""}},
		{"all problems of all files at once, and the good file is still named", []string{"validate", "bad-worker.yaml", "worker.yaml", "bad-connector.json"},
			result{2, "worker.yaml: ok\n", badWorker + badConnector}},
		{"a missing file", []string{"validate", "nowhere.yaml"},
			result{2, "", "nowhere.yaml: there is no such file; check the path\n"}},
		{"two connectors with one name", []string{"validate", "acme.yaml", "./acme.yaml"},
			result{2, "acme.yaml: ok\n", `./acme.yaml: name = "acme": the name of another connector (acme.yaml) too; give each a name of its own
./acme.yaml: coupa.objects: invoices of tenant acme is streamed by acme (acme.yaml) too; stream it once, or give the instances different tenants
./acme.yaml: coupa.objects: suppliers of tenant acme is streamed by acme (acme.yaml) too; stream it once, or give the instances different tenants
`}},
		{"no file", []string{"validate"},
			result{2, "", "coupastream: requires at least 1 arg(s), only received 0; usage: coupastream validate FILE… [flags]\n"}},
		{"a check in an unknown form", []string{"validate", "acme.yaml", "-o", "xml"},
			result{2, "", "coupastream: --output \"xml\" is not a form; give text or json\n"}},
		{"an unknown command names the nearest", []string{"validat", "worker.yaml"},
			result{2, "", "coupastream: unknown command \"validat\" for \"coupastream\"\n\nDid you mean this?\n\tvalidate\n\n"}},
		{"an unknown flag", []string{"validate", "--onlin", "acme.yaml"},
			result{2, "", "coupastream: unknown flag: --onlin; see coupastream validate --help\n"}},
		{"an unknown log level", []string{"version", "--log-level", "loud"},
			result{2, "", "coupastream: --log-level \"loud\" is not a level; give debug, info, warn or error\n"}},
		{"an unknown log format", []string{"version", "--log-format", "xml"},
			result{2, "", "coupastream: --log-format \"xml\" is not a format; give text or json\n"}},
		{"an object that the connector does not stream", []string{"schema", "users", "--connector", "acme.yaml"},
			result{2, "", "coupastream: acme.yaml: users is not in coupa.objects; it streams invoices, suppliers\n"}},
		{"a schema for a bad connector", []string{"schema", "users", "--connector", "bad-connector.json"},
			result{2, "", badConnector}},
		{"a simulated object that there is not", []string{"simulate", "--objects", "invoice"},
			result{2, "", "coupastream: --objects: unknown object \"invoice\"; there are " + strings.Join(coupatest.Resources(), ", ") + "\n"}},
		{"a comparison without brokers", []string{"verify", "acme.yaml"},
			result{2, "", "coupastream: --worker is missing; give the worker file that names the brokers\n"}},
		{"a comparison in an unknown form", []string{"verify", "acme.yaml", "--worker", "worker.yaml", "-o", "xml"},
			result{2, "", "coupastream: --output \"xml\" is not a form; give text or json\n"}},
		{"a comparison of an object that is not streamed", []string{"verify", "acme.yaml", "--worker", "worker.yaml", "--objects", "users"},
			result{2, "", "coupastream: --objects: users is not in coupa.objects; acme.yaml streams invoices, suppliers\n"}},
		{"a key, explained", []string{"config", "object.invoices.overlap.ms"}, result{0, `object.invoices.overlap.ms

How far each poll looks back behind its mark.

in       a connector's file, or POST /connectors
type     long
default  60000
`, ""}},
		{"a key of Debezium's", []string{"config", "snapshot.mode"},
			result{2, "", "coupastream: snapshot.mode: a key of other connectors; initial.from says where a stream begins\n"}},
		{"a key that is none", []string{"config", "poll.intervall"},
			result{2, "", "coupastream: poll.intervall: unknown key; the nearest one is poll.interval.ms\n"}},
		{"a schema of files that are none", []string{"config", "--schema", "job"},
			result{2, "", "coupastream: --schema \"job\" is no kind of file; give worker or connector\n"}},
		{"a negative flag", []string{"simulate", "--rows", "-1"},
			result{2, "", "coupastream: a flag has a negative value; give 0 for none, or for no limit\n"}},
		{"an address that can't be listened on", []string{"simulate", "--listen", "127.0.0.1:none", "--rows", "1"},
			result{1, "", "coupastream: --listen: listen tcp: lookup tcp/none: unknown port; give a free host:port, or port 0\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := program(t, test.args...); got != test.want {
				t.Errorf("got  %#v\nwant %#v", got, test.want)
			}
		})
	}
}

func TestNoCommandPrintsTheUsage(t *testing.T) {
	got := program(t)
	if got.status != 2 || got.stdout != "" || !strings.Contains(got.stderr, "Available Commands:") {
		t.Errorf("got %+v", got)
	}
}

func TestHelpIsAResult(t *testing.T) {
	got := program(t, "--help")
	if got.status != 0 || got.stderr != "" || !strings.Contains(got.stdout, "validate") {
		t.Errorf("got %+v", got)
	}
}

func TestVersionNamesVersionCommitAndGo(t *testing.T) {
	got := program(t, "version")
	t.Chdir("..")
	if flag := program(t, "--version"); flag != got {
		t.Errorf("--version says %+v", flag)
	}
	words := strings.Fields(got.stdout)
	if got.status != 0 || len(words) < 5 || words[0] != "coupastream" || words[2] != "commit" || !strings.HasPrefix(words[len(words)-1], "go1.") {
		t.Errorf("got %+v", got)
	}
}

func TestSchemaIsPrintedAsTheConnectorRegistersIt(t *testing.T) {
	plain := program(t, "schema", "invoices")
	if plain.status != 0 || !strings.Contains(plain.stdout, `"InvoiceHeader"`) || !strings.Contains(plain.stdout, `"decimal"`) {
		t.Errorf("status %d, stderr %s, %d bytes", plain.status, plain.stderr, len(plain.stdout))
	}
	t.Chdir("..")
	asStrings := program(t, "schema", "invoices", "--connector", "acme.yaml")
	if asStrings.status != 0 || strings.Contains(asStrings.stdout, `"logicalType": "decimal"`) || asStrings.stdout == plain.stdout {
		t.Errorf("status %d, stderr %s: decimals as strings make no difference", asStrings.status, asStrings.stderr)
	}
	t.Chdir("..")
	if got := program(t, "schema", "invoice"); got.status != 2 || !strings.Contains(got.stderr, "invoices") {
		t.Errorf("an unknown object does not name the nearest: %+v", got)
	}
}

func TestSecondSignalEndsTheProcess(t *testing.T) {
	signals := make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	exited := make(chan int, 1)
	go interrupt(signals, cancel, func(status int) { exited <- status })
	signals <- os.Interrupt
	<-ctx.Done()
	if len(exited) != 0 {
		t.Error("the first signal ended the process")
	}
	signals <- os.Interrupt
	if status := <-exited; status != 1 {
		t.Errorf("exit status %d", status)
	}
}

// A duration has its unit in either form of the log.
func TestDurationsInTheLogHaveTheirUnit(t *testing.T) {
	for form, want := range map[string]string{"text": " took=1.5s", "json": `"took":"1.5s"`} {
		var log bytes.Buffer
		levels, err := newLevels(&log, form, "info")
		if err != nil {
			t.Fatal(err)
		}
		levels.Logger("connector").Info("done", "took", 1500*time.Millisecond)
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s: %s", form, log.String())
		}
	}
}
