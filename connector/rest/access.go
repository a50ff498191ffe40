package rest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector/rest/security"
)

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// access writes the line of one request: those that change something and those that failed here
// at INFO, and the many that read or ring at DEBUG. Queries and bodies are left out.
func (a *API) access(rec *recorder, r *http.Request, began time.Time) {
	level := slog.LevelDebug
	if !security.Reads(r.Method) && !strings.HasPrefix(r.URL.Path, "/hooks/") || rec.status >= http.StatusInternalServerError {
		level = slog.LevelInfo
	}
	a.log.LogAttrs(context.WithoutCancel(r.Context()), level, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", rec.status),
		slog.Int("bytes", rec.bytes), slog.Duration("took", a.now().Sub(began)), slog.String("remote", r.RemoteAddr), slog.String("user", security.CallerOf(r.Context()).Name), slog.String("user_agent", r.UserAgent()))
}
