package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/connector/rest"
)

// Position is where an object is, as the REST API tells it.
type Position struct {
	Partition struct {
		Tenant string `json:"tenant"`
		Object string `json:"object"`
	} `json:"partition"`
	Offset *Offset `json:"offset"` // nil: none yet
}

// Offset is a position's instant, and the lowest id that a
// backfill, or else a walk, under way has still to read.
type Offset struct {
	UpdatedAt *time.Time `json:"updated_at"`
	ID        int64      `json:"id"`
}

// Offsets lists where a connector's objects are.
func (c *Client) Offsets(ctx context.Context, name string) ([]Position, error) {
	list := struct {
		Offsets []Position `json:"offsets"`
	}{[]Position{}}
	err := c.do(ctx, http.MethodGet, path("connectors", name, "offsets"), nil, nil, &list)
	return list.Offsets, err
}

// Offset tells where one object is.
func (c *Client) Offset(ctx context.Context, name, object string) (Position, error) {
	var p Position
	err := c.do(ctx, http.MethodGet, objectOffsets(name, object), nil, nil, &p)
	return p, err
}

// SetOffset moves one object, whatever the connector's state.
func (c *Client) SetOffset(ctx context.Context, name, object string, to Offset, reason string) error {
	return c.do(ctx, http.MethodPatch, objectOffsets(name, object), because(reason), to, nil)
}

// ResetOffset has one object begin anew, by initial.from, whatever the connector's state.
func (c *Client) ResetOffset(ctx context.Context, name, object, reason string) error {
	return c.do(ctx, http.MethodDelete, objectOffsets(name, object), because(reason), nil, nil)
}

// ResetOffsets has every object of a STOPPED connector begin anew, by initial.from.
func (c *Client) ResetOffsets(ctx context.Context, name, reason string) error {
	return c.do(ctx, http.MethodDelete, path("connectors", name, "offsets"), because(reason), nil, nil)
}

// because gives the reason to the worker's log.
func because(reason string) url.Values {
	if reason == "" {
		return nil
	}
	return url.Values{"reason": {reason}}
}

var dryRun = url.Values{"dry_run": {"true"}}

// WeighSet tells what SetOffset would do.
func (c *Client) WeighSet(ctx context.Context, name, object string, to Offset) ([]rest.Weight, error) {
	var w rest.Weights
	err := c.do(ctx, http.MethodPatch, objectOffsets(name, object), dryRun, to, &w)
	return w.Objects, err
}

// WeighReset tells what ResetOffset would do; without an object, what ResetOffsets would.
func (c *Client) WeighReset(ctx context.Context, name, object string) ([]rest.Weight, error) {
	at := path("connectors", name, "offsets")
	if object != "" {
		at = objectOffsets(name, object)
	}
	var w rest.Weights
	err := c.do(ctx, http.MethodDelete, at, dryRun, nil, &w)
	return w.Objects, err
}

func objectOffsets(name, object string) string { return path("connectors", name, "offsets", object) }

// ApproveDeletes lets a sweep of an object delete what it found missing.
func (c *Client) ApproveDeletes(ctx context.Context, name, object string) error {
	return c.do(ctx, http.MethodPost, path("connectors", name, "deletes", object, "approve"), nil, nil, nil)
}

// SnapshotRequest says which rows are read: those with the
// ids, or those stamped from From until before To, or all.
type SnapshotRequest struct {
	Object string     `json:"object"`
	From   *time.Time `json:"from,omitempty"`
	To     *time.Time `json:"to,omitempty"`
	IDs    []int64    `json:"ids,omitempty"`
	Filter string     `json:"filter,omitempty"` // further conditions, as Coupa spells them in a URL
}

// StartSnapshot asks for rows to be read.
func (c *Client) StartSnapshot(ctx context.Context, name string, r SnapshotRequest) (rest.Snapshot, error) {
	var s rest.Snapshot
	err := c.do(ctx, http.MethodPost, path("connectors", name, "snapshots"), nil, r, &s)
	return s, err
}

// Snapshots lists what was asked for.
func (c *Client) Snapshots(ctx context.Context, name string) ([]rest.Snapshot, error) {
	all := []rest.Snapshot{}
	err := c.do(ctx, http.MethodGet, path("connectors", name, "snapshots"), nil, nil, &all)
	return all, err
}

// CancelSnapshot ends a snapshot. What it has published stays.
func (c *Client) CancelSnapshot(ctx context.Context, name, id string) error {
	return c.do(ctx, http.MethodDelete, path("connectors", name, "snapshots", id), nil, nil, nil)
}

// PauseSnapshot stops reading until ResumeSnapshot.
func (c *Client) PauseSnapshot(ctx context.Context, name, id string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "snapshots", id, "pause"), nil, nil, nil)
}

// ResumeSnapshot goes on with one that was paused.
func (c *Client) ResumeSnapshot(ctx context.Context, name, id string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "snapshots", id, "resume"), nil, nil, nil)
}

// NoteVerified tells what a comparison of a connector's objects with Coupa has found.
func (c *Client) NoteVerified(ctx context.Context, name string, found rest.Comparison) error {
	return c.do(ctx, http.MethodPost, path("connectors", name, "verified"), nil, found, nil)
}
