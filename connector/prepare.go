package connector

import (
	"context"
	"fmt"

	"github.com/coupastream/coupastream/schemas"
)

// prepare makes sure of the topic and the schemas: once for the life of the poller, but that a schema with typed custom fields goes on from what was
// registered last, perhaps by the worker that had the stream meanwhile.
func (p *poller) prepare(ctx context.Context) error {
	if p.current.Load() != nil {
		return p.catchUp(ctx)
	}
	if err := p.shard.w.topics.ensure(ctx, p.object.Topic); err != nil {
		return err
	}
	if p.dead.topic != "" {
		if err := p.shard.w.topics.ensureDeadLetters(ctx, p.dead.topic); err != nil {
			return err
		}
	}
	custom, err := p.startingFields(ctx)
	if err != nil {
		return err
	}
	made, err := p.encodingWith(ctx, custom)
	if err != nil {
		if made, err = p.onConflict(ctx, custom, err); err != nil {
			return err
		}
	}
	p.current.Store(made)
	p.keepFields(made.custom)
	return nil
}

// encodingWith registers the schemas and makes what encodes by them. With custom, the custom fields are typed like that; nil: they are a map, or none.
func (p *poller) encodingWith(ctx context.Context, custom *schemas.CustomFields) (*encoding, error) {
	schema, err := p.schemaWith(custom)
	if err != nil {
		return nil, err
	}
	keyID, err := p.registerKey(ctx)
	if err != nil {
		return nil, err
	}
	schema, values, err := p.avroValues(ctx, schema)
	if err != nil {
		return nil, err
	}
	e := newEncoding(p.stream, p.object.Topic, schemas.AppendHeader(nil, keyID), values)
	e.schema, e.custom = schema, custom
	return e, nil
}

func (p *poller) schemaWith(custom *schemas.CustomFields) (*schemas.Schema, error) {
	options := p.object.SchemaOptions()
	options.Custom = custom
	return schemas.For(p.stream.Object, options)
}

// registerKey registers the schema of keys. A registry that refuses it stops the object, whatever schema.conflict says: without a key no record goes anywhere.
func (p *poller) registerKey(ctx context.Context) (int, error) {
	id, err := p.register(ctx, schemas.Subject(p.object.KeySubject, p.object.Topic, "coupa.Key", true), schemas.KeySchema())
	if isIncompatible(err) {
		return 0, fmt.Errorf("key: %v", err)
	}
	return id, err
}

// avroValues registers the schema of the stream's values, or a wider one where that is refused and schema.conflict says so, and gives it with what makes
// its encoders.
func (p *poller) avroValues(ctx context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	id, err := p.register(ctx, p.valueSubject(schema), schema.JSON())
	if isIncompatible(err) && p.object.SchemaConflict == conflictWiden && p.object.AutoRegister {
		schema, id, err = p.widened(ctx, schema, err)
	}
	if err != nil {
		return nil, nil, err
	}
	plan, err := schema.Plan()
	if err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	framing := schemas.AppendHeader(nil, id)
	return schema, func() valueEncoder { return &avroValue{framing: framing, plan: plan.Encoder()} }, nil
}

func (p *poller) valueSubject(schema *schemas.Schema) string {
	return schemas.Subject(p.object.ValueSubject, p.object.Topic, schema.Name(), false)
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (p *poller) register(ctx context.Context, subject, schema string) (int, error) {
	if !p.object.AutoRegister {
		return p.shard.w.registry.Lookup(ctx, subject, schema)
	}
	return p.shard.w.registry.Register(ctx, subject, schema)
}
