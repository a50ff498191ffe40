package connector

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa/coupatest"
	"github.com/coupastream/coupastream/schemas/registry"
)

// mortalRegistry is a registry behind its API, in memory, that can be away and lose what it has.
type mortalRegistry struct {
	mu   sync.Mutex
	fake *srfake.Registry
	away func() (*http.Response, error) // in place of an answer; nil: it answers
}

func (m *mortalRegistry) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		return m.away()
	}
	w := httptest.NewRecorder()
	m.fake.Handler().ServeHTTP(w, r)
	return w.Result(), nil
}

// lose makes it begin anew, with others' schemas by its first ids.
func (m *mortalRegistry) lose() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fake = srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatBackward))
	for id := 1; id <= 9; id++ {
		m.fake.SeedSchema("other", id, id, sr.Schema{Schema: `{"type":"fixed","name":"F` + string(rune('0'+id)) + `","size":1}`})
	}
}

func (m *mortalRegistry) answers(away func() (*http.Response, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// has tells whether a schema of the subject has the id.
func (m *mortalRegistry) has(subject string, id int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for version := 1; ; version++ {
		s, ok := m.fake.GetSchema(subject, version)
		if !ok || s.ID == id {
			return ok
		}
	}
}

// onMortal lets workers use a registry that can lose what it has, each by a client of its own.
func (h *harness) onMortal() *mortalRegistry {
	m := &mortalRegistry{fake: srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatBackward))}
	h.registryOf = func() record.Registry {
		r, err := registry.New(registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: m}, CacheFile: filepath.Join(h.state, "schema-ids.json"), Log: slog.New(slog.NewTextHandler(h.log, nil))})
		if err != nil {
			h.t.Fatal(err)
		}
		return r
	}
	return m
}

// unreadable counts the records of a topic since a time whose key or value the registry can't name.
func (h *harness) unreadable(m *mortalRegistry, topic string, since time.Time) (bad, all int) {
	h.t.Helper()
	h.each(topic, func(r *kgo.Record) {
		if r.Timestamp.Before(since) {
			return
		}
		all++
		if !m.has(topic+"-key", int(binary.BigEndian.Uint32(r.Key[1:]))) || r.Value != nil && !m.has(topic+"-value", int(binary.BigEndian.Uint32(r.Value[1:]))) {
			bad++
		}
	})
	return bad, all
}

// readableFrom lets a row change for a minute, and fails unless the registry can name what goes out.
func (h *harness) readableFrom(m *mortalRegistry, now time.Time, object string, topics ...string) {
	h.t.Helper()
	h.changeFor(object, time.Minute)
	for _, topic := range topics {
		if bad, all := h.unreadable(m, topic, now); bad > 0 || all == 0 {
			h.t.Errorf("%s: %d of %d records can't be read", topic, bad, all)
		}
	}
}

// changeFor lets a row change every five seconds, longer than it takes to settle.
func (h *harness) changeFor(object string, d time.Duration) {
	id := h.tenant.Rows(object)[0].ID
	for end := time.Now().Add(d); time.Now().Before(end); h.pass(5 * time.Second) {
		h.tenant.Update(object, id)
	}
}

func taskOf(r *running) status.TaskStatus { return r.Connectors()[0].Tasks[0] }

// A registry that comes back empty is noticed while the worker runs; records carry the new ids from
// then on, and the task tells of the value's id and of the key's.
func TestARegistryThatLosesItsSchemasIsNoticedWhileRunning(t *testing.T) {
	for lines, topics := range map[string][]string{"embedded": {"coupa.invoices"}, "topics": {"coupa.invoices", "coupa.invoices.invoice_lines"}} {
		t.Run(lines, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 61, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
				h.keys["lines"] = lines
				m := h.onMortal()
				r := h.start()
				h.readableFrom(m, time.Time{}, "invoices", topics...)
				m.lose()
				h.changeFor("invoices", 6*time.Minute) // one round of look-ups
				h.readableFrom(m, time.Now(), "invoices", topics...)
				task := taskOf(r)
				told := slices.IndexFunc(task.Errors, func(e status.Trouble) bool {
					return strings.Contains(e.Message, "coupa.invoices-key") && strings.Contains(e.Message, "another partition") && strings.Contains(e.Remedy, "snapshot start --from")
				})
				if task.State != status.Running || told < 0 || task.Renumbered < int64(2*len(topics)) {
					h.t.Errorf("%s, %d renumbered, errors %+v", task.State, task.Renumbered, task.Errors)
				}
			})
		})
	}
}

// What was lost while the registry was away is noticed within a minute after it is back.
func TestARegistryThatComesBackEmptyIsNoticedWithinAMinute(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 62, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
		m := h.onMortal()
		h.start()
		h.changeFor("users", time.Minute)
		m.answers(func() (*http.Response, error) { return nil, errors.New("connection refused") })
		h.changeFor("users", 6*time.Minute) // a look-up meets it
		m.lose()
		m.answers(nil)
		h.changeFor("users", time.Minute)
		h.readableFrom(m, time.Now(), "users", "coupa.users")
	})
}

// What the runbook says: rows that went out by ids that mean nothing are published again, and read.
func TestASnapshotPublishesAgainWhatWentOutByIdsThatAreLost(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 66, Rows: 30, Objects: []string{"invoices"}}, func(h *harness) {
		m := h.onMortal()
		r := h.start()
		h.settle()
		lost := time.Now()
		m.lose()
		for _, row := range h.tenant.Rows("invoices")[:5] {
			h.tenant.Update("invoices", row.ID)
		}
		h.pass(time.Minute)
		if bad, all := h.unreadable(m, "coupa.invoices", lost); bad != 5 || all != 5 {
			h.t.Fatalf("%d of %d records can't be read; nobody has noticed yet", bad, all)
		}
		h.pass(6 * time.Minute) // one round of look-ups
		noticed := time.Now()
		h.snapshot(r, status.SnapshotRequest{From: lost.Add(-time.Second)})
		h.settle()
		if bad, all := h.unreadable(m, "coupa.invoices", noticed); bad != 0 || all != 5 {
			h.t.Errorf("%d of %d records can't be read, want the five rows again", bad, all)
		}
	})
}

// A restart of a connector, or of a task, asks for ids again, however long ago they were looked up.
func TestARestartAsksForSchemaIdsAgain(t *testing.T) {
	zero := 0
	for name, request := range map[string]RestartRequest{"connector": {}, "tasks": {IncludeTasks: true}, "task": {Task: &zero}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 63, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
				h.worker["schema.registry.check.interval.ms"] = "86400000"
				m := h.onMortal()
				r := h.start()
				h.changeFor("users", time.Minute)
				m.lose()
				if _, err := r.Restart(h.t.Context(), "acme", request); err != nil {
					h.t.Fatal(err)
				}
				h.pass(10 * time.Second)
				h.readableFrom(m, time.Now(), "users", "coupa.users")
				if n := taskOf(r).Renumbered; n != 2 {
					h.t.Errorf("%d subjects are said to have other ids, want those of key and value", n)
				}
			})
		})
	}
}

// While the registry can't give ids anew, rows wait: none goes out by an id that is known to be wrong.
func TestRowsWaitForIdsThatAreRight(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 64, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
		m := h.onMortal()
		h.start()
		h.changeFor("users", time.Minute)
		h.stop()
		h.keys["auto.register.schemas"] = "false"
		r := h.start()
		h.changeFor("users", time.Minute)
		m.lose()
		h.changeFor("users", 6*time.Minute)
		before := len(h.consume("coupa.users"))
		h.changeFor("users", time.Minute)
		if n := len(h.consume("coupa.users")); n != before || taskOf(r).State != status.Failed {
			h.t.Errorf("%d records, then %d, %s; want it stopped until the schemas are registered", before, n, taskOf(r).State)
		}
	})
}

// A maintenance page, or one that asks for a log-in, does
// not keep a worker from its start where all ids are kept.
func TestAWorkerStartsBehindAMaintenancePageOfTheRegistry(t *testing.T) {
	for name, page := range map[string]func() (*http.Response, error){
		"page":   func() (*http.Response, error) { return page(http.StatusOK), nil },
		"log-in": func() (*http.Response, error) { return page(http.StatusUnauthorized), nil },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, coupatest.Config{Seed: 65, Rows: 30, Objects: []string{"users"}}, func(h *harness) {
				m := h.onMortal()
				h.start()
				h.settle()
				h.stop()
				m.answers(page)
				r := h.start()
				h.readableFrom(m, time.Now(), "users", "coupa.users")
				if s := taskOf(r); s.State != status.Running {
					h.t.Errorf("%s: %s", s.State, s.Trace)
				}
			})
		})
	}
}

func page(status int) *http.Response {
	w := httptest.NewRecorder()
	w.WriteHeader(status)
	_, _ = w.WriteString("<html>back soon</html>")
	return w.Result()
}
