package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// restarter is the owner's part in this.
type restarter interface {
	Restart(ctx context.Context, name string, r connector.RestartRequest) (status.ConnectorStatus, error)
}

// lifecycleRoutes have connectors run, wait, end and begin anew.
func (a *API) lifecycleRoutes() []route {
	return []route{
		{method: "PUT", path: connectorPath + "/pause", do: a.target(status.Paused, http.StatusAccepted)},
		{method: "PUT", path: connectorPath + "/resume", do: a.target(status.Running, http.StatusAccepted)},
		{method: "PUT", path: connectorPath + "/stop", do: a.target(status.Stopped, http.StatusNoContent)},
		{method: "POST", path: connectorPath + "/restart", do: a.restart},
		{method: "POST", path: connectorPath + "/tasks/{task}/restart", do: a.restartTask},
	}
}

// target sets the state in which the connector shall be. The owner follows it.
func (a *API) target(s status.State, code int) handler {
	return func(r *request) (*answer, error) {
		ctx, cancel := context.WithTimeout(r.Context(), changeTimeout)
		defer cancel()
		if err := a.changer.SetState(ctx, r.path["name"], s); err != nil {
			return nil, a.failed(err, r.path["name"], unknown)
		}
		return empty(code), nil
	}
}

func (a *API) restart(r *request) (*answer, error) {
	req := connector.RestartRequest{IncludeTasks: r.isTrue("includeTasks"), OnlyFailed: r.isTrue("onlyFailed")}
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], unknownColon)
	}
	return a.ownersWork(r, c, unknownColon, func(ctx context.Context) (*answer, error) {
		if _, err := a.owner.Restart(ctx, c.Name, req); err != nil {
			return nil, err
		}
		if !req.IncludeTasks && !req.OnlyFailed {
			return empty(http.StatusNoContent), nil
		}
		return &answer{status: http.StatusAccepted, body: a.stateOf(marked(c, req))}, nil
	})
}

// marked is the status before a restart, with RESTARTING on all that restarts, and its old traces.
func marked(c status.ConnectorStatus, r connector.RestartRequest) status.ConnectorStatus {
	tasks := make([]status.TaskStatus, len(c.Tasks))
	copy(tasks, c.Tasks)
	for i := range tasks {
		if r.IncludeTasks && (!r.OnlyFailed || tasks[i].State == status.Failed) {
			tasks[i].State = restarting
		}
	}
	if c.Untold.Tasks {
		tasks = nil
	}
	c.Tasks = tasks
	if !r.OnlyFailed || c.State == status.Failed {
		c.State = restarting
	}
	return c
}

func (a *API) restartTask(r *request) (*answer, error) {
	n, err := taskNumber(r)
	if err != nil {
		return nil, err
	}
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], unknownColon)
	}
	return a.ownersWork(r, c, unknownColon, func(ctx context.Context) (*answer, error) {
		_, err := a.owner.Restart(ctx, c.Name, connector.RestartRequest{Task: &n})
		if errors.Is(err, connector.ErrUnknownTask) {
			return nil, &apiError{http.StatusNotFound, fmt.Sprintf("Unknown task: %s-%d", c.Name, n)}
		}
		if err != nil {
			return nil, err
		}
		return empty(http.StatusNoContent), nil
	})
}
