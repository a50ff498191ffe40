package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	twmb "github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

const (
	first   = `{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":"long"}]}`
	added   = `{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":"long"},{"name":"x","type":["null","string"],"default":null}]}`
	changed = `{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":"string"}]}`
	subject = "coupa.things-value"
)

// strictRegistry is a fake registry that enforces BACKWARD
// compatibility where a subject asks for it, as real ones do.
func strictRegistry(t *testing.T, opts ...srfake.Option) (*srfake.Registry, *[]string) {
	fake := srfake.New(opts...)
	t.Cleanup(fake.Close)
	var mu sync.Mutex
	var requests []string
	levels := map[string]string{}
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r.Method+" "+r.URL.Path)
		var sent struct{ Schema, Compatibility string }
		_ = json.Unmarshal(body, &sent)
		if name, ok := strings.CutPrefix(r.URL.Path, "/config/"); ok && r.Method == http.MethodPut {
			levels[name] = sent.Compatibility
		}
		name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/subjects/"), "/versions")
		if r.Method != http.MethodPost || !ok || levels[name] != "BACKWARD" {
			return false
		}
		before, ok := latest(fake, name)
		if !ok || twmb.CheckCompatibility(twmb.MustParse(before.Schema.Schema), twmb.MustParse(sent.Schema)) == nil {
			return false
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error_code":409,"message":"Schema being registered is incompatible with an earlier schema: READER_FIELD_MISSING_DEFAULT_VALUE"}`)
		return true
	})
	return fake, &requests
}

// latest is the newest version of a subject.
func latest(fake *srfake.Registry, subject string) (newest sr.SubjectSchema, ok bool) {
	for version := 1; ; version++ {
		next, there := fake.GetSchema(subject, version)
		if !there {
			return newest, ok
		}
		newest, ok = next, true
	}
}

func client(t *testing.T, cfg registry.Config) *registry.Client {
	t.Helper()
	r, err := registry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegisterProtectsANewSubject(t *testing.T) {
	fake, requests := strictRegistry(t)
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	one, err := r.Register(t.Context(), subject, first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.Register(t.Context(), subject, added)
	if err != nil || two == one {
		t.Fatalf("the addition got id %d after %d, %v", two, one, err)
	}
	want := []string{
		"POST /subjects/" + subject, "GET /config/" + subject, "PUT /config/" + subject, "POST /subjects/" + subject + "/versions",
		"POST /subjects/" + subject, "POST /subjects/" + subject + "/versions",
	}
	if !slices.Equal(*requests, want) {
		t.Errorf("requests %q, want %q", *requests, want)
	}

	_, err = r.Register(t.Context(), subject, changed)
	var refused *registry.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusConflict || refused.Temporary() {
		t.Fatalf("a changed type: %v, want a lasting 409", err)
	}
	for _, part := range []string{subject, "READER_FIELD_MISSING_DEFAULT_VALUE", "another topic"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestRegisterLeavesALevelThatIsThere(t *testing.T) {
	fake, requests := strictRegistry(t)
	if err := fake.SetCompat(subject, sr.CompatNone); err != nil {
		t.Fatal(err)
	}
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	for _, schema := range []string{first, changed} {
		if _, err := r.Register(t.Context(), subject, schema); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(*requests, "PUT /config/"+subject) {
		t.Errorf("the level was set: %q", *requests)
	}
}

// Two workers that begin at once both find no level; Apicurio refuses the second one's with 409.
func TestRegisterTakesALevelThatAnotherSetMeanwhile(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if err := fake.SetCompat(subject, sr.CompatBackward); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"error_code":409,"message":"A rule named 'COMPATIBILITY' already exists."}`)
		return true
	})
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	if id, err := r.Register(t.Context(), subject, first); err != nil || id == 0 {
		t.Errorf("%d, %v", id, err)
	}
}

func TestRegisterLeavesTheLevelOfASubjectThatExists(t *testing.T) {
	fake, requests := strictRegistry(t)
	fake.SeedSchema(subject, 1, 41, sr.Schema{Schema: first, Type: sr.TypeAvro})
	if _, err := client(t, registry.Config{URLs: []string{fake.URL()}}).Register(t.Context(), subject, added); err != nil {
		t.Fatal(err)
	}
	if want := []string{"POST /subjects/" + subject, "POST /subjects/" + subject + "/versions"}; !slices.Equal(*requests, want) {
		t.Errorf("requests %q, want %q", *requests, want)
	}
}

func TestASchemaThatIsThereIsOnlyRead(t *testing.T) {
	fake, requests := strictRegistry(t)
	fake.SeedSchema(subject, 1, 41, sr.Schema{Schema: first, Type: sr.TypeAvro})
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	for _, ask := range []func(context.Context, string, string) (int, error){r.Register, r.Lookup, r.Register} {
		if id, err := ask(t.Context(), subject, first); id != 41 || err != nil {
			t.Errorf("id %d, %v, want 41", id, err)
		}
	}
	if want := []string{"POST /subjects/" + subject}; !slices.Equal(*requests, want) {
		t.Errorf("requests %q, want one look-up", *requests)
	}
}

func TestLookupDoesNotRegister(t *testing.T) {
	fake, requests := strictRegistry(t)
	_, err := client(t, registry.Config{URLs: []string{fake.URL()}}).Lookup(t.Context(), subject, first)
	var missing *registry.Error
	if !errors.As(err, &missing) || missing.Status != http.StatusNotFound || missing.Temporary() || !strings.Contains(err.Error(), "auto.register.schemas=true") {
		t.Errorf("error %v, want a lasting 404 that names auto.register.schemas", err)
	}
	if len(*requests) != 1 || fake.SubjectExists(subject) {
		t.Errorf("requests %q, subject there: %v", *requests, fake.SubjectExists(subject))
	}
}

func TestRealSchemasRegister(t *testing.T) {
	fake, _ := strictRegistry(t)
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	ids := map[int]string{}
	for _, path := range schemas.Objects() {
		s, err := schemas.For(path, schemas.Options{})
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.Register(t.Context(), registry.Subject("", "coupa."+path, s.Name(), false), s.JSON())
		if other := ids[id]; err != nil || id <= 0 || other != "" && other != s.JSON() {
			t.Errorf("%s: id %d, %v", path, id, err)
		}
		ids[id] = s.JSON()
	}
	if _, err := r.Register(t.Context(), "coupa.invoices-key", schemas.KeySchema()); err != nil {
		t.Error(err)
	}
}

func TestBasicAuthentication(t *testing.T) {
	const header = "Basic dXNlcjpwQHNz" // user:p@ss
	fake, _ := strictRegistry(t, srfake.WithAuth(header))
	host := strings.TrimPrefix(fake.URL(), "http://")
	for name, cfg := range map[string]registry.Config{
		"from the settings": {URLs: []string{fake.URL()}, Username: "user", Password: "p@ss"},
		"from the URL":      {URLs: []string{"http://user:p%40ss@" + host}},
	} {
		if _, err := client(t, cfg).Register(t.Context(), subject, first); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := client(t, registry.Config{URLs: []string{"http://user:hunter2@" + host}}).Register(t.Context(), subject, first)
	if err == nil || !strings.Contains(err.Error(), "User not authorized") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong password: %v", err)
	}
}

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
}

func TestCallersShareOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests atomic.Int32
		proceed := make(chan struct{})
		r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			requests.Add(1)
			<-proceed
			return answer(http.StatusOK, `{"subject":"s","id":5,"version":1,"schema":"{}"}`), nil
		})}})
		// The first one to ask goes away; the work goes on for the others.
		impatient, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := r.Register(impatient, subject, first); !errors.Is(err, context.Canceled) {
				t.Errorf("the impatient caller got %v", err)
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				if id, err := r.Register(t.Context(), subject, first); id != 5 || err != nil {
					t.Errorf("id %d, %v", id, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(proceed)
		all.Wait()
		if requests.Load() != 1 {
			t.Errorf("%d requests, want 1", requests.Load())
		}
	})
}

func TestARegistryThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}})
		_, err := r.Register(t.Context(), subject, first)
		var slow *registry.Error
		if !errors.As(err, &slow) || !slow.Temporary() || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("error %v, want a temporary one", err)
		}
	})
}

func TestAFailureIsNotRemembered(t *testing.T) {
	answers := []*http.Response{answer(http.StatusServiceUnavailable, "down for a moment"), answer(http.StatusOK, `{"subject":"s","id":5,"version":1,"schema":"{}"}`)}
	r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		next := answers[0]
		answers = answers[1:]
		return next, nil
	})}})
	var down *registry.Error
	if _, err := r.Lookup(t.Context(), subject, first); !errors.As(err, &down) || !down.Temporary() {
		t.Errorf("error %v, want a temporary one", err)
	}
	if id, err := r.Lookup(t.Context(), subject, first); id != 5 || err != nil {
		t.Errorf("id %d, %v, want 5", id, err)
	}
}
