package client

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/coupastream/coupastream/connector/contract"
	"github.com/coupastream/coupastream/connector/rest"
)

// Names lists the connectors of the group.
func (c *Client) Names(ctx context.Context) ([]string, error) {
	var names []string
	err := c.do(ctx, http.MethodGet, "/connectors", nil, nil, &names)
	slices.Sort(names)
	return names, err
}

// Health tells of every connector of the group, in the order of their names.
func (c *Client) Health(ctx context.Context) ([]rest.Health, error) {
	var expanded map[string]struct {
		Health rest.Health `json:"health"`
	}
	err := c.do(ctx, http.MethodGet, "/connectors", url.Values{"expand": {"health"}}, nil, &expanded)
	all := []rest.Health{}
	for _, e := range expanded {
		all = append(all, e.Health)
	}
	slices.SortFunc(all, func(a, b rest.Health) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// ConnectorHealth tells of one connector.
func (c *Client) ConnectorHealth(ctx context.Context, name string) (rest.Health, error) {
	var h rest.Health
	err := c.do(ctx, http.MethodGet, path("connectors", name, "health"), nil, nil, &h)
	return h, err
}

// Info is a connector as Connect describes it.
type Info struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
}

// Info tells a connector's configuration.
func (c *Client) Info(ctx context.Context, name string) (Info, error) {
	var i Info
	err := c.do(ctx, http.MethodGet, path("connectors", name), nil, nil, &i)
	return i, err
}

// Contract gives the data contract of a connector's topics, or of those of some of its objects.
func (c *Client) Contract(ctx context.Context, name string, objects []string) (*contract.Document, error) {
	d := new(contract.Document)
	err := c.do(ctx, http.MethodGet, path("connectors", name, "contract"), url.Values{"object": objects}, nil, d)
	return d, err
}

// Create makes a connector, which there may not be yet.
func (c *Client) Create(ctx context.Context, name string, config map[string]string) error {
	return c.do(ctx, http.MethodPost, "/connectors", nil, Info{name, config}, nil)
}

// Configure makes a connector, or gives it another configuration.
func (c *Client) Configure(ctx context.Context, name string, config map[string]string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "config"), nil, config, nil)
}

// Delete takes a connector out. Its positions stay.
func (c *Client) Delete(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, path("connectors", name), nil, nil, nil)
}

// Pause has a connector publish nothing until it is resumed.
func (c *Client) Pause(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "pause"), nil, nil, nil)
}

// Resume has a connector that was paused or stopped run.
func (c *Client) Resume(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "resume"), nil, nil, nil)
}

// Stop ends a connector's tasks until it is resumed.
func (c *Client) Stop(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPut, path("connectors", name, "stop"), nil, nil, nil)
}

// Restart restarts a connector, with its tasks if they are included, or just with those that failed.
func (c *Client) Restart(ctx context.Context, name string, includeTasks, onlyFailed bool) error {
	query := url.Values{"includeTasks": {strconv.FormatBool(includeTasks)}, "onlyFailed": {strconv.FormatBool(onlyFailed)}}
	return c.do(ctx, http.MethodPost, path("connectors", name, "restart"), query, nil, nil)
}

// RestartTask restarts one task.
func (c *Client) RestartTask(ctx context.Context, name string, task int) error {
	return c.do(ctx, http.MethodPost, path("connectors", name, "tasks", strconv.Itoa(task), "restart"), nil, nil, nil)
}
