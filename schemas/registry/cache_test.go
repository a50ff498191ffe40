package registry_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/schemas/registry"
)

// away is a registry that can't be reached, under an address and with a cache.
func away(url, cache string) registry.Config {
	down := roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") })
	return registry.Config{URLs: []string{url}, CacheFile: cache, HTTPClient: &http.Client{Transport: down}}
}

func TestASchemaRegisteredOnceIsKnownWithoutTheRegistry(t *testing.T) {
	fake, _ := strictRegistry(t)
	cache := filepath.Join(t.TempDir(), "group", "ids.json")
	withPassword := strings.Replace(fake.URL(), "http://", "http://user:hunter2@", 1)
	id, err := client(t, registry.Config{URLs: []string{withPassword}, CacheFile: cache}).Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	later := client(t, away(fake.URL(), cache))
	for name, ask := range map[string]func() (int, error){
		"registering": func() (int, error) { return later.Register(t.Context(), subject, first) },
		"looking up":  func() (int, error) { return later.Lookup(t.Context(), subject, first) },
	} {
		if got, err := ask(); got != id || err != nil {
			t.Errorf("%s: id %d, %v, want %d", name, got, err, id)
		}
	}
	var down *registry.Error
	for name, ask := range map[string]func() (int, error){
		"another schema":  func() (int, error) { return later.Register(t.Context(), subject, added) },
		"another subject": func() (int, error) { return later.Register(t.Context(), "other", first) },
		"another registry": func() (int, error) {
			return client(t, away("http://other", cache)).Register(t.Context(), subject, first)
		},
	} {
		if got, err := ask(); !errors.As(err, &down) || !down.Temporary() {
			t.Errorf("%s: id %d, %v, want a temporary error", name, got, err)
		}
	}
	text, err := os.ReadFile(cache)
	if err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("the cache holds %s, %v", text, err)
	}
}

func TestARegistryThatHangsIsNotWaitedForWhereTheIDIsKnown(t *testing.T) {
	fake, _ := strictRegistry(t)
	cache := filepath.Join(t.TempDir(), "ids.json")
	before := client(t, registry.Config{URLs: []string{fake.URL()}, CacheFile: cache})
	id, err := before.Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	other, err := before.Register(t.Context(), "other", first)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		later := client(t, registry.Config{URLs: []string{fake.URL()}, CacheFile: cache, HTTPClient: &http.Client{Transport: hangs}})
		ask := func(subject string, want int, within time.Duration) {
			t.Helper()
			began := time.Now()
			got, err := later.Register(t.Context(), subject, first)
			if took := time.Since(began); got != want || err != nil || took > within {
				t.Errorf("%s: id %d, %v after %v, want %d within %v", subject, got, err, took, want, within)
			}
		}
		ask(subject, id, 2*time.Second)
		ask("other", other, 0) // it is known not to answer
		began := time.Now()
		if got, err := later.Register(t.Context(), "unknown", first); err == nil || time.Since(began) < 5*time.Second {
			t.Errorf("an id that nobody knows: %d, %v after %v", got, err, time.Since(began))
		}
		time.Sleep(time.Minute)
		ask(subject, id, 0) // asked for once
		ask("other", other, 0)
	})
}

// A page in the registry's place, or one that asks for a log-in, is
// no word of the registry's. What was never kept gets the error.
func TestASchemaRegisteredOnceIsKnownWhereSomethingElseAnswers(t *testing.T) {
	fake, _ := strictRegistry(t)
	cache := filepath.Join(t.TempDir(), "ids.json")
	id, err := client(t, registry.Config{URLs: []string{fake.URL()}, CacheFile: cache}).Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string]*http.Response{
		"maintenance": answer(http.StatusOK, "<html>back soon</html>"),
		"log-in":      answer(http.StatusUnauthorized, `{"error_code":401,"message":"who are you"}`),
		"forbidden":   answer(http.StatusForbidden, "<html>blocked</html>"),
	} {
		cfg := away(fake.URL(), cache)
		cfg.HTTPClient.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			again := *said
			return &again, nil
		})
		if got, err := client(t, cfg).Register(t.Context(), subject, first); got != id || err != nil {
			t.Errorf("%s: id %d, %v, want %d", name, got, err, id)
		}
		if got, err := client(t, cfg).Register(t.Context(), subject, added); err == nil {
			t.Errorf("%s: id %d of a schema that was never registered", name, got)
		}
	}
}

func TestARefusalIsNotAnsweredFromTheCache(t *testing.T) {
	fake, _ := strictRegistry(t)
	cache := filepath.Join(t.TempDir(), "ids.json")
	if _, err := client(t, registry.Config{URLs: []string{fake.URL()}, CacheFile: cache}).Register(t.Context(), subject, first); err != nil {
		t.Fatal(err)
	}
	cfg := away(fake.URL(), cache)
	cfg.HTTPClient.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
		return answer(http.StatusUnprocessableEntity, `{"error_code":42201,"message":"not in this mode"}`), nil
	})
	var refused *registry.Error
	if id, err := client(t, cfg).Register(t.Context(), subject, first); !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("id %d, %v, want the 422", id, err)
	}
}

// The framing has four bytes, which readers take for a signed number.
func TestAnIdThatTheFramingCannotHoldIsRefused(t *testing.T) {
	for _, id := range []string{"2147483648", "4294967303"} {
		cfg := away("http://registry", "")
		cfg.HTTPClient.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			return answer(http.StatusOK, `{"subject":"s","id":`+id+`,"version":1,"schema":"{}"}`), nil
		})
		var refused *registry.Error
		got, err := client(t, cfg).Register(t.Context(), subject, first)
		if !errors.As(err, &refused) || refused.Temporary() || refused.Away() || !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "four bytes") {
			t.Errorf("%s: id %d, %v; want a lasting error that names it", id, got, err)
		}
	}
}

func TestADamagedCacheIsBegunAnew(t *testing.T) {
	fake, _ := strictRegistry(t)
	cache := filepath.Join(t.TempDir(), "ids.json")
	if err := os.WriteFile(cache, []byte(`{"registry":`), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := client(t, registry.Config{URLs: []string{fake.URL()}, CacheFile: cache}).Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client(t, away(fake.URL(), cache)).Lookup(t.Context(), subject, first); got != id || err != nil {
		t.Errorf("id %d, %v, want %d", got, err, id)
	}
}
