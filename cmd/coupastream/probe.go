package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

// probe reads one row of every object of a connector. What somebody has to put right in the
// configuration or in Coupa comes back as problems, what may pass by itself as failures.
func (a *app) probe(ctx context.Context, c *config.Connector) (config.Problems, []error) {
	limiter := coupa.NewLimiter(c.RateLimit)
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

// probeObject reads the highest id of an object: one request for one row. When no token is granted for
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
	return nil
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
