package deploy

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/config"
)

// sets are the files of this folder that are run together, a worker's first.
func sets() [][]string {
	return [][]string{
		{"samples/worker.yaml", "samples/acme.yaml"},
		{"samples/worker-group.yaml", "samples/acme-overrides.yaml"},
		{"samples/worker-sasl-ssl.yaml", "samples/acme-dead-letters.yaml"},
		{"samples/worker-mtls.yaml", "samples/acme-debezium.yaml"},
		{"samples/worker-oauthbearer.yaml", "samples/acme.json"},
		{"samples/worker-json.yaml", "samples/acme-json.yaml"},
		{"samples/worker-mapping.yaml", "samples/acme-mapping.yaml"},
		{"samples/tenants/worker.yaml", "generated/acme.yaml", "generated/globex.yaml", "generated/initech.yaml"},
		{"compose/worker.yaml", "compose/simulated.yaml"},
		{"compose/worker.yaml", "compose/coupa.yaml"},
		{"systemd/worker.yaml", "systemd/acme.yaml"},
	}
}

// elsewhere are samples that are no configuration files themselves.
func elsewhere() []string {
	return []string{"samples/mapping.yaml", "samples/tenants/tenant.yaml.in", "samples/tenants/tenants.csv", "samples/tenants/generate.sh"}
}

func TestSamplesAreValid(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "sh", "samples/tenants/generate.sh", "samples/tenants/tenants.csv", dir+"/generated").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"WORKER_NAME": "worker-1", "COUPA_URL": "https://acme.coupahost.com"}[name]
		return value, ok
	}
	for _, files := range sets() {
		t.Run(strings.Join(files, "+"), func(t *testing.T) {
			worker, err := config.LoadWorker(place(t, dir, files[0]), env)
			if err != nil {
				t.Fatal(err)
			}
			var connectors []*config.Connector
			for _, file := range files[1:] {
				c, err := config.LoadConnector(place(t, dir, file), env)
				if err != nil {
					t.Fatal(err)
				}
				connectors = append(connectors, c)
			}
			if err := config.CheckTogether(worker, connectors); err != nil {
				t.Error(err)
			}
		})
	}
}

// The sample that is to be POSTed names secrets that a worker lets connectors over REST have.
func TestASampleMayBePosted(t *testing.T) {
	worker, err := config.ParseWorker(map[string]string{"bootstrap.servers": "localhost:9092", "schema.registry.url": "http://localhost:8081"}, os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := config.ReadConnector("samples/acme.json")
	if err != nil {
		t.Fatal(err)
	}
	var problems config.Problems
	if _, err := worker.ParseSubmitted(raw, os.LookupEnv); err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "there is no such file") {
			t.Error(p)
		}
	}
}

func TestEverySampleIsInASet(t *testing.T) {
	used := slices.Concat(append(sets(), elsewhere())...)
	for _, file := range slices.Concat(glob(t, "samples/*"), glob(t, "samples/tenants/*")) {
		if info, err := os.Stat(file); err == nil && !info.IsDir() && !slices.Contains(used, file) {
			t.Errorf("%s is not tried", file)
		}
	}
}

// place copies a file of this folder, or one that was generated, to a
// folder where what it refers to lies, with secrets that are made up.
func place(t *testing.T, dir, file string) string {
	t.Helper()
	from := file
	if strings.HasPrefix(file, "generated/") {
		from = filepath.Join(dir, file)
	}
	return placed(t, dir, strings.ReplaceAll(file, "/", "-"), read(t, from))
}

// placed writes content to a file of the name, likewise.
func placed(t *testing.T, dir, name, content string) string {
	t.Helper()
	secrets, settings := filepath.Join(dir, "secrets"), filepath.Join(dir, "etc")
	for _, ref := range regexp.MustCompile(`\$\{(file|dir):/run/(?:secrets|credentials/coupastream.service)/?([^:}]*):([a-z.]+)\}`).FindAllStringSubmatch(content, -1) {
		name, text := ref[2], ref[3]+"=planted:secret-of-a-test\n"
		if ref[1] == "dir" {
			name, text = filepath.Join(name, ref[3]), "planted:secret-of-a-test\n"
		}
		add(t, filepath.Join(secrets, name), text)
	}
	if strings.Contains(content, "/etc/coupastream/mapping.yaml") {
		add(t, filepath.Join(settings, "mapping.yaml"), read(t, "samples/mapping.yaml"))
	}
	content = strings.NewReplacer("/run/secrets", secrets, "/run/credentials/coupastream.service", secrets, "/etc/coupastream", settings).Replace(content)
	to := filepath.Join(dir, "placed", name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// add puts text at the end of a file.
func add(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
