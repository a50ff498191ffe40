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
		if err := p.shard.w.topics.ensure(ctx, p.dead.topic); err != nil {
			return err
		}
	}
	custom, err := p.startingFields(ctx)
	if err != nil {
		return err
	}
	made, err := p.encodingWith(ctx, custom)
	if err != nil {
		return err
	}
	p.current.Store(made)
	p.keepFields(made.custom)
	return nil
}

// encodingWith registers the schemas and makes what encodes by them. With custom, the custom fields are typed like that; nil: they are a map, or none.
func (p *poller) encodingWith(ctx context.Context, custom *schemas.CustomFields) (*encoding, error) {
	options := p.object.SchemaOptions()
	options.Custom = custom
	schema, err := schemas.For(p.stream.Object, options)
	if err != nil {
		return nil, err
	}
	keyID, err := p.register(ctx, schemas.Subject(p.object.KeySubject, p.object.Topic, "coupa.Key", true), schemas.KeySchema())
	if err != nil {
		return nil, err
	}
	values, err := p.avroValues(ctx, schema)
	if err != nil {
		return nil, err
	}
	e := newEncoding(p.stream, p.object.Topic, schemas.AppendHeader(nil, keyID), values)
	e.schema, e.custom = schema, custom
	return e, nil
}

// avroValues registers the schema of the stream's values and gives what makes their encoders.
func (p *poller) avroValues(ctx context.Context, schema *schemas.Schema) (func() valueEncoder, error) {
	plan, err := schema.Plan()
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	id, err := p.register(ctx, p.valueSubject(schema), schema.JSON())
	if err != nil {
		return nil, err
	}
	framing := schemas.AppendHeader(nil, id)
	return func() valueEncoder { return &avroValue{framing: framing, plan: plan.Encoder()} }, nil
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
