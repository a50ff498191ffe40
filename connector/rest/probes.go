package rest

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupastream/coupastream/connector"
)

// process is the worker itself, whatever its connectors do.
type process interface {
	ClusterID() string
	Reachable() error // nil: the brokers answer
	Metrics() prometheus.Gatherer
}

// workerRoutes are those of the worker itself.
func (a *API) workerRoutes() []route {
	return []route{
		{method: "GET", path: "/", do: a.root},
		{method: "GET", path: "/health", do: a.health},
		{method: "GET", path: "/livez", do: a.livez, text: true},
		{method: "GET", path: "/readyz", do: a.readyz, text: true},
		{method: "GET", path: "/metrics", do: a.metricsText, text: true},
	}
}

func (a *API) root(*request) (*answer, error) {
	return ok(struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		Cluster string `json:"kafka_cluster_id"`
	}{connectVersion, a.o.Commit, a.process.ClusterID()})
}

// healthState is Connect's answer of /health, in the same form whatever its status.
type healthState struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// health tells of the worker alone: what fails in a connector is none of its business.
func (a *API) health(*request) (*answer, error) {
	switch err := a.able(); {
	case err == nil:
		return ok(healthState{"healthy", "Worker has completed startup and is ready to handle requests."})
	case errors.Is(err, connector.ErrStarting):
		return &answer{status: http.StatusServiceUnavailable, body: healthState{"starting", "Worker is still starting up."}}, nil
	default:
		return &answer{status: http.StatusInternalServerError,
			body: healthState{"unhealthy", "Worker was unable to handle this request and may be unable to handle other requests. " + err.Error()}}, nil
	}
}

// able is nil where the worker has started and the brokers answer it.
func (a *API) able() error {
	if err := a.reader.Ready(); err != nil {
		return err
	}
	return a.process.Reachable()
}

// probe answers Kubernetes, and people, in a word; in JSON those that ask for it.
func probe(r *request, status int, state, why string) *answer {
	if ranges(r.Header.Values("Accept"))["application/json"] > 0 {
		return &answer{status: status, body: healthState{state, why}}
	}
	text := state
	if why != "" {
		text += ": " + why
	}
	return &answer{status: status, body: []byte(text + "\n"), contentType: "text/plain; charset=utf-8"}
}

// livez says that the process answers. Restarting it would help against nothing that it can tell.
func (a *API) livez(r *request) (*answer, error) { return probe(r, http.StatusOK, "ok", ""), nil }

// readyz says whether the worker knows its connectors and the brokers answer it.
func (a *API) readyz(r *request) (*answer, error) {
	if err := a.able(); err != nil {
		return probe(r, http.StatusServiceUnavailable, "not ready", err.Error()), nil
	}
	return probe(r, http.StatusOK, "ok", ""), nil
}

// metricsText leaves the answer to Prometheus' handler, which negotiates its form.
func (a *API) metricsText(*request) (*answer, error) { return &answer{instead: a.metrics}, nil }
