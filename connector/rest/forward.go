package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/rest/security"
	"github.com/coupastream/coupastream/connector/status"
)

const (
	peerRead  = 3 * time.Second // the longest that reading waits for another worker
	ownerRead = 2 * time.Second // and for what is to be read here, so that its answer is in time
	// the largest answer of another worker: a thousand connectors with all their tasks
	maxAnswer  = 64 << 20
	forwardKey = "forward"
	askedByKey = "asked_by" // who sent what is passed on, for the log
)

// owner is what only the worker that runs a connector's tasks knows or can do; with others
// it fails with *connector.NotOwnerError. ownersWork asks it, and passes requests on.
type owner interface {
	restarter
	offsetOwner
	snapshotOwner
	explainer
	deleteOwner
}

// mayForward tells whether the request may be passed on: it was not passed on to here.
func mayForward(r *request) bool {
	given := r.URL.Query().Get(forwardKey)
	return given == "" || strings.EqualFold(given, "true")
}

// ownersWork does here what this worker may do as the owner of c, or has the owner do it.
func (a *API) ownersWork(r *request, c status.ConnectorStatus, missing string, here func(context.Context) (*answer, error)) (*answer, error) {
	patience := changeTimeout
	if security.Reads(r.Method) {
		patience = ownerRead
	}
	return a.ownersWorkWithin(r, c, missing, patience, a.forward(r), here)
}

// ownersWorkWithin is ownersWork that takes so long at most; forward passes the request on.
func (a *API) ownersWorkWithin(r *request, c status.ConnectorStatus, missing string, patience time.Duration,
	forward func(context.Context, status.Owner) (*answer, error), here func(context.Context) (*answer, error),
) (*answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	got, err := here(ctx)
	other, elsewhere := errors.AsType[*connector.NotOwnerError](err)
	switch {
	case err == nil:
		return got, nil
	case !elsewhere:
		return nil, a.failed(err, c.Name, missing)
	case !mayForward(r):
		return nil, &apiError{http.StatusConflict, conflict}
	case other.Owner.URL == "":
		return nil, &apiError{http.StatusConflict, noOwner}
	}
	// the answer is on its way a while
	ctx, cancel = context.WithTimeout(r.Context(), patience+peerRead-ownerRead)
	defer cancel()
	got, err = forward(ctx, other.Owner)
	if err != nil {
		return nil, &apiError{http.StatusInternalServerError, "IO Error trying to forward REST request: " + err.Error()}
	}
	return got, nil
}

// forward passes a request on as it came.
func (a *API) forward(r *request) func(context.Context, status.Owner) (*answer, error) {
	return func(ctx context.Context, to status.Owner) (*answer, error) {
		return a.ask(ctx, r.Header, to, r.Method, r.URL.EscapedPath(), r.URL.Query(), r.body)
	}
}

// ask sends a request to another worker, in the name of who asked here with
// the headers from, and gives its answer whatever its status.
func (a *API) ask(ctx context.Context, from http.Header, to status.Owner, method, path string, query url.Values, body []byte) (*answer, error) {
	in, err := a.open(ctx, from, to, method, path, query, body, "application/json")
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Body.Close() }()
	return answerOf(in, to)
}

// open sends a request to another worker, for an answer of a media type. The caller closes its body.
func (a *API) open(ctx context.Context, from http.Header, to status.Owner, method, path string, query url.Values, body []byte, accept string) (*http.Response, error) {
	values := url.Values{}
	for k, v := range query {
		values[k] = v
	}
	values.Set(forwardKey, "false")
	values.Del(askedByKey)
	if name := security.CallerOf(ctx).Name; name != "" && !security.Reads(method) {
		values.Set(askedByKey, name)
	}
	out, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(to.URL, "/")+path+"?"+values.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the address of worker %s: %w", to.WorkerID, err)
	}
	for _, name := range []string{"Authorization", "Content-Type"} {
		if given := from.Get(name); given != "" {
			out.Header.Set(name, given)
		}
	}
	out.Header.Set("Accept", accept)
	in, err := a.o.Peers.Do(out)
	if err != nil {
		if wrapped, isURL := errors.AsType[*url.Error](err); isURL { // without the query
			err = wrapped.Err
		}
		return nil, fmt.Errorf("worker %s: %w", to.WorkerID, err)
	}
	return in, nil
}

// answerOf reads what another worker has answered.
func answerOf(in *http.Response, of status.Owner) (*answer, error) {
	text, err := io.ReadAll(io.LimitReader(in.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", of.WorkerID, err)
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("worker %s: its answer is larger than %d bytes", of.WorkerID, maxAnswer)
	}
	got := &answer{status: in.StatusCode, contentType: in.Header.Get("Content-Type")}
	if len(text) > 0 {
		got.body = text
	}
	return got, nil
}

// Health tells of every connector of the group, by name. It is for the
// page, which has no request of its own to pass credentials on from.
func (a *API) Health(ctx context.Context) ([]Health, error) {
	if err := a.reader.Ready(); errors.Is(err, connector.ErrStarting) {
		return nil, err
	}
	var all []Health
	for _, one := range a.reports(ctx, nil, true, a.reader.Connectors()) {
		all = append(all, one.Health)
	}
	slices.SortFunc(all, func(a, b Health) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// report is what the owner of a connector tells of it.
type report struct {
	Status stateInfo `json:"status"`
	Health Health    `json:"health"`
}

// localReport is the report from what this worker knows.
func (a *API) localReport(c status.ConnectorStatus) report {
	return report{a.stateOf(c), HealthOf(c, a.now())}
}

// report gives the report of one connector.
func (a *API) report(r *request, c status.ConnectorStatus) report {
	return a.reports(r.Context(), r.Header, mayForward(r), []status.ConnectorStatus{c})[c.Name]
}

// reports gives the reports of connectors by name: from memory where they run here, run
// nowhere or are stopped, or else from their owners, which are asked side by side, each once
// and as ask does. Without forward nobody is asked.
func (a *API) reports(ctx context.Context, from http.Header, forward bool, all []status.ConnectorStatus) map[string]report {
	reports := make(map[string]report, len(all))
	remote := map[status.Owner][]status.ConnectorStatus{}
	for _, c := range all {
		if c.Owner.Local || c.Owner.URL == "" || c.State == status.Stopped || !forward {
			reports[c.Name] = a.localReport(c)
			continue
		}
		remote[c.Owner] = append(remote[c.Owner], c)
	}
	ctx, cancel := context.WithTimeout(ctx, peerRead)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for owner, theirs := range remote {
		wg.Go(func() {
			told, err := a.peerReports(ctx, from, owner, theirs)
			mu.Lock()
			defer mu.Unlock()
			for _, c := range theirs {
				one, found := told[c.Name]
				if !found {
					one = a.localReport(unreachable(c, err))
				}
				reports[c.Name] = one
			}
		})
	}
	wg.Wait()
	return reports
}

// peerReports asks another worker for its connectors.
func (a *API) peerReports(ctx context.Context, from http.Header, owner status.Owner, theirs []status.ConnectorStatus) (map[string]report, error) {
	path, query := "/connectors", url.Values{"expand": {"status", "health"}}
	if len(theirs) == 1 { // alone: the others would be told for nothing
		query.Set("name", theirs[0].Name)
	}
	got, err := a.ask(ctx, from, owner, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	body, _ := got.body.([]byte)
	if got.status != http.StatusOK {
		var said apiError
		_ = json.Unmarshal(body, &said)
		remedy := ""
		switch unauthorized := got.status == http.StatusUnauthorized; {
		case unauthorized && from.Get("Authorization") != "":
			remedy = "; give the workers one rest.auth.file"
		case unauthorized && security.CallerOf(ctx).Name != "": // by a certificate
			remedy = "; list this worker's certificate in rest.auth.file"
		case unauthorized:
			remedy = "; set rest.forward.token in this worker's file, or list its certificate in rest.auth.file"
		}
		return nil, fmt.Errorf("worker %s: %s%s", owner.WorkerID, cmp.Or(said.Message, fmt.Sprintf("HTTP %d", got.status)), remedy)
	}
	var told map[string]report
	if err := json.Unmarshal(body, &told); err != nil {
		return nil, fmt.Errorf("worker %s: %w", owner.WorkerID, err)
	}
	return told, nil
}

// unreachable is what is told of a connector whose owner does not answer.
func unreachable(c status.ConnectorStatus, err error) status.ConnectorStatus {
	why := fmt.Sprintf("Unreachable: worker %s runs it and does not tell its state", c.Owner.WorkerID)
	if err != nil {
		why += ": " + err.Error()
	}
	if c.State == status.Running {
		c.State, c.Trace = status.Unassigned, why
	}
	tasks := make([]status.TaskStatus, len(c.Tasks))
	for i, t := range c.Tasks {
		t.State, t.Trace = status.Unassigned, why
		tasks[i] = t
	}
	c.Tasks = tasks
	return c
}
