package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector"
	"github.com/coupastream/coupastream/connector/status"
)

// snapshotOwner is the owner's part in this.
type snapshotOwner interface {
	Snapshot(ctx context.Context, name string, r status.SnapshotRequest) (status.Snapshot, error)
	Snapshots(ctx context.Context, name string) ([]status.Snapshot, error)
	SetSnapshot(ctx context.Context, name, id string, state checkpoint.RequestState) error
}

// snapshotRoutes are about snapshots.
func (a *API) snapshotRoutes() []route {
	return []route{
		{method: "GET", path: connectorPath + "/snapshots", do: a.snapshots},
		{method: "POST", path: connectorPath + "/snapshots", do: a.takeSnapshot},
		{method: "DELETE", path: connectorPath + "/snapshots/{snapshot}", do: a.setSnapshot(checkpoint.RequestCancelled, http.StatusNoContent)},
		{method: "PUT", path: connectorPath + "/snapshots/{snapshot}/pause", do: a.setSnapshot(checkpoint.RequestPaused, http.StatusAccepted)},
		{method: "PUT", path: connectorPath + "/snapshots/{snapshot}/resume", do: a.setSnapshot(checkpoint.RequestRunning, http.StatusAccepted)},
	}
}

// Snapshot is a request to publish rows as they are, beyond
// Connect. A total of 0 is not known, nor is null time left.
type Snapshot struct {
	ID       string                  `json:"id"`
	Object   string                  `json:"object"`
	State    checkpoint.RequestState `json:"state"`
	Asked    time.Time               `json:"asked"`
	Finished *time.Time              `json:"finished"`
	From     *time.Time              `json:"from"`
	To       *time.Time              `json:"to"`
	Filter   string                  `json:"filter,omitempty"`
	Rows     int64                   `json:"rows"` // read and published until now
	Total    int64                   `json:"total"`
	Left     *int64                  `json:"left_ms"`
	Trace    string                  `json:"trace,omitempty"` // why it is FAILED
}

// Ended tells whether nothing more comes of it.
func (s Snapshot) Ended() bool {
	return s.State == checkpoint.RequestDone || s.State == checkpoint.RequestFailed || s.State == checkpoint.RequestCancelled
}

func snapshotOf(s status.Snapshot) Snapshot {
	told := Snapshot{
		ID: s.ID, Object: s.Object, State: s.State, Asked: s.Asked.UTC(), Finished: instant(s.Ended), From: instant(s.From), To: instant(s.To),
		Filter: s.Filter, Rows: s.Rows, Total: s.Total, Trace: s.Why,
	}
	if left := s.Left.Milliseconds(); left > 0 {
		told.Left = &left
	}
	return told
}

// snapshots lists those that wait, are worked on, or have ended not long ago.
func (a *API) snapshots(r *request) (*answer, error) {
	c, err := a.usable(r)
	if err != nil {
		return nil, err
	}
	return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
		all, err := a.owner.Snapshots(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		list := []Snapshot{}
		for _, s := range all {
			list = append(list, snapshotOf(s))
		}
		return ok(list)
	})
}

// takeSnapshot asks for rows: those with the ids, or those stamped from
// "from" until before "to", or all; of these, those that fit the filter.
func (a *API) takeSnapshot(r *request) (*answer, error) {
	members, err := r.object()
	if err != nil {
		return nil, err
	}
	asked, err := readSnapshot(members)
	if err != nil {
		return nil, err
	}
	c, err := a.usable(r)
	if err != nil {
		return nil, err
	}
	return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
		s, err := a.owner.Snapshot(ctx, c.Name, asked)
		if err != nil {
			return nil, ofRequest(err)
		}
		return &answer{status: http.StatusAccepted, body: snapshotOf(s)}, nil
	})
}

func readSnapshot(members map[string]json.RawMessage) (status.SnapshotRequest, error) {
	var asked status.SnapshotRequest
	err := only(members, "object", "from", "to", "ids", "filter")
	if err != nil {
		return asked, err
	}
	if asked.Object, err = stringMember(members, "object"); err != nil {
		return asked, err
	}
	for name, into := range map[string]*time.Time{"from": &asked.From, "to": &asked.To} {
		if isNull(members[name]) {
			continue
		}
		if *into, err = instantMember(members, name); err != nil {
			return asked, err
		}
		// what is reckoned from it stays a time that can be written down
		if into.Year() < 1900 || into.Year() > 2100 {
			return asked, bad("The value for the '%s' key lies outside the years 1900 to 2100; leave it out for no bound", name)
		}
	}
	if err := json.Unmarshal(orNull(members["ids"]), &asked.IDs); err != nil {
		return asked, bad("The key 'ids' is expected to be a list of ids, which are whole numbers")
	}
	if isNull(members["filter"]) {
		return asked, nil
	}
	filter, err := stringMember(members, "filter")
	if err != nil {
		return asked, err
	}
	if asked.Filter, err = url.ParseQuery(filter); err != nil {
		return asked, bad("The key 'filter' is expected to hold conditions as Coupa spells them, e.g. status=approved: %v", err)
	}
	return asked, nil
}

// setSnapshot pauses a snapshot, resumes or cancels it.
func (a *API) setSnapshot(state checkpoint.RequestState, status int) handler {
	return func(r *request) (*answer, error) {
		c, err := a.usable(r)
		if err != nil {
			return nil, err
		}
		return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
			err := a.owner.SetSnapshot(ctx, c.Name, r.path["snapshot"], state)
			if errors.Is(err, connector.ErrUnknownSnapshot) {
				return nil, &apiError{http.StatusNotFound, fmt.Sprintf("Connector %s has no snapshot %s that has not ended", c.Name, r.path["snapshot"])}
			}
			if err != nil {
				return nil, err
			}
			return empty(status), nil
		})
	}
}
