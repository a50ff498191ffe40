package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/logging"
)

// Loggers are the levels of this process's loggers.
type Loggers interface {
	All() map[string]logging.Level
	Get(name string) (logging.Level, bool)
	Set(name, level string) ([]string, error)
}

var _ Loggers = (*logging.Levels)(nil)

// loggerRoutes are about the levels of loggers.
func (a *API) loggerRoutes() []route {
	return []route{
		{method: "GET", path: "/admin/loggers", do: a.loggers},
		{method: "GET", path: "/admin/loggers/{logger}", do: a.logger},
		{method: "PUT", path: "/admin/loggers/{logger}", do: a.setLogger},
	}
}

type loggerLevel struct {
	Level    string `json:"level"`
	Modified *int64 `json:"last_modified"` // milliseconds since 1970; null: as the worker started
}

func levelOf(l logging.Level) loggerLevel {
	told := loggerLevel{Level: l.Name}
	if !l.Modified.IsZero() {
		at := l.Modified.UnixMilli()
		told.Modified = &at
	}
	return told
}

func (a *API) loggers(*request) (*answer, error) {
	all := map[string]loggerLevel{}
	for name, l := range a.o.Loggers.All() {
		all[name] = levelOf(l)
	}
	return ok(all)
}

func (a *API) logger(r *request) (*answer, error) {
	l, found := a.o.Loggers.Get(r.path["logger"])
	if !found {
		return nil, &apiError{http.StatusNotFound, fmt.Sprintf("Logger %s not found.", r.path["logger"])}
	}
	return ok(levelOf(l))
}

// setLogger sets a level here, or through the config topic in every worker of the group.
func (a *API) setLogger(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	level, err := text(members, "level")
	if err != nil {
		return nil, err
	}
	if level == "" {
		return nil, bad("Desired 'level' parameter was not specified in request.")
	}
	name, known := logging.ParseLevel(level)
	if !known {
		return nil, &apiError{http.StatusNotFound, fmt.Sprintf("invalid log level '%s'.", level)}
	}
	if err := logging.CheckName(r.path["logger"]); err != nil {
		return nil, bad("Logger %s: %v", r.path["logger"], err)
	}
	if strings.EqualFold(r.URL.Query().Get("scope"), "cluster") {
		ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
		defer cancel()
		err := a.changer.SetLoggerLevel(ctx, r.path["logger"], name)
		if problem, refused := errors.AsType[config.Problem](err); refused {
			return nil, bad("%v", problem)
		}
		if err != nil {
			return nil, a.failed(err, r.path["logger"], "%s")
		}
		return empty(http.StatusNoContent), nil
	}
	touched, err := a.o.Loggers.Set(r.path["logger"], name)
	if err != nil {
		return nil, bad("Logger %s: %v", r.path["logger"], err)
	}
	return ok(touched)
}
