package connector

import (
	"context"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

// prepare makes sure of the topic and the schemas: once for the life of the
// poller, but that a schema with typed custom fields goes on from what was
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

// encodingWith registers the schemas and makes what encodes by them. With
// custom, the custom fields are typed like that; nil: they are a map, or none.
func (p *poller) encodingWith(ctx context.Context, custom *schemas.CustomFields) (*encoding, error) {
	schema, err := p.schemaWith(custom)
	if err != nil {
		return nil, err
	}
	prefix, err := p.keyPrefix(ctx, p.object.Topic)
	if err != nil {
		return nil, err
	}
	schema, values, err := p.values(ctx, schema)
	if err != nil {
		return nil, err
	}
	e := newEncoding(p.stream, p.object, prefix, values)
	e.schema, e.custom = schema, custom
	return e, nil
}

func (p *poller) schemaWith(custom *schemas.CustomFields) (*schemas.Schema, error) {
	options := p.object.SchemaOptions()
	options.Custom = custom
	return schemas.For(p.stream.Object, options)
}

func (p *poller) valueSubject(schema *schemas.Schema) string {
	return p.subjectIn(p.object.Topic, schema)
}

// subjectIn is that of the values of a topic.
func (p *poller) subjectIn(topic string, schema *schemas.Schema) string {
	return registry.Subject(p.object.ValueSubject, topic, schema.Name(), false)
}

// registerFor gives the id of a schema of the stream's values, as register does.
func (p *poller) registerFor(ctx context.Context, subject, schema string) (int, error) {
	id, err := p.register(ctx, subject, schema)
	if err == nil {
		p.task.carries(subject, id)
	}
	return id, err
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (p *poller) register(ctx context.Context, subject, schema string) (int, error) {
	if !p.object.AutoRegister {
		return p.shard.w.registry.Lookup(ctx, subject, schema)
	}
	return p.shard.w.registry.Register(ctx, subject, schema)
}
