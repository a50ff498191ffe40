package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// probe reads one row of every object of a connector. What somebody has to put right in the
// configuration or in Coupa comes back as problems, what may pass by itself as failures.
func (a *app) probe(ctx context.Context, c *config.Connector) (config.Problems, []error) {
	limiter := c.Limiter()
	client, err := a.newClient(c, limiter, nil)
	if err == nil {
		err = client.CheckToken(ctx)
	}
	apart := err != nil && coupa.KindOf(err) == coupa.Scope
	if err != nil && !apart {
		return splitProblems(c, []error{err})
	}
	errs := make([]error, len(c.Objects))
	var group errgroup.Group
	for i, o := range c.Objects {
		group.Go(func() error {
			errs[i] = a.probeObject(ctx, c, o, limiter, client, apart)
			return nil
		})
	}
	_ = group.Wait() // errors are in errs, one for each object
	return splitProblems(c, errs)
}

// probeObject reads the highest id of an object, one request for one row, and tries the longest request
// line that a run needs. When no token is granted for
// the scopes of all objects together, each object asks for its own, so that the missing one shows.
func (a *app) probeObject(ctx context.Context, c *config.Connector, o config.Object, limiter *coupa.Limiter, client *coupa.Client, apart bool) error {
	if apart {
		own, err := a.newClient(c, limiter, coupa.Scopes([]string{o.Path}))
		if err != nil {
			return err
		}
		client = own
	}
	id, err := client.MaxID(ctx, coupa.Query{Path: o.Path})
	if err != nil {
		return fmt.Errorf("%s: %w", o.Path, err)
	}
	a.logger().Info("read one row", "file", c.File, "object", o.Path, "id", id)
	if err := a.probeLine(ctx, c, o, client, id); err != nil {
		return fmt.Errorf("%s: the longest request line: %w", o.Path, err)
	}
	return nil
}

// probeRows are read in full, those with the highest ids,
// for the names of custom fields that a run asks for.
const probeRows = 3

// probeLine sends the longest request line that a run sends for an object: all fields, those that rows
// up to id show to be the company's own among them, and all conditions of a poll. No row answers it.
func (a *app) probeLine(ctx context.Context, c *config.Connector, o config.Object, client *coupa.Client, id int64) error {
	resource, _ := coupa.LookupResource(o.Path)
	q := coupa.Query{Path: o.Path, After: coupa.LongestID - 1, Through: coupa.LongestID}
	if resource.UpdatedAt {
		at := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
		q.Window = coupa.Window{From: at, To: at.Add(time.Second)}
	}
	if o.Fields != "all" {
		var err error
		if q.Fields, err = probedFields(ctx, o, client, id); err != nil {
			return err
		}
	}
	if _, err := client.Fetch(ctx, q, func(coupa.Row) error { return nil }); err != nil {
		return err
	}
	log := a.logger().With("file", c.File, "object", o.Path, "requests", client.Requests(q), "longest", client.MaxLine())
	if client.Requests(q) > 1 {
		log.Warn("the address of a request for all fields would be too long, so a page with rows takes several requests; "+
			"a mapping with choose or leave-out, custom.fields = off or fields = all makes it one", "bytes", client.Line(q))
		return nil
	}
	log.Info("tried the longest request line", "bytes", client.Line(q))
	return nil
}

// probedFields is what a run asks for of an object, as far as some rows show it.
func probedFields(ctx context.Context, o config.Object, client *coupa.Client, id int64) (string, error) {
	schema, err := schemas.For(o.Path, o.SchemaOptions())
	if err != nil {
		return "", err
	}
	if o.CustomFields == "off" {
		return schema.Fields(), nil
	}
	d, err := schemas.NewDiscovery(o.Path)
	if err != nil {
		return "", err
	}
	mapper := o.Rewriter()
	_, err = client.Fetch(ctx, coupa.Query{Path: o.Path, After: max(0, id-probeRows)}, func(r coupa.Row) error {
		row := r.JSON
		if mapper != nil {
			var err error
			if row, err = mapper.Guarded(row); err != nil {
				return nil // a run learns nothing of it either
			}
		}
		return d.Observe(row)
	})
	return schema.FieldsWith(d.Globals()), err
}

// newClient builds a client; scopes nil means the connector's own.
func (a *app) newClient(c *config.Connector, limiter *coupa.Limiter, scopes []string) (*coupa.Client, error) {
	cfg := c.Coupa()
	cfg.Limiter, cfg.UserAgent, cfg.Transport = limiter, userAgent(), a.transport
	cfg.AnyScope = false // a scope that is missing is to show
	if scopes != nil {
		cfg.Scopes = scopes
	}
	return coupa.New(cfg)
}

// splitProblems tells problems from failures. An error that is nil counts for neither.
func splitProblems(c *config.Connector, errs []error) (config.Problems, []error) {
	var problems config.Problems
	var failures []error
	for _, err := range errs {
		switch {
		case err == nil:
		case misconfigured(err):
			problems = append(problems, config.Problem{File: c.File, Message: err.Error()})
		default:
			failures = append(failures, fmt.Errorf("%s: %w", c.File, err))
		}
	}
	return problems, failures
}

// misconfigured tells whether only a change of the configuration, here or in Coupa, helps.
func misconfigured(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	switch coupa.KindOf(err) {
	case coupa.Scope, coupa.Misconfigured, coupa.Reauthenticate:
		return true
	}
	return false
}
