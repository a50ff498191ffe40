package rest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"

	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// restarting is the state in which Connect shows what is about to restart.
const restarting status.State = "RESTARTING"

// statusRoutes tell how connectors are.
func (a *API) statusRoutes() []route {
	return []route{
		{method: "GET", path: connectorPath + "/status", do: a.status},
		{method: "GET", path: connectorPath + "/health", do: a.connectorHealth},
		{method: "GET", path: connectorPath + "/tasks", do: a.tasks},
		{method: "GET", path: connectorPath + "/tasks/{task}/status", do: a.taskStatus},
		{method: "GET", path: connectorPath + "/topics", do: a.topics},
		{method: "PUT", path: connectorPath + "/topics/reset", do: a.resetTopics},
	}
}

type connectorState struct {
	State    string `json:"state"`
	WorkerID string `json:"worker_id"`
	Version  string `json:"version"`
	Trace    string `json:"trace,omitempty"`
}

type taskState struct {
	ID       int    `json:"id"`
	State    string `json:"state"`
	WorkerID string `json:"worker_id"`
	Version  string `json:"version"`
	Trace    string `json:"trace,omitempty"`
}

// stateInfo is Connect's ConnectorStateInfo.
type stateInfo struct {
	Name      string         `json:"name"`
	Connector connectorState `json:"connector"`
	Tasks     []taskState    `json:"tasks"`
	Type      string         `json:"type"`
}

// stateOf tells of a connector as it is known here.
func (a *API) stateOf(c status.ConnectorStatus) stateInfo {
	s := stateInfo{c.Name, connectorState{string(c.State), c.Owner.WorkerID, a.o.Version, c.Trace}, []taskState{}, "source"}
	if !c.Untold.Tasks {
		for _, t := range c.Tasks {
			s.Tasks = append(s.Tasks, taskState{t.ID, string(t.State), c.Owner.WorkerID, a.o.Version, t.Trace})
		}
	}
	return s
}

func (a *API) status(r *request) (*answer, error) {
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], noStatus)
	}
	return ok(a.report(r, c).Status)
}

func (a *API) connectorHealth(r *request) (*answer, error) {
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	return ok(a.report(r, c).Health)
}

func (a *API) tasks(r *request) (*answer, error) {
	type task struct {
		ID     taskID            `json:"id"`
		Config map[string]string `json:"config"`
	}
	c, err := a.reader.Connector(r.path["name"])
	if err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	tasks := []task{}
	if !c.Untold.Tasks {
		for _, t := range c.Tasks {
			cfg := maps.Clone(c.Config)
			cfg["task.class"], cfg["object"], cfg["topic"] = class, t.Object, t.Topic
			tasks = append(tasks, task{taskID{c.Name, t.ID}, cfg})
		}
	}
	return ok(tasks)
}

func (a *API) taskStatus(r *request) (*answer, error) {
	n, err := taskNumber(r)
	if err != nil {
		return nil, err
	}
	c, err := a.reader.Connector(r.path["name"])
	missing := fmt.Sprintf("No status found for task %s-%d", r.path["name"], n)
	if err != nil {
		return nil, a.failed(err, missing, "%s")
	}
	for _, t := range a.report(r, c).Status.Tasks {
		if t.ID == n {
			return ok(t)
		}
	}
	return nil, &apiError{http.StatusNotFound, missing}
}

// taskNumber reads the task of a path. What is not a number is no path of Connect's.
func taskNumber(r *request) (int, error) {
	n, err := strconv.ParseInt(r.path["task"], 10, 32)
	if err != nil {
		return 0, refusal(http.StatusNotFound)
	}
	return int(n), nil
}

// topics tells the topics of the connector's tasks, those of lines
// included. There are none of a connector that there is not, as in Connect.
func (a *API) topics(r *request) (*answer, error) {
	type active struct {
		Topics []string `json:"topics"`
	}
	name := r.path["name"]
	topics := active{[]string{}}
	c, err := a.reader.Connector(name)
	if err != nil && errors.Is(a.reader.Ready(), connector.ErrStarting) {
		return nil, starting
	}
	if err == nil && !c.Untold.Topics {
		for _, t := range c.Tasks {
			topics.Topics = append(append(topics.Topics, t.Topic), t.LineTopics...)
		}
	}
	return ok(map[string]active{name: topics})
}

// resetTopics empties the topics of a connector that is not RUNNING. Those of one that is are in use: Connect
// lists each again with the next record, and here none of them goes.
func (a *API) resetTopics(r *request) (*answer, error) {
	if err := a.changer.ResetTopics(r.Context(), r.path["name"]); err != nil {
		return nil, a.failed(err, r.path["name"], notFound)
	}
	return empty(http.StatusAccepted), nil
}
