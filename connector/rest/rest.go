// Package rest answers Kafka Connect's REST API about a worker: what tools that know Connect ask to show connectors, tasks and their states.
//
// Beside it stands /metrics, for Prometheus. Everything here reads. Connectors come from files, and a request that would change one is answered with 405
// and says so.
package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coupastream/coupastream/connector"
)

// connectVersion is the version of Kafka whose REST API this is. Tools compare it.
const connectVersion = "4.1.0"

// Worker is what is told about. The calls are safe at any time.
type Worker interface {
	// Connectors lists the connectors with their tasks, by name.
	Connectors() []connector.ConnectorStatus
	// ClusterID is the Kafka cluster's id, "" until it is known.
	ClusterID() string
	// Metrics are those of the worker and its process.
	Metrics() prometheus.Gatherer
}

// Info says who answers.
type Info struct {
	Version  string // of coupastream
	Commit   string
	WorkerID string // host:port of the listener
}

type handler struct {
	w    Worker
	info Info
}

// New makes the handler of the API.
func New(w Worker, info Info) http.Handler {
	h := &handler{w, info}
	mux := http.NewServeMux()
	get := func(path string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
			if changes(r) {
				send(rw, nil, readOnly)
				return
			}
			body, err := f(r)
			send(rw, body, err)
		})
	}
	get("/{$}", h.root)
	get("/health", h.health)
	get("/connectors", h.connectors)
	get("/connectors/{name}", h.connector)
	get("/connectors/{name}/config", h.config)
	get("/connectors/{name}/status", h.status)
	get("/connectors/{name}/tasks", h.tasks)
	get("/connectors/{name}/tasks/{task}/status", h.taskStatus)
	get("/connectors/{name}/topics", h.topics)
	get("/connectors/{name}/offsets", h.offsets)
	get("/connector-plugins", h.plugins)
	metrics := promhttp.HandlerFor(w.Metrics(), promhttp.HandlerOpts{})
	mux.HandleFunc("/metrics", func(rw http.ResponseWriter, r *http.Request) {
		if changes(r) {
			send(rw, nil, readOnly)
			return
		}
		metrics.ServeHTTP(rw, r)
	})
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		if changes(r) {
			send(rw, nil, readOnly)
			return
		}
		send(rw, nil, &apiError{http.StatusNotFound, "HTTP 404 Not Found"})
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// Clients write paths with and without a trailing slash; a redirect would break those that do.
		if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
			r = r.Clone(r.Context())
			r.URL.Path, r.URL.RawPath = strings.TrimSuffix(p, "/"), strings.TrimSuffix(r.URL.RawPath, "/")
		}
		mux.ServeHTTP(rw, r)
	})
}

// apiError is an error as Connect writes it.
type apiError struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return e.Message }

// readOnly answers requests that would change something.
var readOnly = &apiError{http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed: connectors of this worker come from its files"}

func changes(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// healthState is the one answer whose form is the same whatever its status.
type healthState struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func send(rw http.ResponseWriter, body any, err error) {
	rw.Header().Set("Content-Type", "application/json")
	var e *apiError
	if errors.As(err, &e) {
		rw.WriteHeader(e.Code)
		body = e
	} else if h, ok := body.(healthState); ok && h.Status != "healthy" {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(rw).Encode(body)
}

func (h *handler) root(*http.Request) (any, error) {
	return struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Cluster string `json:"kafka_cluster_id"`
	}{connectVersion, h.info.Commit, h.w.ClusterID()}, nil
}

func (h *handler) health(*http.Request) (any, error) {
	if h.w.ClusterID() == "" {
		return healthState{"starting", "Worker is still starting up."}, nil
	}
	return healthState{"healthy", "Worker has completed startup and is ready to handle requests."}, nil
}

func (h *handler) connectors(r *http.Request) (any, error) {
	all := h.w.Connectors()
	expand := r.URL.Query()["expand"]
	if len(expand) == 0 {
		names := []string{}
		for _, c := range all {
			names = append(names, c.Name)
		}
		return names, nil
	}
	expanded := map[string]map[string]any{}
	for _, c := range all {
		e := map[string]any{}
		if slices.Contains(expand, "status") {
			e["status"] = h.stateOf(c)
		}
		if slices.Contains(expand, "info") {
			e["info"] = infoOf(c)
		}
		expanded[c.Name] = e
	}
	return expanded, nil
}

// find looks up the connector of a request; missing is Connect's wording of the path's 404.
func (h *handler) find(r *http.Request, missing string) (connector.ConnectorStatus, error) {
	name := r.PathValue("name")
	for _, c := range h.w.Connectors() {
		if c.Name == name {
			return c, nil
		}
	}
	return connector.ConnectorStatus{}, &apiError{http.StatusNotFound, fmt.Sprintf(missing, name)}
}

const notFound = "Connector %s not found"

func (h *handler) connector(r *http.Request) (any, error) {
	c, err := h.find(r, notFound)
	return infoOf(c), err
}

func (h *handler) config(r *http.Request) (any, error) {
	c, err := h.find(r, notFound)
	return c.Config, err
}

func (h *handler) status(r *http.Request) (any, error) {
	c, err := h.find(r, "No status found for connector %s")
	return h.stateOf(c), err
}

func (h *handler) tasks(r *http.Request) (any, error) {
	c, err := h.find(r, notFound)
	tasks := []any{}
	for _, t := range c.Tasks {
		tasks = append(tasks, map[string]any{"id": taskID{c.Name, t.ID}, "config": map[string]string{"object": t.Object, "topic": t.Topic}})
	}
	return tasks, err
}

func (h *handler) taskStatus(r *http.Request) (any, error) {
	c, err := h.find(r, "No status found for connector %s")
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(r.PathValue("task"))
	if err != nil {
		return nil, &apiError{http.StatusNotFound, "HTTP 404 Not Found"}
	}
	if n < 0 || n >= len(c.Tasks) {
		return nil, &apiError{http.StatusNotFound, fmt.Sprintf("No status found for task %s-%d", c.Name, n)}
	}
	return h.taskOf(c.Tasks[n]), nil
}

func (h *handler) topics(r *http.Request) (any, error) {
	name := r.PathValue("name")
	topics := []string{}
	if c, err := h.find(r, notFound); err == nil {
		for _, t := range c.Tasks {
			topics = append(topics, t.Topic)
		}
	}
	return map[string]any{name: map[string]any{"topics": topics}}, nil
}

// offsets tells the committed position of every object: its mark, and the lowest id that a backfill, or else a walk, in progress has still to read.
func (h *handler) offsets(r *http.Request) (any, error) {
	c, err := h.find(r, notFound)
	offsets := []any{}
	for _, t := range c.Tasks {
		if t.Committed.Seq == 0 {
			continue
		}
		offset := map[string]any{"updated_at": nil, "id": 0}
		if !t.Committed.Mark.IsZero() {
			offset["updated_at"] = t.Committed.Mark.UTC().Format("2006-01-02T15:04:05Z")
		}
		w := t.Committed.Backfill
		if w == nil {
			w = t.Committed.Walk
		}
		if w != nil && len(w.Ranges) > 0 {
			offset["id"] = w.Ranges[0].After
		}
		offsets = append(offsets, map[string]any{"partition": map[string]any{"tenant": c.Tenant, "object": t.Object}, "offset": offset})
	}
	return map[string]any{"offsets": offsets}, err
}

func (h *handler) plugins(*http.Request) (any, error) {
	return []any{map[string]string{"class": "CoupaSource", "type": "source", "version": h.info.Version}}, nil
}

type taskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

func infoOf(c connector.ConnectorStatus) any {
	tasks := []taskID{}
	for _, t := range c.Tasks {
		tasks = append(tasks, taskID{c.Name, t.ID})
	}
	return struct {
		Name   string            `json:"name"`
		Config map[string]string `json:"config"`
		Tasks  []taskID          `json:"tasks"`
		Type   string            `json:"type"`
	}{c.Name, c.Config, tasks, "source"}
}

type taskState struct {
	ID       int    `json:"id"`
	State    string `json:"state"`
	WorkerID string `json:"worker_id"`
	Version  string `json:"version"`
	Trace    string `json:"trace,omitempty"`
	// What follows is ours, and there only when it says something: rows that went to the dead letter topic, records with cut texts, and values of custom fields that are
	// JSON text in unmapped, by field.
	DeadLetters int64            `json:"dead_letters,omitempty"`
	Trimmed     int64            `json:"trimmed,omitempty"`
	Unfit       map[string]int64 `json:"custom_fields_in_unmapped,omitempty"`
}

func (h *handler) taskOf(t connector.TaskStatus) taskState {
	return taskState{t.ID, string(t.State), h.info.WorkerID, h.info.Version, t.Trace, t.DeadLetters, t.Trimmed, t.Unfit}
}

func (h *handler) stateOf(c connector.ConnectorStatus) any {
	tasks := []taskState{}
	for _, t := range c.Tasks {
		tasks = append(tasks, h.taskOf(t))
	}
	type state struct {
		State    string `json:"state"`
		WorkerID string `json:"worker_id"`
		Version  string `json:"version"`
	}
	return struct {
		Name      string      `json:"name"`
		Connector state       `json:"connector"`
		Tasks     []taskState `json:"tasks"`
		Type      string      `json:"type"`
	}{c.Name, state{string(c.State), h.info.WorkerID, h.info.Version}, tasks, "source"}
}
