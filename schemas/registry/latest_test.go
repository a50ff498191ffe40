package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/coupastream/coupastream/schemas/registry"
)

func TestLatestIsWhatWasRegisteredLast(t *testing.T) {
	fake, _ := strictRegistry(t)
	r := client(t, registry.Config{URLs: []string{fake.URL()}})
	if text, err := r.Latest(t.Context(), subject); text != "" || err != nil {
		t.Errorf("of a subject that is not there: %q, %v", text, err)
	}
	for _, schema := range []string{first, added} {
		if _, err := r.Register(t.Context(), subject, schema); err != nil {
			t.Fatal(err)
		}
		if text, err := r.Latest(t.Context(), subject); text != schema || err != nil {
			t.Errorf("%q, %v; want %q", text, err, schema)
		}
	}
	fake.Close()
	if _, err := r.Latest(t.Context(), subject); err == nil {
		t.Error("no registry, and no error")
	}
}

// answers is a way of requests to a registry that answers when it is let.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

func TestWhoComesWhileTheLastVersionIsAskedForSharesTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let, sent := make(chan string), atomic.Int32{}
		r := client(t, registry.Config{URLs: []string{"http://registry"}, HTTPClient: &http.Client{Transport: answers(func(*http.Request) (*http.Response, error) {
			sent.Add(1)
			body := `{"subject":"s","version":1,"id":1,"schema":"` + <-let + `"}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		})}})
		got := make(chan string, 100)
		ask := func() {
			text, err := r.Latest(t.Context(), subject)
			if err != nil {
				t.Error(err)
			}
			got <- text
		}
		go ask()
		synctest.Wait() // the first request is under way
		for range 99 {
			go ask()
		}
		impatient, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := r.Latest(impatient, subject)
			gone <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("who no longer waits gets %v", err)
		}
		let <- "before"
		if text := <-got; text != "before" {
			t.Errorf("the first got %q", text)
		}
		let <- "after"
		for range 99 { // what was registered after the first request went out is seen by those who came then
			if text := <-got; text != "after" {
				t.Errorf("one who came later got %q", text)
			}
		}
		if n := sent.Load(); n != 2 {
			t.Errorf("%d requests for 100 at once, want 2", n)
		}
	})
}
