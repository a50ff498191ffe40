// Package ui is the status page: every object of every connector at
// a glance, one object's detail, and the actions of the REST API.
//
// The page is HTML, CSS and JavaScript modules in assets, as they stand, without a build step;
// they are embedded, and nothing is asked of another host. It draws the overview from the
// events of /ui/events and a connector's detail from GET /connectors/{name}/health, which it
// asks again when an event says that the connector changed. Actions are requests to the REST
// API, with the header X-Requested-With: coupastream, which a form of another site can't send.
//
// # Events
//
// GET /ui/events is a stream of server-sent events:
//
//	event      data
//	health     {"at": 1700000000000, "now": …, "full": true, "trouble": "",
//	           "connectors": {"acme": {…, "tasks": {"0": {…}}}}, "removed": ["gone"]}
//	heartbeat  {"at": 1700000000000, "now": 1700000000000}
//
// "at" is when the source was last read, "now" the server's clock, both in milliseconds since 1970.
// A health event with "full" replaces all that was known. One without has what changed since the
// event before: connectors without "whole" keep the tasks that aren't named. An event's id goes
// back in the header Last-Event-ID, or in the query's after, and the stream goes on from there.
//
// All streams share one reading of the source, at most one a second and, where
// it takes long, a tenth of the time. Nobody reads while there is no stream.
package ui

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
)

//go:embed assets
var embedded embed.FS

// Source knows the connectors. Its calls are safe at any time.
type Source interface {
	// Health tells of every connector of the group.
	Health(ctx context.Context) ([]rest.Health, error)
	// Watch signals after changes, several together as one, until ctx ends.
	Watch(ctx context.Context) <-chan struct{}
}

// Handler serves the page under /ui/.
type Handler struct {
	hub    *hub
	assets map[string]asset // by file name
	mux    *http.ServeMux
}

type asset struct {
	content []byte
	kind    string // media type
	tag     string
}

// kinds are the media types of the assets; the machine's own table may lack one.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// New makes the page of a source. The handler is mounted at /ui and below, and is closed when the
// server shuts down (http.Server.RegisterOnShutdown), or its streams would hold the shutdown up.
func New(source Source) *Handler {
	h := &Handler{hub: newHub(source), assets: load(), mux: http.NewServeMux()}
	h.mux.HandleFunc("GET /ui", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", "ui/") // relative: what stands before it may have put a path before ours
		rw.WriteHeader(http.StatusFound)
	})
	h.mux.HandleFunc("GET /ui/{$}", func(rw http.ResponseWriter, r *http.Request) { h.serve(rw, r, "index.html") })
	h.mux.HandleFunc("GET /ui/{file}", func(rw http.ResponseWriter, r *http.Request) { h.serve(rw, r, r.PathValue("file")) })
	h.mux.HandleFunc("GET /ui/session", session)
	h.mux.HandleFunc("GET /ui/events", h.events)
	return h
}

// Close ends the streams and refuses others.
func (h *Handler) Close() { h.hub.close() }

// policy lets the page do what it does and nothing else: own scripts and styles from
// files, requests to where it came from, no markup from strings, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	header := rw.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.mux.ServeHTTP(rw, r)
}

// session tells the page who looks at it: to somebody who may only read it shows no actions.
func session(rw http.ResponseWriter, r *http.Request) {
	caller := security.CallerOf(r.Context())
	rw.Header().Set("Cache-Control", "no-store")
	answer(rw, http.StatusOK, struct {
		Role security.Role `json:"role"`
		User string        `json:"user,omitempty"`
	}{caller.Role, caller.Name})
}

// serve sends a file. A browser asks each time whether its copy is the present
// one: another version of the program has other files under the same names.
func (h *Handler) serve(rw http.ResponseWriter, r *http.Request, file string) {
	a, ok := h.assets[file]
	if !ok {
		answer(rw, http.StatusNotFound, problem{http.StatusNotFound, "HTTP 404 Not Found"})
		return
	}
	rw.Header().Set("Content-Type", a.kind)
	rw.Header().Set("Cache-Control", "no-cache")
	rw.Header().Set("ETag", a.tag)
	http.ServeContent(rw, r, file, time.Time{}, bytes.NewReader(a.content))
}

func load() map[string]asset {
	assets := map[string]asset{}
	files, err := fs.Glob(embedded, "assets/*")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, file := range files {
		content, err := embedded.ReadFile(file)
		if err != nil {
			panic(err) // it was listed
		}
		sum := sha256.Sum256(content)
		assets[path.Base(file)] = asset{content, kinds[path.Ext(file)], `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return assets
}

// problem is an error as the REST API writes it.
type problem struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func answer(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body)
}
