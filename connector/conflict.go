package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// Values of schema.conflict.
const (
	conflictDeadLetter = "deadletter"
	conflictWiden      = "widen"
)

// conflictError says that the registry refuses the schema of the values, so that no row can be encoded.
type conflictError struct{ refusal error }

func (e *conflictError) Error() string { return e.refusal.Error() }
func (e *conflictError) Unwrap() error { return e.refusal }

// refusedValues encodes no row.
type refusedValues struct{ err *conflictError }

func (v refusedValues) Append(dst []byte, _ coupa.Row, _ string) ([]byte, error) { return dst, v.err }

// reconsiderAfter is how long a schema that the registry refused
// is not offered again while rows go to the dead letter topic.
const reconsiderAfter = time.Minute

// undeliverable is the encoding of a stream whose rows are dead letters because
// the registry refuses its schema. The key's schema must be registered.
func (p *poller) undeliverable(ctx context.Context, custom *schemas.CustomFields, refusal error) (*encoding, error) {
	schema, err := p.schemaWith(custom)
	if err != nil {
		return nil, err
	}
	prefix, err := p.keyPrefix(ctx, p.object.Topic)
	if err != nil {
		return nil, err
	}
	values := refusedValues{&conflictError{refusal}}
	e := newEncoding(p.stream, p.object, prefix, func() valueEncoder { return values })
	e.schema, e.custom, e.refused = schema, custom, time.Now()
	p.log.Error("the schema registry refuses the schema; rows go to the dead letter topic until it takes it", "topic", p.dead.topic, "error", refusal)
	return e, nil
}

// reconsider offers a refused schema again now and then.
func (p *poller) reconsider(ctx context.Context) error {
	now := p.current.Load()
	if now.refused.IsZero() || time.Since(now.refused) < reconsiderAfter {
		return nil
	}
	if err := p.customs.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.customs.turn.Release(1)
	made, err := p.encodingWith(ctx, now.custom)
	if err == nil {
		p.log.Info("the schema registry takes the schema; records go to their topic again")
	} else if made, err = p.onConflict(ctx, now.custom, err); err != nil {
		return err
	}
	p.current.Store(made)
	return nil
}

// onConflict is what becomes of a schema that could not be registered for err.
func (p *poller) onConflict(ctx context.Context, custom *schemas.CustomFields, err error) (*encoding, error) {
	if p.object.SchemaConflict != conflictDeadLetter || !isIncompatible(err) {
		return nil, err
	}
	return p.undeliverable(ctx, custom, err)
}

// isToWiden tells that a schema was refused, and is to be widened for that.
func (p *poller) isToWiden(err error) bool {
	return isIncompatible(err) && p.object.SchemaConflict == conflictWiden && p.object.AutoRegister
}

// refusedWide is the error of a widened schema.
func refusedWide(err error) error {
	if !isIncompatible(err) {
		return err
	}
	return fmt.Errorf("a schema with the last version's fields and types besides (schema.conflict=widen) is refused too: %w", err)
}

// widened gives, in place of a schema that the registry refused,
// one that has besides what the subject's last version has.
func (p *poller) widened(ctx context.Context, schema *schemas.Schema, refusal error) (*schemas.Schema, error) {
	last, err := p.shard.w.registry.Latest(ctx, p.valueSubject(schema))
	if err != nil {
		return nil, err
	}
	wide, err := schema.Widen(last)
	if err != nil {
		return nil, fmt.Errorf("%w; schema.conflict=widen can't help: %w", refusal, err)
	}
	return wide, nil
}
