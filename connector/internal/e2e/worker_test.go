//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

// worker is `coupastream run` for one tenant: two files, and the process while it runs.
type worker struct {
	*process
	owner     testing.TB // the process ends with it, whichever subtest started it
	parts     *parts
	tenant    *tenant
	objects   []string
	state     string // state.dir
	worker    string // paths of the two files
	connector string // "": it has none but those over REST
	poll      time.Duration
	listener  string // its REST API's address
	logs      string
	beside    []*worker // whose connectors run in the same process
	env       []string  // additions to its environment
	globals   []string  // names of custom fields that rows have beyond those of every simulated instance
}

// worker writes the files of a worker for all objects, with the given settings over the defaults of these
// tests: settings that the connector knows go to its file, those starting with "worker:" to the worker's.
func (p *parts) worker(tb testing.TB, t *tenant, settings map[string]string) *worker {
	tb.Helper()
	base := filepath.Join(p.dir, t.name)
	w := &worker{
		owner: tb, parts: p, tenant: t, objects: objects(), poll: time.Second, logs: base + "-run",
		state: base + "-state", worker: base + "-worker.json", connector: base + "-connector.json",
	}
	w.listener = fmt.Sprintf("http://127.0.0.1:%d", freePort(tb))
	run := map[string]string{
		"bootstrap.servers":   p.bootstrap,
		"schema.registry.url": p.registry,
		"group.id":            t.name,
		"state.dir":           w.state,
		"listeners":           w.listener,
		"topic.creation.default.replication.factor": "1",
	}
	config := map[string]string{
		"connector.class":     "CoupaSource",
		"tenant":              t.name,
		"coupa.url":           t.url,
		"coupa.client.id":     t.clientID,
		"coupa.client.secret": t.secret,
		"coupa.rate.limit":    "0",
		"topic.template":      "${tenant}.${object}",
		"poll.interval.ms":    "1000",
	}
	for key, value := range settings {
		if key, ok := strings.CutPrefix(key, "worker:"); ok {
			run[key] = value
		} else {
			config[key] = value
		}
	}
	if only, ok := settings["coupa.objects"]; ok {
		w.objects = strings.Split(only, ",")
	}
	write(tb, w.worker, run)
	write(tb, w.connector, map[string]any{"name": t.name, "config": config})
	return w
}

// set gives a key of the worker's file another value, from the next start on.
func (w *worker) set(tb testing.TB, key, value string) {
	tb.Helper()
	run := map[string]string{}
	text, err := os.ReadFile(w.worker)
	if err == nil {
		err = json.Unmarshal(text, &run)
	}
	if err != nil {
		tb.Fatal(err)
	}
	run[key] = value
	write(tb, w.worker, run)
}

func write(tb testing.TB, path string, v any) {
	tb.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// topics gives each object's topic.
func (w *worker) topics() map[string]string {
	out := map[string]string{}
	for _, o := range w.objects {
		out[o] = w.tenant.name + "." + strings.ReplaceAll(o, "/", "_")
	}
	return out
}

// fields gives each object's selection.
func (w *worker) fields(tb testing.TB) map[string]string {
	tb.Helper()
	out := map[string]string{}
	for _, o := range w.objects {
		out[o] = selection(tb, o, w.globals...)
	}
	return out
}

// selection is the value of Coupa's parameter `fields` with which the connector
// asks for an object whose rows have more custom fields of the global namespace.
func selection(tb testing.TB, object string, globals ...string) string {
	tb.Helper()
	schema, err := schemas.For(object, schemas.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := schemas.NewDiscovery(object)
	if err != nil {
		tb.Fatal(err)
	}
	rows := coupatest.New(coupatest.Config{Objects: []string{object}, Rows: 50, ClientID: "id", ClientSecret: "secret"}).Rows(object)
	for _, row := range rows { // every row in full has the names of the global namespace
		if err := d.Observe(row.JSON); err != nil {
			tb.Fatal(err)
		}
	}
	more := map[string]any{"id": 1}
	for _, name := range globals {
		more[name] = "a text"
	}
	row, err := json.Marshal(more)
	if err == nil {
		err = d.Observe(row)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return schema.FieldsWith(d.Globals())
}

// latest is the text of a subject's last version.
func (p *parts) latest(tb testing.TB, subject string) string {
	tb.Helper()
	r, err := registry.New(registry.Config{URLs: []string{p.registry}})
	if err != nil {
		tb.Fatal(err)
	}
	text, err := r.Latest(tb.Context(), subject)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// topicNames are the topics alone.
func (w *worker) topicNames() []string {
	var names []string
	for name := range maps.Values(w.topics()) {
		names = append(names, name)
	}
	return names
}

// start runs the worker; it is not waited for.
func (w *worker) start() {
	w.owner.Helper()
	args := []string{"run", w.worker}
	if w.connector != "" {
		args = append(args, w.connector)
	}
	for _, other := range w.beside {
		args = append(args, other.connector)
	}
	w.process = launchWith(w.owner, w.env, w.logs, w.parts.binary, args...)
	for _, other := range w.beside {
		other.process = w.process
	}
}

// stop is SIGTERM. The process must end by itself, with status 0, within the five seconds that are promised.
func (w *worker) stop(tb testing.TB) {
	tb.Helper()
	begun := time.Now()
	w.signal(syscall.SIGTERM)
	status, err := w.wait(30 * time.Second)
	took := time.Since(begun).Round(time.Millisecond)
	switch {
	case err != nil:
		tb.Errorf("SIGTERM: %v", err)
		w.kill()
	case status != 0:
		tb.Errorf("SIGTERM: exit status %d, want 0", status)
	case took > 5*time.Second:
		tb.Errorf("SIGTERM: ended after %v, want less than 5s", took)
	default:
		tb.Logf("SIGTERM: ended after %v", took)
	}
}

// says waits until the worker's log has these words.
func (w *worker) says(t *testing.T, words string) {
	t.Helper()
	if err := await(t.Context(), "the worker to say "+words, time.Minute, func() error {
		w.alive(t)
		log, err := os.ReadFile(w.stderr)
		if err == nil && !strings.Contains(string(log), words) {
			err = errors.New("nothing of it in its log")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// alive fails the test when the worker has ended although nobody asked it to.
func (w *worker) alive(tb testing.TB) {
	tb.Helper()
	if !w.running() {
		tb.Fatalf("the worker ended by itself with status %d", w.cmd.ProcessState.ExitCode())
	}
}
