package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// pair is two workers of one group. The second one runs acme and beta, the first one gamma.
type pair struct {
	first, second *fake
	api           *API // the first one's
	asked         []*http.Request
	calls         atomic.Int32
	// instead of the second worker; false: let it answer
	answers func(http.ResponseWriter, *http.Request) bool
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{first: newFake(t), second: newFake(t)}
	there := p.second.api(t)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.calls.Add(1)
		p.asked = append(p.asked, r.Clone(r.Context()))
		if p.answers != nil && p.answers(rw, r) {
			return
		}
		there.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	p.api = p.first.api(t)
	p.first.running(t, p.api)
	other := strings.ReplaceAll(acmeConfig, "acme.", "beta.")
	for name, cfg := range map[string]string{"beta": other, "gamma": strings.ReplaceAll(acmeConfig, "acme.", "gamma.")} {
		ask(p.api, "PUT", "/connectors/"+name+"/config", "{"+cfg+"}")
	}
	for _, name := range []string{"acme", "beta"} {
		p.first.change(name, func(c *status.ConnectorStatus) {
			p.second.connectors[name] = *c
			c.Tasks = slices.Clone(c.Tasks)
			c.Owner = status.Owner{WorkerID: "other:1", URL: server.URL + "/"}
			for i := range c.Tasks {
				c.Tasks[i].State = status.Unassigned
			}
		})
		p.second.change(name, func(c *status.ConnectorStatus) {
			c.Owner.WorkerID = "other:1"
			c.Tasks[1].State, c.Tasks[1].Trace = status.Failed, "why"
		})
	}
	return p
}

const acmeThere = `{"name":"acme","connector":{"state":"RUNNING","worker_id":"other:1","version":"v1"},` +
	`"tasks":[{"id":0,"state":"RUNNING","worker_id":"other:1","version":"v1"},{"id":1,"state":"FAILED","worker_id":"other:1","version":"v1","trace":"why"}],"type":"source"}`

func TestTheOwnerTellsTheStates(t *testing.T) {
	p := newPair(t)
	if rec := ask(p.api, "GET", "/connectors/acme/status", "", "Authorization", "Bearer x"); rec.Code != 200 || rec.Body.String() != acmeThere {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if r := p.asked[0]; r.Header.Get("Authorization") != "Bearer x" || r.URL.Query().Get("forward") != "false" || !slices.Equal(r.URL.Query()["name"], []string{"acme"}) {
		t.Errorf("asked %s with %q", r.URL, r.Header)
	}
	if rec := ask(p.api, "GET", "/connectors/acme/tasks/1/status", ""); rec.Body.String() != `{"id":1,"state":"FAILED","worker_id":"other:1","version":"v1","trace":"why"}` {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if rec := ask(p.api, "GET", "/connectors/acme/health", ""); !strings.Contains(rec.Body.String(), `"worker_id":"other:1","rate":{`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestAListAsksEachWorkerOnce(t *testing.T) {
	p := newPair(t)
	rec := ask(p.api, "GET", "/connectors?expand=status&expand=info&expand=health", "")
	if err := describe(t).check("GET", "/connectors", rec); err != nil {
		t.Error(err)
	}
	var all map[string]report
	if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if n := p.calls.Load(); n != 1 || len(all) != 3 {
		t.Errorf("%d calls for %d connectors", n, len(all))
	}
	for name, want := range map[string]string{"acme": "other:1", "beta": "other:1", "gamma": self} {
		if got := all[name]; got.Status.Connector.WorkerID != want || got.Status.Tasks[0].State != "RUNNING" || got.Health.WorkerID != want || got.Health.Rate == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAWorkerThatWasAskedByAnotherAsksNobody(t *testing.T) {
	p := newPair(t)
	rec := ask(p.api, "GET", "/connectors/acme/status?forward=false", "")
	if got := rec.Body.String(); rec.Code != 200 || !strings.Contains(got, `"tasks":[{"id":0,"state":"UNASSIGNED","worker_id":"other:1","version":"v1"}`) {
		t.Errorf("%d %s", rec.Code, got)
	}
	for _, r := range [][2]string{{"POST", "/connectors/acme/restart"}, {"GET", "/connectors/acme/offsets"}, {"DELETE", "/connectors/acme/offsets/invoices"}} {
		if rec := ask(p.api, r[0], r[1]+"?forward=false", ""); rec.Code != 409 || !strings.Contains(rec.Body.String(), conflict) {
			t.Errorf("%v: %d %s", r, rec.Code, rec.Body)
		}
	}
	if n := p.calls.Load(); n > 0 {
		t.Errorf("%d calls", n)
	}
}

func TestAWorkerThatDoesNotAnswerMakesItsTasksUnassigned(t *testing.T) {
	for name, answers := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"it breaks off": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"it refuses": func(rw http.ResponseWriter, _ *http.Request) bool {
			send(rw, nil, &apiError{http.StatusUnauthorized, "who are you"})
			return true
		},
		"it is something else": func(rw http.ResponseWriter, _ *http.Request) bool {
			_, _ = rw.Write([]byte("<html>"))
			return true
		},
		"it does not know the connector": func(rw http.ResponseWriter, _ *http.Request) bool {
			_, _ = rw.Write([]byte("{}"))
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.answers = answers
			rec := ask(p.api, "GET", "/connectors/acme/status", "")
			var got stateInfo
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Connector.State != "UNASSIGNED" || !strings.HasPrefix(got.Connector.Trace, "Unreachable: worker other:1") || len(got.Tasks) != 2 ||
				got.Tasks[1].State != "UNASSIGNED" || got.Tasks[1].Trace != got.Connector.Trace {
				t.Errorf("%+v", got)
			}
			if name == "it refuses" && !strings.HasSuffix(got.Connector.Trace, ": who are you; set rest.forward.token in this worker's file, or list its certificate in rest.auth.file") {
				t.Errorf("no remedy: %s", got.Connector.Trace)
			}
			p.first.change("acme", func(c *status.ConnectorStatus) { c.State = status.Paused })
			if rec := ask(p.api, "GET", "/connectors/acme/status", ""); !strings.Contains(rec.Body.String(), `"connector":{"state":"PAUSED"`) {
				t.Errorf("%s", rec.Body)
			}
		})
	}
}

// silent is a network in which nobody answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAWorkerThatHangsIsWaitedForAsLongAsReadingMayTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		a := f.api(t)
		a.o.Peers = &http.Client{Transport: silent{}}
		f.running(t, a)
		f.change("acme", func(c *status.ConnectorStatus) {
			c.Owner = status.Owner{WorkerID: "other:1", URL: "http://other:1"}
		})
		began := time.Now()
		rec := ask(a, "GET", "/connectors?expand=status", "")
		if took := time.Since(began); took != peerRead {
			t.Errorf("it took %v", took)
		}
		if got := rec.Body.String(); strings.Count(got, "Unreachable") != 3 {
			t.Errorf("%d %s", rec.Code, got)
		}
	})
}

func TestTheOwnerDoesItsWork(t *testing.T) {
	p := newPair(t)
	for _, x := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/connectors/acme/restart", "", 204, ""},
		{"POST", "/connectors/acme/restart?includeTasks=true&onlyFailed=true", "", 202, strings.Replace(acmeThere, "FAILED", "RESTARTING", 1)},
		{"POST", "/connectors/acme/tasks/0/restart", "", 204, ""},
		{"POST", "/connectors/acme/tasks/9/restart", "", 404, `{"error_code":404,"message":"Unknown task: acme-9"}`},
		{"GET", "/connectors/acme/offsets", "", 200, `{"offsets":[]}`},
		{"PATCH", "/connectors/acme/offsets/invoices", `{"updated_at":"2025-01-01T00:00:00Z"}`, 200, `{"message":"` + altered + `"}`},
		{"GET", "/connectors/acme/offsets/invoices", "", 200, `{"partition":{"tenant":"acme","object":"invoices"},"offset":{"updated_at":"2025-01-01T00:00:00Z","id":0}}`},
	} {
		rec := ask(p.api, x.method, x.path, x.body)
		if rec.Code != x.status || rec.Body.String() != x.want {
			t.Errorf("%s %s: %d %s", x.method, x.path, rec.Code, rec.Body)
		}
		if err := describe(t).check(x.method, p.api.pattern(x.path), rec); err != nil {
			t.Error(err)
		}
	}
	if len(p.first.restarted) != 0 || len(p.second.restarted) != 3 {
		t.Errorf("restarted here %v, there %v", p.first.restarted, p.second.restarted)
	}
	p.answers = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }
	rec := ask(p.api, "POST", "/connectors/acme/restart?secret=planted", "")
	if got := rec.Body.String(); rec.Code != 500 || !strings.HasPrefix(got, `{"error_code":500,"message":"IO Error trying to forward REST request: worker other:1: `) || strings.Contains(got, "planted") {
		t.Errorf("%d %s", rec.Code, got)
	}
}

func TestHealthOfTheGroup(t *testing.T) {
	p := newPair(t)
	all, err := p.api.Health(t.Context())
	if err != nil || len(all) != 3 || all[0].Name != "acme" || all[0].Tasks[1].State != "FAILED" || all[2].Name != "gamma" {
		t.Errorf("%+v, %v", all, err)
	}
	p.first.ready = connector.ErrStarting
	if _, err := p.api.Health(t.Context()); err == nil {
		t.Error("a worker that starts tells of all connectors")
	}
}

// What another worker has changed a moment ago is read before it is taken not to be.
func TestWhatAnotherWorkerHasJustDoneCounts(t *testing.T) {
	f := newFake(t)
	a := f.api(t)
	f.running(t, a)
	c := f.connectors["acme"]
	c.State = status.Stopped
	f.elsewhere = map[string]status.ConnectorStatus{"acme": c}
	if rec := ask(a, "DELETE", "/connectors/acme/offsets", ""); rec.Code != 200 {
		t.Errorf("stopped elsewhere: %d %s", rec.Code, rec.Body)
	}
	delete(f.connectors, "acme")
	f.elsewhere = map[string]status.ConnectorStatus{"acme": c}
	if rec := ask(a, "PATCH", "/connectors/acme/config", `{"poll.interval.ms":"2000"}`); rec.Code != 200 {
		t.Errorf("made elsewhere: %d %s", rec.Code, rec.Body)
	}
	if rec := ask(a, "PATCH", "/connectors/nobody/config", `{"poll.interval.ms":"2000"}`); rec.Code != 404 {
		t.Errorf("made nowhere: %d %s", rec.Code, rec.Body)
	}
	f.ready = connector.ErrStarting
	if rec := ask(a, "GET", "/connectors/nobody/topics", ""); rec.Code != 503 {
		t.Errorf("topics of what is not read yet: %d %s", rec.Code, rec.Body)
	}
}

// An owner that does not answer keeps a request that only reads
// for peerRead, and one that changes something for longer.
func TestReadingDoesNotWaitForAnOwnerThatHangs(t *testing.T) {
	for method, path := range map[string]string{"GET": "/connectors/acme/offsets", "POST": "/connectors/acme/restart"} {
		p := newPair(t)
		var patience time.Duration
		p.api.o.Peers = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if deadline, bounded := r.Context().Deadline(); bounded {
				patience = time.Until(deadline)
			}
			return nil, context.DeadlineExceeded
		})}
		if rec := ask(p.api, method, path, ""); rec.Code != 500 {
			t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
		}
		if reads := method == "GET"; patience <= 0 || reads != (patience <= peerRead) {
			t.Errorf("%s waits %s", method, patience)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
