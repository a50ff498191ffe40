package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/connector/rest"
)

// site is a running worker with all that it talks to, and the addresses that it has printed.
type site struct {
	t           *testing.T
	rest, coupa string
}

// newSite runs `dev`, as anybody may, until the test ends.
func newSite(t *testing.T) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int, 1)
	go func() {
		env := func(name string) (string, bool) { return "dev", name == "COUPA_CLIENT_SECRET" }
		done <- run(ctx, []string{"dev", "--quiet", "--rows", "20", "--kafka-port", "0", "--registry-port", "0", "--rest-port", "0", "--coupa-port", "0", "--log-level", "error"}, env, in, os.Stderr)
		_ = in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if status := <-done; status != 0 {
			t.Errorf("dev ended with status %d", status)
		}
	})
	s := &site{t: t}
	lines := bufio.NewScanner(out)
	for s.rest == "" || s.coupa == "" {
		if !lines.Scan() {
			t.Fatalf("dev has ended without its addresses: %v", lines.Err())
		}
		switch words := strings.Fields(lines.Text()); {
		case len(words) < 2:
		case words[0] == "REST":
			s.rest = strings.TrimSuffix(words[1], "/connectors/dev/status")
		case words[0] == "Coupa":
			s.coupa = words[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return s
}

// does runs a command against the worker and checks what it prints.
func (s *site) does(command, want string) {
	s.t.Helper()
	if got := ask(s.t, s.rest, strings.Fields(command)...); got.status != 0 || want != "" && got.stdout != want {
		s.t.Errorf("coupastream %s: status %d\n%s%s", command, got.status, got.stdout, got.stderr)
	}
}

// refuses runs a command that fails, and gives what it says.
func (s *site) refuses(command string, status int, want string) {
	s.t.Helper()
	if got := ask(s.t, s.rest, strings.Fields(command)...); got.status != status || !strings.Contains(got.stderr, want) {
		s.t.Errorf("coupastream %s: status %d\n%s%s", command, got.status, got.stdout, got.stderr)
	}
}

// until watches a connector's status until it is as wanted.
func (s *site) until(name string, wanted func(rest.Health) bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		env := func(variable string) (string, bool) { return s.rest, variable == urlVariable }
		_ = in.CloseWithError(fmt.Errorf("status ended with %d", run(ctx, []string{"status", name, "--watch", "-o", "json", "--interval", "50ms"}, env, in, os.Stderr)))
	}()
	defer func() {
		cancel()
		_ = out.Close()
		<-done
	}()
	for lines := json.NewDecoder(out); ; {
		var h rest.Health
		if err := lines.Decode(&h); err != nil {
			s.t.Fatal(err)
		}
		if wanted(h) {
			return
		}
	}
}

// in tells whether a connector and its tasks are in a state.
func in(state string) func(rest.Health) bool {
	return func(h rest.Health) bool {
		return h.State == state && len(h.Tasks) > 0 && !slices.ContainsFunc(h.Tasks, func(t rest.TaskHealth) bool { return t.State != state })
	}
}

func TestAWorkerIsOperatedFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	folder := t.TempDir()
	file := func(name, more string) {
		text := "name: second\ntenant: second\ncoupa.url: " + s.coupa + "\ncoupa.client.id: dev\ncoupa.objects: suppliers, users\npoll.interval.ms: 500\nsettle.ms: 1000\n" + more
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("second.yaml", "coupa.client.secret: ${env:COUPA_CLIENT_SECRET}\n")
	file("slower.yaml", "coupa.client.secret: ${env:COUPA_CLIENT_SECRET}\noverlap.ms: 30000\n")
	file("plain.yaml", "coupa.client.secret: s3cret\n")
	file("foreign.yaml", "coupa.client.secret: ${env:HOME}\n")
	s.until("dev", in("RUNNING"))

	s.does("connectors create -f "+folder+"/second.yaml", "second: created\n")
	s.refuses("connectors create -f "+folder+"/second.yaml", 1, "already exists")
	s.does("connectors apply -f "+folder+"/second.yaml", "second: unchanged\n")
	s.does("connectors list", "dev\nsecond\n")
	marked := func(h rest.Health) bool {
		return in("RUNNING")(h) && !slices.ContainsFunc(h.Tasks, func(t rest.TaskHealth) bool { return t.Mark == nil || t.Backfilling })
	}
	s.until("second", marked)

	if got := ask(t, s.rest, "snapshot", "start", "second", "--object", "suppliers", "--ids", "1,2,3", "--wait"); got.status != 0 || !strings.Contains(got.stdout, "DONE") || !strings.Contains(got.stdout, "3 rows") {
		t.Errorf("%+v", got)
	}
	if got := ask(t, s.rest, "snapshot", "list", "second"); got.status != 0 || !strings.Contains(got.stdout, "suppliers  DONE") {
		t.Errorf("%+v", got)
	}
	if got := ask(t, s.rest, "explain", "second", "suppliers", "2"); got.status != 0 || !strings.Contains(got.stdout, "suppliers 2 of second: ") || strings.Contains(got.stdout, "no record found") {
		t.Errorf("%+v", got)
	}
	s.refuses("snapshot start second --object invoices", 1, "no object of connector second")
	s.refuses("snapshot cancel second none", 1, "has no snapshot none")

	s.does("pause second", "second: paused\n")
	s.until("second", in("PAUSED"))
	if got := ask(t, s.rest, "offsets", "get", "second"); got.status != 0 || strings.Count(got.stdout, "\n") != 3 || strings.Contains(got.stdout, "-  ") {
		t.Errorf("%+v", got)
	}
	s.refuses("offsets reset second", 1, "STOPPED")
	s.does("resume second", "second: resumed\n")
	s.until("second", marked)
	s.does("restart second --include-tasks --only-failed", "second: restarted\n")
	s.does("restart second --task users", "second: task 1 restarted\n")
	s.until("second", marked)

	s.does("stop second", "second: stopped\n")
	s.until("second", func(h rest.Health) bool { return h.State == "STOPPED" })
	s.refuses("restart second --task 0", 1, "Unknown task: second-0")
	s.does("offsets set second users --updated-at 2026-01-01", "second: users goes on from 2026-01-01T00:00:00Z\n")
	s.does("offsets reset second", "second: all objects begin anew\n")
	s.does("resume second", "second: resumed\n")
	s.until("second", marked)

	s.does("connectors update -f "+folder+"/slower.yaml", "second: updated\n")
	s.until("second", marked)
	s.refuses("connectors update -f "+folder+"/plain.yaml", 1, "is written out, and would be kept in the config topic; write a reference")
	s.refuses("connectors update -f "+folder+"/foreign.yaml", 1, "config.providers.env.param.allowlist.pattern")
	s.refuses("connectors delete dev", 1, "file")
	s.refuses("status third", 1, "third")
	s.does("connectors delete second", "second: deleted\n")
	s.does("connectors list", "dev\n")
	if got := ask(t, s.rest, "__complete", "offsets", "set", "dev", ""); !strings.HasPrefix(got.stdout, "invoices\npurchase_orders\n") {
		t.Errorf("%+v", got)
	}
}
