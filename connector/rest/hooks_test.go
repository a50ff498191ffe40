package rest

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector/status"
)

// ringing is a worker that runs nothing, before the one that runs acme, in a
// bubble; answers decides on what comes to the other one.
func ringing(t *testing.T, f func(a *API, there *fake, log *bytes.Buffer, answers *http.RoundTripper)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := newFake(t), newFake(t)
		a, other := here.api(t), there.api(t)
		var log bytes.Buffer
		a.log = slog.New(slog.NewTextHandler(&log, nil))
		a.relays.log = a.log
		here.running(t, a)
		there.running(t, other)
		here.change("acme", func(c *status.ConnectorStatus) { c.Owner = status.Owner{WorkerID: "other:1", URL: "http://other:1"} })
		var answers http.RoundTripper = roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "Bearer x" || r.URL.Query().Get("forward") != "false" {
				t.Errorf("asked %s with %q", r.URL, r.Header)
			}
			rec := httptest.NewRecorder()
			other.ServeHTTP(rec, r)
			return rec.Result(), nil
		})
		a.o.Peers = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return answers.RoundTrip(r) })}
		a.now = time.Now
		log.Reset()
		f(a, there, &log, &answers)
	})
}

// storm rings so often in each of so many seconds, and wants nobody to wait.
func storm(t *testing.T, a *API, seconds, each int) {
	t.Helper()
	for range seconds {
		began := time.Now()
		for range each {
			if rec := ask(a, "POST", "/hooks/acme/invoices", "", "Authorization", "Bearer x"); rec.Code != 202 {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Fatalf("%d rings took %v", each, took)
		}
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

func TestADoorbellIsPassedOnToTheOwner(t *testing.T) {
	ringing(t, func(a *API, there *fake, log *bytes.Buffer, _ *http.RoundTripper) {
		storm(t, a, 1, 1)
		if len(there.rung) != 1 || there.rung[0] != "acme/invoices" {
			t.Errorf("heard %v", there.rung)
		}
		storm(t, a, 10, 100)
		// the first at once, and what rang meanwhile as one more
		if n := len(there.rung); n < 11 || n > 21 {
			t.Errorf("%d rings are heard of a storm of 1000 in 10 s", n)
		}
		if n := len(a.relays.underway); n != 0 {
			t.Errorf("%d are under way", n)
		}
		if log.Len() > 0 {
			t.Errorf("the log is told:\n%s", log)
		}
	})
}

// The last ring of a storm is heard by whoever is the owner then.
func TestADoorbellIsPassedOnToWhoIsTheOwnerNow(t *testing.T) {
	ringing(t, func(a *API, there *fake, _ *bytes.Buffer, answers *http.RoundTripper) {
		var asked []string
		*answers = roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Host)
			return &http.Response{StatusCode: 202, Body: http.NoBody}, nil
		})
		ask(a, "POST", "/hooks/acme/invoices", "")
		a.reader.(*fake).change("acme", func(c *status.ConnectorStatus) { c.Owner.URL = "http://third:1" })
		ask(a, "POST", "/hooks/acme/invoices", "")
		time.Sleep(time.Second)
		synctest.Wait()
		if asked[len(asked)-1] != "third:1" {
			t.Errorf("passed on to %v", asked)
		}
	})
}

func TestADoorbellThatIsNotPassedOnIsToldOfOnce(t *testing.T) {
	for name, answers := range map[string]http.RoundTripper{
		"nobody answers": silent{},
		"it is refused": roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Body: http.NoBody}, nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			ringing(t, func(a *API, there *fake, log *bytes.Buffer, way *http.RoundTripper) {
				*way = answers
				storm(t, a, 30, 20)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := strings.Count(log.String(), "a doorbell was not passed on"); n != 1 || strings.Contains(log.String(), "Bearer x") {
					t.Errorf("%d lines:\n%s", n, log)
				}
				if len(there.rung) > 0 || len(a.relays.underway) > 0 {
					t.Errorf("heard %v, %d under way", there.rung, len(a.relays.underway))
				}
			})
		})
	}
}

func TestADoorbellThatWasPassedOnIsNotPassedOn(t *testing.T) {
	ringing(t, func(a *API, there *fake, _ *bytes.Buffer, _ *http.RoundTripper) {
		if rec := ask(a, "POST", "/hooks/acme/invoices?forward=false", "", "Authorization", "Bearer x"); rec.Code != 202 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(there.rung) > 0 {
			t.Errorf("heard %v", there.rung)
		}
	})
}

func TestWithoutHooksThereIsNoDoorbell(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	a := f.api(t)
	f.running(t, a)
	o := a.o
	o.Hooks = false
	a = New(f, o)
	for _, path := range []string{"/hooks/acme/invoices", "/hooks/token"} {
		if rec := ask(a, "POST", path, ""); rec.Code != 404 || len(f.rung) > 0 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}
