package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/cmd/coupastream/internal/embedded"
	"github.com/coupastream/coupastream/connector/preflight"
	"github.com/coupastream/coupastream/coupa/coupatest"
)

// A worker and a connector are tried on the parts of dev, whose Kafka and registry hold nothing yet.
func TestOnlineValidationTriesAllParts(t *testing.T) {
	t.Parallel()
	kafka, stop, err := embedded.Kafka(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	registry, stop, err := embedded.Registry(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	folder := t.TempDir()
	worker, connector := filepath.Join(folder, "worker.yaml"), filepath.Join(folder, "acme.yaml")
	text := fmt.Sprintf("bootstrap.servers: %s\nschema.registry.url: %s\nlisteners: http://127.0.0.1:0\nstate.dir: %s\n", kafka, registry, filepath.Join(folder, "state"))
	acme, err := os.ReadFile("testdata/acme.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{worker: text, connector: string(acme)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 5, Objects: []string{"invoices", "suppliers"}, TokenHold: -1})
	try := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		a := &app{env: environment, stdout: &stdout, stderr: &stderr, transport: tenant.Transport(), tokenHold: -1}
		status := a.execute(t.Context(), append([]string{"validate", "--online", worker, connector}, args...))
		return status, stdout.String(), stderr.String()
	}
	status, stdout, stderr := try()
	if status != 0 || stderr != "" || !strings.HasSuffix(stdout, worker+": ok\n"+connector+": ok\n") {
		t.Errorf("status %d, %s%s", status, stdout, stderr)
	}
	for _, line := range []string{"ok         listener ", "ok         state.dir", "ok         brokers: cluster coupastream-dev", "ok         group coupastream: ", "not tried  transactional ids coupastream-*: ",
		"ok         topic coupa.suppliers: ", "ok         registry: ", "ok         subject coupa.invoices-value: new", "ok         Coupa acme: token: ", "ok         Coupa acme: suppliers: "} {
		if !strings.Contains(stdout, line) {
			t.Errorf("no %q in %s", line, stdout)
		}
	}
	status, stdout, _ = try("-o", "json")
	files := 0
	for line := range strings.Lines(stdout) {
		var f preflight.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Check == "" || f.Verdict == "" {
			t.Errorf("%s: %v", line, err)
		}
		if f.Check == "file" && f.Verdict == preflight.OK {
			files++
		}
	}
	if status != 0 || files != 2 {
		t.Errorf("status %d, %d files are ok", status, files)
	}
}

// signals is a Writer that tells when a text has been written.
type signals struct {
	text    string
	written chan struct{}
	bytes.Buffer
}

func (s *signals) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if s.written != nil && strings.Contains(s.String(), s.text) {
		close(s.written)
		s.written = nil
	}
	return n, err
}

// gated holds what is no request for a token up.
type gated struct {
	way  http.RoundTripper
	open <-chan struct{}
}

func (g gated) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != "/oauth2/token" {
		select {
		case <-g.open:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return g.way.RoundTrip(r)
}

// A fresh token rests for seconds before rows can be asked for. Somebody sits there.
func TestOnlineValidationTellsOfTheTokenBeforeItRests(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	out := &signals{text: "Coupa acme: token: granted", written: open}
	tenant := coupatest.New(coupatest.Config{Seed: 7, Rows: 5, Objects: []string{"invoices", "suppliers"}, TokenHold: -1})
	a := &app{env: environment, stdout: out, stderr: io.Discard, transport: gated{tenant.Transport(), open}, tokenHold: -1}
	if status := a.execute(t.Context(), []string{"validate", "--online", "testdata/acme.yaml"}); status != 0 || !strings.HasPrefix(out.String(), "not tried  brokers") {
		t.Errorf("status %d, %s", status, out)
	}
}

func TestAChecklistHasMarksAtATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &checklist{w: &out, marks: true}
	l.tell(preflight.Finding{Check: "brokers", Verdict: preflight.NotOK, Detail: "no answer in time", Remedy: "check the network", Passes: true})
	if got := out.String(); got != "\x1b[31m✗\x1b[0m brokers: no answer in time; check the network\n" {
		t.Errorf("got %q", got)
	}
	if err := l.outcome(nil); (&app{started: true}).status(err) != exitFailed {
		t.Errorf("what may pass by itself is no matter of configuration: %v", err)
	}
}
