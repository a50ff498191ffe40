package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
)

// initIn runs init with answers on stdin.
func initIn(t *testing.T, answers string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(answers), stdout: &stdout, stderr: &stderr, env: func(name string) (string, bool) {
		value, found := env[name]
		return value, found
	}}
	status := a.execute(t.Context(), append([]string{"init"}, args...))
	return result{status, stdout.String(), stderr.String()}
}

// filesIn are the files of a folder.
func filesIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func TestInitAsksFiveThingsAndWritesFilesThatAreTaken(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "conf")
	got := initIn(t, "acme.coupahost.com\nhttps://acme.coupahost.com\n\ninvoices, suppliers\nbroker-1:9092, broker-2:9092\nhttps://registry:8081\n", nil, folder)
	worker, acme := filepath.Join(folder, "worker.yaml"), filepath.Join(folder, "acme.yaml")
	want := worker + " and " + acme + " are new.\nSet COUPA_CLIENT_ID and COUPA_CLIENT_SECRET, and try all that a run needs:\n\n  coupastream validate --online " + worker + " " + acme + "\n"
	if got.status != 0 || got.stdout != want {
		t.Errorf("status %d, stdout %s, want %s; %s", got.status, got.stdout, want, got.stderr)
	}
	// the first answer is none, and is asked for again
	if strings.Count(got.stderr, "coupa.url: address") != 2 || !strings.Contains(got.stderr, "coupa.url = \"acme.coupahost.com\": ") || strings.Count(got.stderr, "]: ") != 4 {
		t.Errorf("asked %s", got.stderr)
	}
	written := filesIn(t, folder)
	if names := slices.Sorted(maps.Keys(written)); !slices.Equal(names, []string{"acme.yaml", "connector.schema.json", "worker.schema.json", "worker.yaml"}) {
		t.Errorf("there are %v", names)
	}
	for file, schema := range map[string]string{"worker.yaml": "worker.schema.json", "acme.yaml": "connector.schema.json"} {
		if !strings.HasPrefix(written[file], "# yaml-language-server: $schema="+schema+"\n") {
			t.Errorf("%s begins otherwise: %s", file, written[file])
		}
	}
	w, err := config.LoadWorker(worker, environment)
	if err != nil || !slices.Equal(w.BootstrapServers, []string{"broker-1:9092", "broker-2:9092"}) || !slices.Equal(w.Registry.URLs, []string{"https://registry:8081"}) {
		t.Errorf("worker %+v, %v", w, err)
	}
	c, err := config.LoadConnector(acme, environment)
	if err != nil || c.Name != "acme" || pathsOf(c) != "invoices, suppliers" || c.Coupa().ClientID != "client" || c.Coupa().ClientSecret != "s3cret" {
		t.Errorf("connector %+v, %v", c, err)
	}
	if !strings.Contains(written["acme.yaml"], "coupa.client.secret: ${env:COUPA_CLIENT_SECRET}\n") {
		t.Errorf("acme.yaml: %s", written["acme.yaml"])
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if got := initIn(t, "", nil, folder, "--url", "https://acme.coupahost.com"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if err := os.WriteFile(filepath.Join(folder, "worker.yaml"), []byte("bootstrap.servers: mine:9092\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, folder)
	got := initIn(t, "", nil, folder, "--url", "https://acme.coupahost.com")
	if got.status != 2 || !strings.Contains(got.stderr, "acme.yaml is there already") || !maps.Equal(before, filesIn(t, folder)) {
		t.Errorf("%+v, files %v", got, filesIn(t, folder))
	}
	got = initIn(t, "", nil, folder, "--url", "https://other.coupahost.com", "--registry", "http://localhost:8081")
	if got.status != 2 || !strings.Contains(got.stderr, "leave --registry out") || !maps.Equal(before, filesIn(t, folder)) {
		t.Errorf("%+v", got)
	}
	// another instance beside the same worker: of it alone is anything asked
	got = initIn(t, "https://other.coupahost.com\n", nil, folder, "--client-id", "42")
	if got.status != 0 || !strings.Contains(got.stdout, "worker.yaml is kept") || strings.Contains(got.stderr, "bootstrap.servers") || !strings.Contains(got.stdout, "Set COUPA_CLIENT_SECRET,") {
		t.Errorf("%+v", got)
	}
	after := filesIn(t, folder)
	if after["other.yaml"] == "" {
		t.Errorf("there are %v", after)
	}
	delete(after, "other.yaml")
	if !maps.Equal(before, after) {
		t.Error("another file has changed")
	}
}

func TestInitTellsWhatIsWrongBeforeItWrites(t *testing.T) {
	t.Parallel()
	url := []string{"--url", "https://acme.coupahost.com"}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no address", nil, "coupastream: --url is missing"},
		{"an unknown object", append(url, "--objects", "invoice"), "coupa.objects"},
		{"an address in clear", []string{"--url", "http://acme.coupahost.com"}, "coupa.url"},
		{"credentials of the registry", append(url, "--registry", "https://user:s3cret@registry"), "schema.registry.basic.auth.user.info"},
		{"no registry's address", append(url, "--registry", "registry"), "schema.registry.url"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			got := initIn(t, "", nil, append([]string{folder}, test.args...)...)
			if got.status != 2 || !strings.Contains(got.stderr, test.want) || strings.Contains(got.stdout+got.stderr, "s3cret") || len(filesIn(t, folder)) > 0 {
				t.Errorf("%+v, files %v", got, filesIn(t, folder))
			}
		})
	}
}

// With the secret in the environment, what a run needs is tried at once.
func TestInitTriesWhatItWrote(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	got := initIn(t, "", map[string]string{"COUPA_CLIENT_SECRET": "s3cret"}, folder, "--url", "http://127.0.0.1:1", "--client-id", "42", "--bootstrap-servers", "127.0.0.1:1", "--registry", "http://127.0.0.1:1")
	if got.status == 0 || !strings.Contains(got.stdout, "not ok     brokers: ") || !strings.Contains(got.stdout, "not ok     registry: ") || strings.Contains(got.stdout+got.stderr, "s3cret") {
		t.Errorf("%+v", got)
	}
}
