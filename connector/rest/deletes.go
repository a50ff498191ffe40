package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/sweep"
)

// deleteOwner is the owner's part in this.
type deleteOwner interface {
	ApproveDeletes(ctx context.Context, name, object string) error
}

// deleteRoutes are about rows that are deleted in Coupa, beyond Connect.
func (a *API) deleteRoutes() []route {
	return []route{{method: "POST", path: connectorPath + "/deletes/{object}/approve", do: a.approveDeletes}}
}

// approveDeletes lets a sweep go on that waits for it.
func (a *API) approveDeletes(r *request) (*answer, error) {
	c, err := a.usable(r)
	if err != nil {
		return nil, err
	}
	return a.ownersWork(r, c, notFound, func(ctx context.Context) (*answer, error) {
		err := a.owner.ApproveDeletes(ctx, c.Name, r.path["object"])
		if errors.Is(err, sweep.ErrNothing) {
			return nil, &apiError{http.StatusConflict, fmt.Sprintf("No sweep of %s waits for approval; the health of the connector tells what was found", r.path["object"])}
		}
		if err != nil {
			return nil, ofRequest(err)
		}
		return empty(http.StatusAccepted), nil
	})
}

// DeletesHealth is how far the search for deletes in an object is. Times are Coupa's; null: not yet.
type DeletesHealth struct {
	Stage    string     `json:"stage"` // learning, resting, reading, confirming, waiting
	Since    *time.Time `json:"since"` // from when on a row that is deleted is found
	Audit    bool       `json:"audit"` // whatever is missing waits for approval
	Began    *time.Time `json:"began"` // of the last sweep
	Ended    *time.Time `json:"ended"`
	Known    int64      `json:"known"` // rows that it compared
	Shown    int64      `json:"shown"` // that Coupa showed
	Missing  int64      `json:"missing"`
	Examples []int64    `json:"examples"`      // ids of these
	Why      string     `json:"why,omitempty"` // it waits
	Approved *time.Time `json:"approved"`      // what is confirmed
	Deleted  int64      `json:"deleted"`       // rows in all

	Progress *ProgressHealth `json:"progress"` // null: no sweep reads
}

func deletesHealth(d *status.Deletes) *DeletesHealth {
	if d == nil {
		return nil
	}
	return &DeletesHealth{
		Stage: string(d.Stage), Since: instant(d.Since), Audit: d.Audit, Began: instant(d.Began), Ended: instant(d.Ended), Known: d.Known, Shown: d.Shown,
		Missing: d.Missing, Examples: append([]int64{}, d.Examples...), Why: d.Why, Approved: instant(d.Approved), Deleted: d.Deleted, Progress: progressHealth(d.Progress),
	}
}
