// Package rest is Kafka Connect's REST API for a worker: what tools that know Connect ask and
// order works unchanged, with the paths, status codes and wording of a distributed Connect worker.
//
// # What is beside Connect's
//
// Health beside the closed set of states (health.go), the offset of one
// object (offsets.go), snapshots (snapshots.go), probes and metrics
// (probes.go), and the description of all of it, /openapi.json (openapi.go).
//
// # What differs from Connect
//
// A mistake of the caller is 400 where Connect answers 500 (a body that is not JSON, a plugin that
// does not exist). Unknown configuration keys are errors. A secret has to be a reference. Names
// that a path can't carry are refused. An answer that is an error always has a Content-Type.
//
// # Who answers
//
// Any worker of a group. What the group knows together (configurations, target states) is read
// from memory and changed by whoever is asked. What only the worker that runs a connector's
// tasks knows or can do (forward.go) is asked from it, with forward=false so that it is never
// passed on twice; where reading from it fails, the answer says so: UNASSIGNED, with a trace.
// Reading never waits longer than peerRead, whatever the brokers or other workers do.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector"
)

// connectVersion is the version of Kafka whose REST API this is. Tools compare it.
const connectVersion = "4.1.0"

// class is the one connector plugin.
const class = "CoupaSource"

// Worker is what is asked. Reads answer from memory and are safe at any time.
// Changes are durable on return: any worker of the group makes them, but for
// those that are the owner's, which fail with *connector.NotOwnerError elsewhere.
type Worker interface {
	Connectors() []connector.ConnectorStatus
	Connector(name string) (connector.ConnectorStatus, error)
	Create(ctx context.Context, name string, cfg map[string]string, initial connector.State) (connector.ConnectorStatus, error)
	Configure(ctx context.Context, name string, cfg map[string]string) (c connector.ConnectorStatus, created bool, err error)
	Patch(ctx context.Context, name string, changes map[string]*string) (connector.ConnectorStatus, error)
	Delete(ctx context.Context, name string) error
	SetState(ctx context.Context, name string, s connector.State) error
	// config.Problems of a configuration that would not be taken; changes nothing
	Validate(cfg map[string]string) error

	Refresh(ctx context.Context) error // what other workers have changed until now is known then

	SetLoggerLevel(ctx context.Context, logger, level string) error // in every worker of the group

	// The owner's:
	Restart(ctx context.Context, name string, r connector.RestartRequest) (connector.ConnectorStatus, error)
	Offsets(ctx context.Context, name string) ([]connector.Offset, error)
	// of a STOPPED connector
	AlterOffsets(ctx context.Context, name string, offsets []connector.Offset) error
	MoveOffsets(ctx context.Context, name string, offsets []connector.Offset) error // in any state
	// of a STOPPED connector
	ResetOffsets(ctx context.Context, name string) error
	Snapshot(ctx context.Context, name string, r connector.SnapshotRequest) (connector.Snapshot, error)
	Snapshots(ctx context.Context, name string) ([]connector.Snapshot, error)
	SetSnapshot(ctx context.Context, name, id string, state checkpoint.RequestState) error

	ClusterID() string
	Ready() error     // nil: started; connector.ErrStarting: not yet
	Reachable() error // nil: the brokers answer
	Watch(ctx context.Context) <-chan struct{}
	Metrics() prometheus.Gatherer
}

// Options say who answers, and with what besides the worker.
type Options struct {
	Version string // of coupastream
	Commit  string
	Loggers Loggers
	// Peers sends requests to other workers of the group. It follows no
	// redirects: a worker sends none, and credentials are not for others.
	Peers *http.Client
	Log   *slog.Logger
}

// API answers requests.
type API struct {
	w       Worker
	o       Options
	log     *slog.Logger
	metrics http.Handler
	routes  []route
	ui      http.Handler
	now     func() time.Time
}

// New makes the API of a worker.
func New(w Worker, o Options) *API {
	a := &API{w: w, o: o, log: o.Log, now: time.Now, metrics: promhttp.HandlerFor(w.Metrics(), promhttp.HandlerOpts{})}
	a.routes = a.table()
	return a
}

// Watch signals after changes of what is told here, several together as one, until ctx ends.
func (a *API) Watch(ctx context.Context) <-chan struct{} { return a.w.Watch(ctx) }

// MountUI has h answer /ui/ and what is below, and browsers that
// open / are sent there. It is called before the API serves.
func (a *API) MountUI(h http.Handler) { a.ui = h }

// table is every route there is. A method that Changes does not name only reads.
func (a *API) table() []route {
	const one = "/connectors/{name}"
	return []route{
		{"GET", "/", a.root},
		{"GET", "/health", a.health},
		{"GET", "/livez", a.livez},
		{"GET", "/readyz", a.readyz},
		{"GET", "/metrics", a.metricsText},
		{"GET", "/openapi.json", a.openAPIJSON},
		{"GET", "/openapi.yaml", a.openAPIYAML},

		{"GET", "/connectors", a.list},
		{"POST", "/connectors", a.create},
		{"GET", one, a.info},
		{"DELETE", one, a.delete},
		{"GET", one + "/config", a.config},
		{"PUT", one + "/config", a.configure},
		{"PATCH", one + "/config", a.patch},
		{"GET", one + "/status", a.status},
		{"GET", one + "/health", a.connectorHealth},
		{"GET", one + "/tasks", a.tasks},
		{"GET", one + "/tasks/{task}/status", a.taskStatus},
		{"GET", one + "/topics", a.topics},
		{"PUT", one + "/topics/reset", a.resetTopics},

		{"PUT", one + "/pause", a.pause},
		{"PUT", one + "/resume", a.resume},
		{"PUT", one + "/stop", a.stop},
		{"POST", one + "/restart", a.restart},
		{"POST", one + "/tasks/{task}/restart", a.restartTask},

		{"GET", one + "/offsets", a.offsets},
		{"PATCH", one + "/offsets", a.alterOffsets},
		{"DELETE", one + "/offsets", a.resetOffsets},
		{"GET", one + "/offsets/{object}", a.objectOffset},
		{"PATCH", one + "/offsets/{object}", a.alterObjectOffset},
		{"DELETE", one + "/offsets/{object}", a.resetObjectOffset},

		{"GET", one + "/snapshots", a.snapshots},
		{"POST", one + "/snapshots", a.takeSnapshot},
		{"DELETE", one + "/snapshots/{snapshot}", a.cancelSnapshot},
		{"PUT", one + "/snapshots/{snapshot}/pause", a.pauseSnapshot},
		{"PUT", one + "/snapshots/{snapshot}/resume", a.resumeSnapshot},

		{"GET", "/connector-plugins", a.plugins},
		{"GET", "/connector-plugins/{plugin}/config", a.pluginConfig},
		{"PUT", "/connector-plugins/{plugin}/config/validate", a.validate},

		{"GET", "/admin/loggers", a.loggers},
		{"GET", "/admin/loggers/{logger}", a.logger},
		{"PUT", "/admin/loggers/{logger}", a.setLogger},
	}
}
