package rest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/contract"
	"github.com/coupastream/coupastream/connector/status"
)

// changeTimeout bounds a change: it waits for Kafka.
const changeTimeout = 30 * time.Second

// reader tells what is known here of the group's connectors, from memory and at any time.
type reader interface {
	Connectors() []status.ConnectorStatus
	Connector(name string) (status.ConnectorStatus, error)
	Contract(name string, objects []string) (*contract.Document, error)
	Schemas(name string, objects []string) ([]contract.Schema, error)
	Ready() error // nil: started; connector.ErrStarting: not yet
	Watch(ctx context.Context) <-chan struct{}
}

// changer changes what the group knows together. Any worker can, and a change is durable on return.
type changer interface {
	Create(ctx context.Context, name string, cfg map[string]string, initial status.State) (status.ConnectorStatus, error)
	Configure(ctx context.Context, name string, cfg map[string]string) (c status.ConnectorStatus, created bool, err error)
	Patch(ctx context.Context, name string, changes map[string]*string) (status.ConnectorStatus, error)
	Delete(ctx context.Context, name string) error
	SetState(ctx context.Context, name string, s status.State) error
	ResetTopics(ctx context.Context, name string) error
	// what a comparison with Coupa has found
	NoteVerified(ctx context.Context, name, tenant string, all []status.Compared) error
	SetLoggerLevel(ctx context.Context, logger, level string) error // in every worker of the group
	// config.Problems of a configuration that would not be taken; changes nothing
	Validate(cfg map[string]string) error
	Refresh(ctx context.Context) error // what other workers have changed until now is known then
}

// connectorPath is the path of one connector.
const connectorPath = "/connectors/{name}"

// connectorRoutes list, make and change connectors.
func (a *API) connectorRoutes() []route {
	return []route{
		{method: "GET", path: "/connectors", do: a.list},
		{method: "POST", path: "/connectors", do: a.create},
		{method: "GET", path: connectorPath, do: a.info},
		{method: "DELETE", path: connectorPath, do: a.delete},
		{method: "GET", path: connectorPath + "/config", do: a.config},
		{method: "PUT", path: connectorPath + "/config", do: a.configure},
		{method: "PATCH", path: connectorPath + "/config", do: a.patch},
	}
}

type taskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// connectorInfo is Connect's ConnectorInfo.
type connectorInfo struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	Tasks  []taskID          `json:"tasks"`
	Type   string            `json:"type"`
}

// infoOf tells of a connector.
func infoOf(c status.ConnectorStatus) connectorInfo {
	info := connectorInfo{c.Name, c.Config, []taskID{}, "source"}
	if !c.Untold.Tasks {
		for _, t := range c.Tasks {
			info.Tasks = append(info.Tasks, taskID{c.Name, t.ID})
		}
	}
	return info
}

func (a *API) list(r *request) (*answer, error) {
	if errors.Is(a.reader.Ready(), connector.ErrStarting) { // a short list would be taken for the whole
		return nil, starting
	}
	all := a.reader.Connectors()
	if names, some := r.URL.Query()["name"]; some {
		all = slices.DeleteFunc(slices.Clone(all), func(c status.ConnectorStatus) bool { return !slices.Contains(names, c.Name) })
	}
	expand, expanding := r.URL.Query()["expand"]
	if !expanding {
		names := []string{}
		for _, c := range all {
			names = append(names, c.Name)
		}
		return ok(names)
	}
	status, health := slices.Contains(expand, "status"), slices.Contains(expand, "health")
	var live map[string]report
	if status || health {
		live = a.reports(r.Context(), r.Header, mayForward(r), all)
	}
	expanded := map[string]map[string]any{}
	for _, c := range all {
		e := map[string]any{}
		if status {
			e["status"] = live[c.Name].Status
		}
		if health {
			e["health"] = live[c.Name].Health
		}
		if slices.Contains(expand, "info") {
			e["info"] = infoOf(c)
		}
		expanded[c.Name] = e
	}
	return ok(expanded)
}

func (a *API) info(r *request) (*answer, error) {
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	return ok(infoOf(c))
}

func (a *API) config(r *request) (*answer, error) {
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	return ok(c.Config)
}

func (a *API) create(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	if err := only(members, "config", "name", "initial_state"); err != nil {
		return nil, err
	}
	name, err := text(members, "name")
	if err != nil {
		return nil, err
	}
	state, err := text(members, "initial_state")
	if err != nil {
		return nil, err
	}
	initial := status.State(strings.ToUpper(state))
	if !slices.Contains([]status.State{"", status.Running, status.Paused, status.Stopped}, initial) {
		return nil, bad("initial_state %q is not one of RUNNING, PAUSED, STOPPED", state)
	}
	if _, found := members["config"]; !found {
		return nil, bad(`The request has no "config"; give the connector's configuration`)
	}
	flat, err := parseObject(members["config"], `"config"`)
	if err != nil {
		return nil, err
	}
	cfg, err := settings(flat)
	if err != nil {
		return nil, err
	}
	if given, found := cfg["name"]; found && name == "" {
		name = given
	}
	name = strings.TrimSpace(name)
	if err := a.check(name, cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	c, err := a.changer.Create(ctx, name, cfg, initial)
	if err != nil {
		return nil, a.failedConfig(err, name, cfg)
	}
	return created(r, c), nil
}

func (a *API) configure(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	cfg, err := settings(members)
	if err != nil {
		return nil, err
	}
	name := r.path["name"]
	if c, err := a.reader.Connector(name); err == nil && c.FromFile { // whatever it should become
		return nil, a.failed(connector.ErrFromFile, name, notFound)
	}
	if err := a.check(name, cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	c, isNew, err := a.changer.Configure(ctx, name, cfg)
	switch {
	case err != nil:
		return nil, a.failedConfig(err, name, cfg)
	case isNew:
		return created(r, c), nil
	}
	return ok(infoOf(c))
}

func (a *API) patch(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	changes, err := flat(members)
	if err != nil {
		return nil, err
	}
	name := r.path["name"]
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	c, err := a.reader.Connector(name)
	if errors.Is(err, connector.ErrUnknownConnector) { // another worker may have made it
		if err := a.changer.Refresh(ctx); err != nil {
			return nil, a.failed(err, name, notFound)
		}
		c, err = a.reader.Connector(name)
	}
	if err != nil {
		return nil, a.failed(err, name, notFound)
	}
	result := maps.Clone(c.Config)
	for key, value := range changes {
		if value == nil {
			delete(result, key)
		} else {
			result[key] = *value
		}
	}
	if !c.FromFile { // of others the worker says why they can't be changed
		if _, renamed := changes["name"]; renamed && result["name"] == "" {
			return nil, mismatch("null", name)
		}
		if err := a.check(name, result); err != nil {
			return nil, err
		}
	}
	c, err = a.changer.Patch(ctx, name, changes)
	if err != nil {
		return nil, a.failedConfig(err, name, result)
	}
	return ok(infoOf(c))
}

func (a *API) delete(r *request) (*answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
	defer cancel()
	if err := a.changer.Delete(ctx, r.path["name"]); err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	return empty(http.StatusNoContent), nil
}

// check refuses what no worker has to look at: another name, another kind
// of connector. It gives the configuration its name, as Connect does.
func (a *API) check(name string, cfg map[string]string) error {
	if given, found := cfg["name"]; found && strings.TrimSpace(given) != name {
		return mismatch(given, name)
	}
	if name == "" {
		return invalidConfig(config.Problems{{Key: "name", Message: "String may not be empty"}}, map[string]string{"name": ""})
	}
	if _, found := cfg["name"]; !found {
		cfg["name"] = name
	}
	if given, found := cfg["connector.class"]; found && !isClass(given) {
		return noSuchClass(given)
	}
	return nil
}

func mismatch(given, name string) error {
	return bad("Connector name configuration (%s) doesn't match connector name in the URL (%s)", given, name)
}

func isClass(given string) bool { return strings.EqualFold(strings.TrimSpace(given), class) }

func noSuchClass(given string) error {
	return bad("Failed to find any class that implements Connector and which name matches %s, available connectors are: %s", given, class)
}

// failedConfig is failed for a configuration: its problems are told in Connect's words.
func (a *API) failedConfig(err error, name string, cfg map[string]string) error {
	if problems, invalid := errors.AsType[config.Problems](err); invalid {
		return invalidConfig(problems, cfg)
	}
	return a.failed(err, name, notFound)
}

// created answers for a new connector. As in Connect its tasks come later.
func created(r *request, c status.ConnectorStatus) *answer {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	c.Tasks = nil
	return &answer{status: http.StatusCreated, body: infoOf(c), location: scheme + "://" + r.Host + "/connectors/" + url.PathEscape(c.Name)}
}
