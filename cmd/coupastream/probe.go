package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/preflight"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// probe tries a connector's token and scopes, and reads one row of each of its objects.
func (a *app) probe(ctx context.Context, c *config.Connector, tell func(preflight.Finding)) {
	name := "Coupa " + c.Name
	limiter := c.Limiter()
	client, err := a.newClient(c, limiter, nil)
	if err == nil {
		err = client.CheckToken(ctx)
	}
	// no token for the scopes of all objects together: each asks for its own, so that the missing one shows
	apart := err != nil && coupa.KindOf(err) == coupa.Scope
	if err != nil && !apart {
		tell(notOK(c, name+": token", err))
		return
	}
	if !apart {
		tell(preflight.Finding{Check: name + ": token", Verdict: preflight.OK, Detail: "granted for " + c.Scope, File: c.File})
	}
	var group errgroup.Group
	for _, o := range c.Objects {
		group.Go(func() error {
			a.probeObject(ctx, c, o, limiter, client, apart, tell)
			return nil
		})
	}
	_ = group.Wait() // each object tells its own
}

// notOK tells of an error of Coupa's. Its text ends with the remedy.
func notOK(c *config.Connector, check string, err error) preflight.Finding {
	return preflight.Finding{Check: check, Verdict: preflight.NotOK, Detail: err.Error(), File: c.File, Passes: !misconfigured(err)}
}

// probeObject reads the highest id of an object, one request for one row,
// and tries the longest request line that a run needs.
func (a *app) probeObject(ctx context.Context, c *config.Connector, o config.Object, limiter *coupa.Limiter, client *coupa.Client, apart bool, tell func(preflight.Finding)) {
	check := fmt.Sprintf("Coupa %s: %s", c.Name, o.Path)
	if apart {
		own, err := a.newClient(c, limiter, coupa.Scopes([]string{o.Path}))
		if err != nil {
			tell(notOK(c, check, err))
			return
		}
		client = own
	}
	id, err := client.MaxID(ctx, coupa.Query{Path: o.Path})
	if err != nil {
		tell(notOK(c, check, err))
		return
	}
	detail := fmt.Sprintf("read one row, id %d", id)
	if id == 0 {
		detail = "it can be read, and has no row yet"
	}
	tell(preflight.Finding{Check: check, Verdict: preflight.OK, Detail: detail, File: c.File})
	check += ": longest request line"
	if detail, err = probeLine(ctx, o, client, id); err != nil {
		tell(notOK(c, check, err))
		return
	}
	tell(preflight.Finding{Check: check, Verdict: preflight.OK, Detail: detail, File: c.File})
}

// probeRows are read in full, those with the highest ids,
// for the names of custom fields that a run asks for.
const probeRows = 3

// probeLine sends the longest request line that a run sends for an object: all fields, those that rows
// up to id show to be the company's own among them, and all conditions of a poll. No row answers it. detail
// says how long it is.
func probeLine(ctx context.Context, o config.Object, client *coupa.Client, id int64) (detail string, err error) {
	resource, _ := coupa.LookupResource(o.Path)
	q := coupa.Query{Path: o.Path, After: coupa.LongestID - 1, Through: coupa.LongestID}
	if resource.UpdatedAt {
		at := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
		q.Window = coupa.Window{From: at, To: at.Add(time.Second)}
	}
	if o.Fields != "all" {
		if q.Fields, err = probedFields(ctx, o, client, id); err != nil {
			return "", err
		}
	}
	if _, err := client.Fetch(ctx, q, func(coupa.Row) error { return nil }); err != nil {
		return "", err
	}
	if n := client.Requests(q); n > 1 {
		return fmt.Sprintf("an address with all fields would have %d bytes and be too long, so a page with rows takes %d requests; "+
			"a mapping with choose or leave-out, custom.fields = off or fields = all makes it one", client.Line(q), n), nil
	}
	return fmt.Sprintf("%d bytes", client.Line(q)), nil
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
	cfg.Limiter, cfg.UserAgent, cfg.Transport, cfg.TokenHold = limiter, userAgent(), a.transport, a.tokenHold
	cfg.AnyScope = false // a scope that is missing is to show
	if scopes != nil {
		cfg.Scopes = scopes
	}
	return coupa.New(cfg)
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
