package security

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/coupastream/coupastream/connector/config"
)

// probePaths need no account: what asks them has none.
var probePaths = []string{"/livez", "/readyz"}

// Guard looks at requests before the API does.
type Guard struct {
	who     *authenticator // nil: nobody is asked, everybody may do everything
	hooks   bool           // there are doorbells
	open    []string
	hosts   []string
	origins *origins
	slots   slots
	log     *slog.Logger
}

// New makes the guard of a worker's listeners. The error is
// config.Problems if the accounts file can't be used.
func New(settings *config.Worker, log *slog.Logger) (*Guard, error) {
	origins, err := newOrigins(settings.AllowOrigins, settings.AllowMethods)
	if err != nil {
		return nil, err
	}
	g := &Guard{hooks: settings.Hooks, open: append(slices.Clone(probePaths), settings.OpenPaths...), hosts: settings.AllowedHosts, origins: origins, slots: newSlots(), log: log}
	if settings.AdvertisedHost != "" {
		g.hosts = append(slices.Clone(g.hosts), settings.AdvertisedHost)
	}
	if settings.AuthFile != "" {
		if g.who, err = newAuthenticator(settings.AuthFile, log); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Handler gives next the requests that the guard lets through.
// local says that they come in by a loopback listener.
func (g *Guard) Handler(next http.Handler, local bool) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		defer g.recovered(rw, r)
		headers(rw.Header())
		if local {
			if p := checkHost(r.Host, g.hosts); p != nil {
				p.answer(rw, r)
				return
			}
		}
		path := cleanPath(r.URL.Path)
		release, ok := g.slots.acquire(g.kind(r.Method, path))
		if !ok {
			(&problem{status: http.StatusServiceUnavailable, message: "the worker has too many requests at one time", retryAfter: "1"}).answer(rw, r)
			return
		}
		defer release()
		r, p := g.admit(rw, r, path)
		if p != nil {
			p.answer(rw, r)
			return
		}
		if r == nil {
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// kind is the kind of a request by what it may take of the worker.
func (g *Guard) kind(method, path string) kind {
	switch {
	case g.hooks && rings(method, path):
		return bell
	case AsksAsAgent(path):
		return agent
	case !Reads(method):
		return usual
	case slices.Contains(probePaths, path):
		return probe
	case path == streamPath && method == http.MethodGet:
		return stream
	case g.who != nil && slices.Contains(g.open, path):
		return open
	}
	return usual
}

// admit gives the request with its caller and body; none if it has been answered.
func (g *Guard) admit(rw http.ResponseWriter, r *http.Request, path string) (*http.Request, *problem) {
	switch answered, p := g.origins.check(rw, r); {
	case p != nil:
		return r, p
	case answered:
		return nil, nil
	}
	if g.hooks && g.who != nil && path == tokenPath && r.Method == http.MethodPost {
		g.who.grant(rw, r)
		return nil, nil
	}
	caller, p := g.caller(r, path)
	if p != nil {
		return r, p
	}
	read := readBody
	if g.kind(r.Method, path) == bell {
		read = dropBody
	}
	text, p := read(rw, r)
	if p != nil {
		return r, p
	}
	asked := r
	r = r.WithContext(admitted(r.Context(), caller, func() bool {
		_, p := g.caller(asked, path)
		// which somebody else of the address may have brought about
		return p == nil || p.status == http.StatusTooManyRequests
	}))
	r.Body, r.ContentLength = text, int64(text.Len())
	// a body that is left would be waited for without end
	if g.kind(r.Method, path) == stream && asked.ContentLength == 0 {
		clearDeadlines(rw)
	}
	return r, nil
}

// caller tells who sent a request, if he may send such.
func (g *Guard) caller(r *http.Request, path string) (Caller, *problem) {
	caller := Caller{Role: Admin}
	switch {
	case g.kind(r.Method, path) == probe:
		return Caller{Role: ReadOnly}, nil
	case !vouched(r):
		return Caller{}, &problem{status: http.StatusForbidden, message: "the client's certificate is none any more that listeners.https.ssl.ca.location vouches for", final: true}
	case g.who == nil:
	case Reads(r.Method) && slices.Contains(g.open, path):
		caller.Role = ReadOnly
	default:
		var p *problem
		if caller, p = g.who.caller(r); p != nil {
			return Caller{}, p
		}
	}
	if !caller.Role.may(r.Method, path) {
		return Caller{}, &problem{status: http.StatusForbidden, message: caller.Role.refusal()}
	}
	return caller, nil
}

// recovered answers for a handler that panicked. The log gets where,
// and not with what: the value may hold what nobody is to see.
func (g *Guard) recovered(rw http.ResponseWriter, r *http.Request) {
	value := recover()
	switch failure := value.(type) {
	case nil:
		return
	case error:
		if failure == http.ErrAbortHandler {
			panic(failure)
		}
	}
	what := fmt.Sprintf("%T", value)
	if failure, ok := value.(runtime.Error); ok {
		what = failure.Error()
	}
	g.log.Error("a request met a defect of the program", "method", r.Method, "path", r.URL.Path, "panic", what, "stack", string(debug.Stack()))
	(&problem{status: http.StatusInternalServerError, message: "the request met a defect of the program; the worker's log has it"}).answer(rw, r)
}

// headers are those of every answer; a handler may replace one.
func headers(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	// not no-referrer: browsers would send "Origin: null" from pages of our own
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// cleanPath is a path without the slash that clients may put at its end.
func cleanPath(path string) string {
	if len(path) > 1 && path[len(path)-1] == '/' {
		return path[:len(path)-1]
	}
	return path
}

// problem is a request that is not let through.
type problem struct {
	status     int
	message    string
	challenges []string // WWW-Authenticate
	retryAfter string   // seconds
	final      bool     // nothing else is answered on this connection
}

// answer writes the problem as Connect writes errors. Nobody reads what is left of the request's body.
func (p *problem) answer(rw http.ResponseWriter, r *http.Request) {
	if p.final {
		rw.Header().Set("Connection", "close")
	}
	leaveBody(rw, r)
	for _, c := range p.challenges {
		rw.Header().Add("WWW-Authenticate", c)
	}
	if p.retryAfter != "" {
		rw.Header().Set("Retry-After", p.retryAfter)
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(p.status)
	_ = json.NewEncoder(rw).Encode(struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}{p.status, fmt.Sprintf("HTTP %d %s: %s", p.status, http.StatusText(p.status), p.message)})
}
