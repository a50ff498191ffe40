package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// changing answers from one set after the other.
func changing(t *testing.T, sets ...map[string]any) (address string, next func()) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(&answers{given: sets[min(int(n.Load()), len(sets)-1)]}).ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() { n.Add(1) }
}

// lines is a Writer that hands on what is written, one Write at a time.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(bytes.Clone(p))
	return len(p), nil
}

func TestWatchShowsWhatHasChanged(t *testing.T) {
	later := healthy()
	later["GET /connectors?expand=health"] = map[string]any{}
	address, next := changing(t, healthy(), later)
	ctx, cancel := context.WithCancel(t.Context())
	out := make(lines)
	done := make(chan int)
	go func() {
		env := func(name string) (string, bool) { return address, name == urlVariable }
		done <- run(ctx, []string{"status", "--watch", "--interval", "1ms"}, env, out, &bytes.Buffer{})
	}()
	if first := <-out; first != statusOfAll {
		t.Errorf("first %s", first)
	}
	next()
	if second := <-out; second != "\nno connector; make one with coupastream connectors apply -f FILE\n" {
		t.Errorf("second %s", second)
	}
	cancel()
	if status := <-done; status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestASnapshotIsWaitedFor(t *testing.T) {
	t.Parallel()
	started := map[string]any{"id": "s1", "object": "invoices", "state": "RUNNING", "rows": 10, "total": 40}
	set := func(state string, rows int) map[string]any {
		return map[string]any{
			"POST /connectors/acme/snapshots": started,
			"GET /connectors/acme/snapshots":  []any{map[string]any{"id": "s0", "state": "RUNNING"}, map[string]any{"id": "s1", "object": "invoices", "state": state, "rows": rows, "total": 40, "trace": "why"}},
		}
	}
	args := []string{"snapshot", "start", "acme", "--object", "invoices", "--wait"}
	if got := ask(t, worker(t, &answers{given: set("FAILED", 20)}), args...); got.status != 1 || got.stderr != "coupastream: snapshot s1 of invoices has failed: why\n" {
		t.Errorf("%+v", got)
	}
	address, next := changing(t, set("RUNNING", 10), set("DONE", 40))
	stderr, stdout := make(lines, 10), &bytes.Buffer{}
	done := make(chan int)
	go func() {
		env := func(name string) (string, bool) { return address, name == urlVariable }
		done <- run(t.Context(), args, env, stdout, stderr)
	}()
	if got := <-stderr; got != "acme invoices: 10 of 40 rows, 25%\n" {
		t.Errorf("%s", got)
	}
	next()
	if status := <-done; status != 0 || !strings.Contains(stdout.String(), "DONE") {
		t.Errorf("%d %s", status, stdout)
	}
}

func TestDurationsAreShownInTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 250 * time.Millisecond: "250ms", 59 * time.Second: "59s", time.Minute: "1m", 90 * time.Second: "1m30s", 10*time.Minute + 10*time.Second: "10m10s", 26 * time.Hour: "26h",
		90 * time.Minute: "1h30m", 10*time.Hour + 10*time.Minute: "10h10m", 73 * time.Hour: "3d1h",
	} {
		if got := short(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
