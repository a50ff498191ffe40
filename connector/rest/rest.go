// Package rest is Kafka Connect's REST API for a worker: what tools that know Connect ask and
// order works unchanged, with the paths, status codes and wording of a distributed Connect worker.
//
// # What is beside Connect's
//
// Health beside the closed set of states (health.go), the offset of one
// object (offsets.go), snapshots (snapshots.go), comparisons (verified.go), the doorbell (hooks.go), why
// a row is in its topic or is not (explain.go), the data contract of the topics (contract.go), probes and
// metrics (probes.go), and the description of all of it, /openapi.json (openapi.go).
//
// # Where a route is
//
// A route is declared in one file: its path, its handler, and beside these what that asks of the
// worker. The method decides the rest: requests that only read are for every role (package
// security), wait for other workers for peerRead at most, and are logged at DEBUG. openapi.yaml
// describes the route, and testdata has a session that asks it; tests fail where one is missing.
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
// A doorbell is passed on behind the answer, by a goroutine for each object that rings (hooks.go).
// Reading never waits longer than peerRead, whatever the brokers or other workers do; explain.go
// alone does, since it asks Coupa and reads topics.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// connectVersion is the version of Kafka whose REST API this is. Tools compare it.
const connectVersion = "4.1.0"

// class is the one connector plugin.
const class = "CoupaSource"

// Worker is what is asked: each part stands beside the handlers that ask it.
type Worker interface {
	reader
	changer
	owner
	ringer
	process
}

// Options say who answers, and with what besides the worker.
type Options struct {
	Version string // of coupastream
	Commit  string
	Loggers Loggers
	Hooks   bool // there are doorbells
	// Peers sends requests to other workers of the group. It follows no
	// redirects: a worker sends none, and credentials are not for others.
	Peers *http.Client
	Log   *slog.Logger
}

// API answers requests.
type API struct {
	reader  reader
	changer changer
	owner   owner
	ringer  ringer
	process process
	o       Options
	log     *slog.Logger
	metrics http.Handler
	routes  []route
	relays  relays
	ui      http.Handler
	now     func() time.Time
}

// New makes the API of a worker.
func New(w Worker, o Options) *API {
	a := &API{
		reader: w, changer: w, owner: w, ringer: w, process: w, o: o, log: o.Log, now: time.Now,
		relays:  relays{log: o.Log, underway: map[string]*relay{}},
		metrics: promhttp.HandlerFor(w.Metrics(), promhttp.HandlerOpts{}),
	}
	a.routes = slices.Concat(a.workerRoutes(), a.descriptionRoutes(), a.connectorRoutes(), a.statusRoutes(), a.lifecycleRoutes(),
		a.offsetRoutes(), a.snapshotRoutes(), a.deleteRoutes(), a.verifiedRoutes(), a.hookRoutes(), a.explainRoutes(), a.contractRoutes(), a.pluginRoutes(), a.loggerRoutes())
	return a
}

// Watch signals after changes of what is told here, several together as one, until ctx ends.
func (a *API) Watch(ctx context.Context) <-chan struct{} { return a.reader.Watch(ctx) }

// MountUI has h answer /ui/ and what is below, and browsers that
// open / are sent there. It is called before the API serves.
func (a *API) MountUI(h http.Handler) { a.ui = h }
