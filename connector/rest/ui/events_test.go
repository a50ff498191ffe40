package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
)

// made is a source that a test changes.
type made struct {
	mu         sync.Mutex
	connectors []rest.Health
	err        error
	slow       time.Duration
	readings   int
	watchers   []chan struct{}
}

func (m *made) Health(ctx context.Context) ([]rest.Health, error) {
	select {
	case <-time.After(m.slow):
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readings++
	all := slices.Clone(m.connectors)
	for i := range all {
		all[i].Tasks = slices.Clone(all[i].Tasks)
	}
	return all, m.err
}

func (m *made) Watch(context.Context) <-chan struct{} {
	w := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = append(m.watchers, w)
	return w
}

// change changes what the source tells, and signals that.
func (m *made) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	for _, w := range m.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

func (m *made) read() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.readings
}

func tasks(names ...string) (tasks []rest.TaskHealth) {
	for i, name := range names {
		tasks = append(tasks, rest.TaskHealth{ID: i, Object: name, State: "RUNNING", Condition: "IDLE"})
	}
	return tasks
}

// overTwo runs a test of a page over two connectors, in a time of its own.
func overTwo(t *testing.T, test func(t *testing.T, m *made, h *Handler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := two()
		h := New(m)
		defer h.Close()
		test(t, m, h)
	})
}

func two() *made {
	return &made{connectors: []rest.Health{
		{Name: "acme", Tenant: "acme", State: "RUNNING", Tasks: tasks("invoices", "users")},
		{Name: "globex", Tenant: "globex", State: "PAUSED", Tasks: tasks("invoices")},
	}}
}

// reader is a page that is open: what it was told, an event an entry.
type reader struct {
	header http.Header
	status int
	buffer bytes.Buffer
	told   chan string
	close  context.CancelFunc
	done   chan struct{}
}

func (r *reader) Header() http.Header         { return r.header }
func (r *reader) WriteHeader(status int)      { r.status = status }
func (r *reader) Write(b []byte) (int, error) { return r.buffer.Write(b) }
func (r *reader) Flush() {
	r.told <- strings.TrimSpace(r.buffer.String())
	r.buffer.Reset()
}

// open opens a stream that goes on after an event's id.
func open(h http.Handler, after string) *reader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{header: http.Header{}, status: 200, told: make(chan string, 1000), close: cancel, done: make(chan struct{})}
	request := httptest.NewRequestWithContext(ctx, "GET", "/ui/events", nil)
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	go func() {
		defer close(r.done)
		h.ServeHTTP(r, request)
	}()
	return r
}

// next is the next thing told, if it is told without time passing.
func (r *reader) next(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	select {
	case s := <-r.told:
		return s
	default:
		t.Fatal("the stream says nothing")
		return ""
	}
}

// health is the next thing told, which has to be a health event.
func (r *reader) health(t *testing.T) (e event, id string) {
	t.Helper()
	return parse(t, r.next(t))
}

func (r *reader) silent(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case s := <-r.told:
		t.Fatalf("the stream says %s", s)
	default:
	}
}

func parse(t *testing.T, s string) (e event, id string) {
	t.Helper()
	lines := strings.Split(s, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "id: ") || lines[1] != "event: health" || !strings.HasPrefix(lines[2], "data: ") {
		t.Fatalf("not a health event: %s", s)
	}
	if err := json.Unmarshal([]byte(lines[2][6:]), &e); err != nil {
		t.Fatal(err)
	}
	return e, lines[0][4:]
}

// page opens a stream and reads its beginning: how long to wait before coming back, and everything.
func page(t *testing.T, h http.Handler) (r *reader, first event, id string) {
	t.Helper()
	r = open(h, "")
	if s := r.next(t); s != "retry: 2000" {
		t.Fatalf("began with %s", s)
	}
	first, id = r.health(t)
	return r, first, id
}

func TestAStreamTellsEverythingAndThenWhatChanges(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		r, e, _ := page(t, h)
		if !e.Full || len(e.Connectors) != 2 || len(e.Connectors["acme"].Tasks) != 2 || e.At != time.Now().UnixMilli() {
			t.Errorf("first %+v", e)
		}
		if r.header.Get("Content-Type") != "text/event-stream" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v", r.header)
		}

		time.Sleep(time.Second)
		m.change(func() { m.connectors[0].Tasks[1].Published = 7 })
		e, _ = r.health(t)
		acme := e.Connectors["acme"]
		if e.Full || len(e.Connectors) != 1 || acme.Whole || len(acme.Tasks) != 1 || acme.Tasks[1].Published != 7 {
			t.Errorf("after a change of one task %+v %+v", e, acme)
		}

		time.Sleep(time.Second)
		m.change(func() { m.connectors[0].Tasks = tasks("users") })
		if e, _ = r.health(t); !e.Connectors["acme"].Whole || len(e.Connectors["acme"].Tasks) != 1 {
			t.Errorf("after an object is gone %+v", e.Connectors["acme"])
		}

		time.Sleep(time.Second)
		m.change(func() { m.connectors = m.connectors[:1] })
		if e, _ = r.health(t); len(e.Connectors) != 0 || len(e.Removed) != 1 || e.Removed[0] != "globex" {
			t.Errorf("after a connector is gone %+v", e)
		}

		time.Sleep(time.Second)
		m.change(func() {})
		r.silent(t)
	})
}

func TestManyChangesAreOneEventASecond(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		r, _, _ := page(t, h)
		for range 50 {
			m.change(func() { m.connectors[0].Tasks[0].Published++ })
			time.Sleep(time.Second / 10)
		}
		synctest.Wait()
		if n := len(r.told); n != 5 {
			t.Errorf("5 s of changes were %d events", n)
		}
		if n := m.read(); n != 6 {
			t.Errorf("the source was read %d times", n)
		}
	})
}

func TestAStreamGoesOnWhereItWas(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		r, _, id := page(t, h)
		r.close()
		<-r.done
		m.change(func() { m.connectors[1].State = "RUNNING" })
		r = open(h, id)
		_ = r.next(t)
		e, later := r.health(t) // what was known already, with its age
		for len(e.Connectors) == 0 {
			e, later = r.health(t)
		}
		if e.Full || len(e.Connectors) != 1 || len(e.Connectors["globex"].Tasks) != 0 || e.Connectors["globex"].State != "RUNNING" {
			t.Errorf("after coming back %+v", e)
		}

		for _, strange := range []string{later + "0", "other-1", "x", "-", strings.Split(later, "-")[0] + "--1"} {
			o := open(h, strange)
			_ = o.next(t)
			if e, _ := o.health(t); !e.Full || len(e.Connectors) != 2 {
				t.Errorf("after the id %s: %+v", strange, e)
			}
		}
	})
}

func TestASilentStreamShowsThatItLives(t *testing.T) {
	overTwo(t, func(t *testing.T, _ *made, h *Handler) {
		r, _, _ := page(t, h)
		time.Sleep(heartbeat)
		// The source was read again meanwhile, and that is how old the state is.
		want := fmt.Sprintf("event: heartbeat\ndata: {\"at\":%d,\"now\":%d}", time.Now().Add(-4*time.Second).UnixMilli(), time.Now().UnixMilli())
		if got := r.next(t); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

func TestAStreamEndsWithItsAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accounts := filepath.Join(t.TempDir(), "accounts.yaml")
		allow := func(hash string) {
			if err := os.WriteFile(accounts, []byte("tokens: {page: {sha256: "+hash+", role: read-only}}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		token, hash := security.NewToken()
		allow(hash)
		guard, err := security.New(&config.Worker{AuthFile: accounts}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		h := New(two())
		defer h.Close()
		guarded := guard.Handler(h, false)
		r, _, _ := page(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+token)
			guarded.ServeHTTP(rw, r)
		}))
		time.Sleep(2 * heartbeat)
		synctest.Wait()
		select {
		case <-r.done:
			t.Fatal("a stream with an account ended")
		default:
		}
		_, hash = security.NewToken()
		allow(hash + " ") // the file differs in size too, whatever the disk's clock
		time.Sleep(2 * heartbeat)
		<-r.done
	})
}

func TestASourceThatCantBeReadIsTold(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		r, _, _ := page(t, h)
		began := time.Now()
		time.Sleep(time.Second)
		m.change(func() { m.err = errors.New("the config topic can't be read") })
		e, _ := r.health(t)
		if e.Trouble != "the config topic can't be read" || e.Full || e.At != began.UnixMilli() {
			t.Errorf("%+v", e)
		}
		time.Sleep(time.Second)
		m.change(func() { m.err = nil })
		if e, _ = r.health(t); e.Trouble != "" || e.At != time.Now().UnixMilli() {
			t.Errorf("after it was well again %+v", e)
		}
	})
}

func TestWithoutAStreamNobodyReads(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		time.Sleep(time.Hour)
		if n := m.read(); n != 0 {
			t.Errorf("the source was read %d times", n)
		}
		a, _, _ := page(t, h)
		b, _, _ := page(t, h)
		a.close()
		<-a.done
		time.Sleep(refresh + interval)
		synctest.Wait()
		if n := m.read(); n != 2 {
			t.Errorf("one stream left: the source was read %d times", n)
		}
		b.close()
		<-b.done
		time.Sleep(time.Hour)
		if n := m.read(); n != 2 {
			t.Errorf("no stream left: the source was read %d times", n)
		}
	})
}

func TestASlowSourceIsReadATenthOfTheTime(t *testing.T) {
	overTwo(t, func(t *testing.T, m *made, h *Handler) {
		m.slow = 2 * time.Second
		r := open(h, "")
		defer r.close()
		for range 220 {
			time.Sleep(time.Second)
			m.change(func() {})
		}
		if n := m.read(); n > 11 {
			t.Errorf("read %d times in 220 s, though it takes 2 s", n)
		}
	})
}

func TestStreamsAreBounded(t *testing.T) {
	overTwo(t, func(t *testing.T, _ *made, h *Handler) {
		var readers []*reader
		for range maxStreams {
			r, _, _ := page(t, h)
			readers = append(readers, r)
		}
		over := open(h, "")
		<-over.done
		if over.status != http.StatusServiceUnavailable || !strings.Contains(over.buffer.String(), `"error_code":503`) || over.header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d %s", over.status, over.buffer.String())
		}
		readers[0].close()
		<-readers[0].done
		page(t, h)
	})
}

func TestCloseEndsStreamsAndRefusesOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(two())
		r, _, _ := page(t, h)
		h.Close()
		<-r.done
		late := open(h, "")
		<-late.done
		if late.status != http.StatusServiceUnavailable {
			t.Errorf("after Close: %d", late.status)
		}
	})
}

// A thousand tenants with twenty objects each, polled every 30 s: what a page costs.
func TestAPageOfAThousandTenantsIsCheap(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all []rest.Health
	for i := range 1000 {
		c := rest.Health{Name: fmt.Sprintf("tenant-%03d", i), Tenant: fmt.Sprintf("tenant-%03d", i), State: "RUNNING", WorkerID: "10.0.0.1:8083", Rate: &rest.RateHealth{Limit: 15, Current: 15}}
		for id := range 20 {
			c.Tasks = append(c.Tasks, rest.TaskHealth{ID: id, Object: fmt.Sprintf("purchase_order_%02d", id), State: "RUNNING", Condition: "IDLE", Proven: &now, Published: 1_000_000})
		}
		all = append(all, c)
	}
	h := newHub(&made{})
	h.update(all, nil)
	full, at, _ := h.next(position{})
	if len(full) > 4<<20 {
		t.Errorf("the first event has %d bytes", len(full))
	}
	total := 0
	const seconds = 30
	for s := range seconds {
		later := now.Add(time.Duration(s) * time.Second)
		for i := range all {
			for id := range all[i].Tasks {
				if (i*20+id)%30 == s {
					all[i].Tasks[id].Proven = &later
					all[i].Tasks[id].Published += 3
				}
			}
			all[i].Rate.Used = float64((i+s)%4) / 2
		}
		h.update(all, nil)
		var data []byte
		data, at, _ = h.next(at)
		total += len(data)
	}
	if perSecond := total / seconds; perSecond > 300<<10 {
		t.Errorf("a stream costs %d bytes a second", perSecond)
	}
	t.Logf("first event %d bytes, then %d bytes a second", len(full), total/seconds)
}
