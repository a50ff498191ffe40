package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupastream/coupastream/schemas/registry"
)

// mortal is a registry that can be away, and lose what it has, without a network.
type mortal struct {
	mu    sync.Mutex
	fake  *srfake.Registry
	away  func() (*http.Response, error) // in place of an answer; nil: it answers
	asked []time.Time                    // look-ups
}

func newMortal() *mortal { return &mortal{fake: srfake.NewRegistry()} }

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/versions") {
		m.asked = append(m.asked, time.Now())
	}
	if m.away != nil {
		return m.away()
	}
	w := httptest.NewRecorder()
	m.fake.Handler().ServeHTTP(w, r)
	return w.Result(), nil
}

// lose makes it empty, but for schemas of others that take the ids up to n.
func (m *mortal) lose(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fake = srfake.NewRegistry()
	for id := 1; id <= n; id++ {
		m.fake.SeedSchema("other", id, id, sr.Schema{Schema: fixed(fmt.Sprint("other", id))})
	}
}

// fixed is a schema by its name.
func fixed(name string) string { return fmt.Sprintf(`{"type":"fixed","name":%q,"size":1}`, name) }

func (m *mortal) answers(away func() (*http.Response, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *mortal) lookups() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func refusedConnection() (*http.Response, error) { return nil, errors.New("connection refused") }

// watched runs f in a bubble with a client whose Watch runs.
func watched(t *testing.T, f func(*testing.T, *mortal, *registry.Client, *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, log := newMortal(), &bytes.Buffer{}
		r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: m}, Log: slog.New(slog.NewTextHandler(log, nil))})
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { r.Watch(ctx) })
		defer done.Wait()
		defer stop()
		f(t, m, r, log)
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func mustRegister(t *testing.T, r *registry.Client, subject, schema string) int {
	t.Helper()
	id, err := r.Register(t.Context(), subject, schema)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAnIdThatIsAnotherOneIsFoundWithinTheInterval(t *testing.T) {
	watched(t, func(t *testing.T, m *mortal, r *registry.Client, log *bytes.Buffer) {
		before, key := mustRegister(t, r, subject, first), mustRegister(t, r, "key", added)
		generation := r.Generation()
		pass(registry.DefaultCheckInterval + time.Minute)
		if n := len(m.lookups()); n != 4 || r.Generation() != generation || strings.Contains(log.String(), "ERROR") {
			t.Fatalf("%d look-ups of 2 ids, generation %d after %d, log %s", n, r.Generation(), generation, log)
		}
		m.lose(5)
		pass(registry.DefaultCheckInterval)
		if r.Generation() == generation || !strings.Contains(log.String(), "ERROR") {
			t.Fatalf("nothing was noticed: %s", log)
		}
		again, keyAgain := mustRegister(t, r, subject, first), mustRegister(t, r, "key", added)
		if again <= 5 || keyAgain <= 5 || again == before || keyAgain == key {
			t.Errorf("ids %d and %d after %d and %d", again, keyAgain, before, key)
		}
		last, ok := r.Replaced("key")
		if !ok || last.From != key || last.To != keyAgain || !strings.Contains(log.String(), "CoupastreamSchemaIdsChanged") {
			t.Errorf("told of %+v, log %s", last, log)
		}
		pass(time.Second)
		settled := r.Generation()
		pass(3 * registry.DefaultCheckInterval)
		if mustRegister(t, r, subject, first) != again || r.Generation() != settled {
			t.Error("it does not come to rest")
		}
	})
}

// An id that the registry still has stays; what another schema has got meanwhile does not.
func TestOneWrongIdLetsAllBeLookedUpAtOnce(t *testing.T) {
	watched(t, func(t *testing.T, m *mortal, r *registry.Client, _ *bytes.Buffer) {
		ids := map[string]int{}
		for _, s := range []string{"a", "b", "c", "d", "e", "f"} {
			ids[s] = mustRegister(t, r, s, fixed(s))
			pass(time.Second)
		}
		m.lose(2)
		m.fake.SeedSchema("c", 1, ids["c"], sr.Schema{Schema: fixed("c")})
		before := len(m.lookups())
		pass(registry.DefaultCheckInterval - 5*time.Second) // the first of them is due, the others are not
		if n := len(m.lookups()) - before; n != len(ids) {
			t.Errorf("%d look-ups, want one of each", n)
		}
		if id := mustRegister(t, r, "c", fixed("c")); id != ids["c"] {
			t.Errorf("an id that was right has changed from %d to %d", ids["c"], id)
		}
		if n := len(m.lookups()) - before; n != len(ids) {
			t.Error("an id that was right is asked for anew")
		}
	})
}

func TestLookUpsHaveTheirTurnsOneASecond(t *testing.T) {
	watched(t, func(t *testing.T, m *mortal, r *registry.Client, _ *bytes.Buffer) {
		for n := range 50 {
			mustRegister(t, r, subject+string(rune('A'+n)), first)
		}
		began := len(m.lookups())
		pass(registry.DefaultCheckInterval + 2*time.Minute)
		all := m.lookups()[began:]
		if len(all) != 50 {
			t.Errorf("%d look-ups of 50 ids", len(all))
		}
		for i := range all[1:] {
			if gap := all[i+1].Sub(all[i]); gap < time.Second {
				t.Fatalf("two look-ups within %v", gap)
			}
		}
	})
}

// The registry was away, and is another one when it is back.
func TestALossIsFoundWithinAMinuteAfterTheRegistryWasAway(t *testing.T) {
	for name, away := range map[string]func() (*http.Response, error){
		"refused":     refusedConnection,
		"overloaded":  func() (*http.Response, error) { return answer(http.StatusServiceUnavailable, "down"), nil },
		"maintenance": func() (*http.Response, error) { return answer(http.StatusOK, "<html>back soon</html>"), nil },
		"not found":   func() (*http.Response, error) { return answer(http.StatusNotFound, "<html>no such page</html>"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, m *mortal, r *registry.Client, log *bytes.Buffer) {
				before := mustRegister(t, r, subject, first)
				generation := r.Generation()
				m.answers(away)
				// somebody meets the outage
				if _, err := r.Register(t.Context(), "other", added); err == nil {
					t.Fatal("no error")
				}
				pass(time.Hour)
				if id := mustRegister(t, r, subject, first); id != before || r.Generation() != generation {
					t.Fatalf("id %d after %d: that the registry is away is no loss", id, before)
				}
				m.lose(4)
				m.answers(nil)
				pass(time.Minute)
				if id := mustRegister(t, r, subject, first); id == before || r.Generation() == generation || !strings.Contains(log.String(), "ERROR") {
					t.Errorf("id %d after %d, log %s", id, before, log)
				}
			})
		})
	}
}

// An id that is known to be wrong is not given while the registry
// can't give another one, not by a later process either.
func TestAWrongIdIsNeverGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, file := newMortal(), filepath.Join(t.TempDir(), "ids.json")
		cfg := registry.Config{URLs: []string{"http://registry"}, CacheFile: file, HTTPClient: &http.Client{Transport: m}}
		r := client(t, cfg)
		before := mustRegister(t, r, subject, first)
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { r.Watch(ctx) })
		m.lose(4)
		pass(registry.DefaultCheckInterval)
		m.answers(refusedConnection)
		for name, r := range map[string]*registry.Client{"this process": r, "the next": client(t, cfg)} {
			if id, err := r.Register(t.Context(), subject, first); err == nil {
				t.Errorf("%s gives %d", name, id)
			}
		}
		m.answers(nil)
		next := client(t, cfg)
		id := mustRegister(t, next, subject, first)
		if last, ok := next.Replaced(subject); !ok || last.From != before || last.To != id {
			t.Errorf("the next process tells of %+v, want %d in place of %d", last, id, before)
		}
		stop()
		done.Wait()
	})
}

// What another process was told, be it years ago, is compared with what the registry says now.
func TestAStartTellsOfAnIdThatHasChanged(t *testing.T) {
	m, file := newMortal(), filepath.Join(t.TempDir(), "ids.json")
	var log bytes.Buffer
	cfg := registry.Config{URLs: []string{"http://registry"}, CacheFile: file, HTTPClient: &http.Client{Transport: m}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	before := mustRegister(t, client(t, cfg), subject, first)
	m.lose(4)
	r := client(t, cfg)
	id := mustRegister(t, r, subject, first)
	if last, ok := r.Replaced(subject); !ok || last.From != before || last.To != id || !strings.Contains(log.String(), "ERROR") {
		t.Errorf("told of %+v, log %s", last, &log)
	}
}

func TestForgottenIdsAreAskedForAgain(t *testing.T) {
	m := newMortal()
	r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: m}})
	before := mustRegister(t, r, subject, first)
	m.lose(4)
	if id := mustRegister(t, r, subject, first); id != before {
		t.Fatal("ids are not kept")
	}
	r.Forget(subject)
	m.answers(refusedConnection)
	if id := mustRegister(t, r, subject, first); id != before {
		t.Errorf("id %d without the registry, want that of before", id)
	}
	r.Forget(subject)
	m.answers(nil)
	if id := mustRegister(t, r, subject, first); id == before {
		t.Error("the registry was not asked")
	}
	if _, ok := r.Replaced(subject); !ok {
		t.Error("it is not told of")
	}
}

// A connection that ends without a request on it is noticed, too.
func TestALostConnectionLetsIdsBeLookedUp(t *testing.T) {
	fake := srfake.NewRegistry()
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fake.Handler().ServeHTTP(w, r)
		asked <- struct{}{}
	}))
	defer server.Close()
	r := client(t, registry.Config{URLs: []string{server.URL}, CheckInterval: time.Hour})
	mustRegister(t, r, subject, first)
	for range 4 { // of a new schema
		<-asked
	}
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { r.Watch(ctx) })
	defer done.Wait()
	defer stop()
	server.CloseClientConnections()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Error("nothing is looked up")
	}
}
