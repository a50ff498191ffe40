package connector

import (
	"context"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/registry"
)

// prepare makes sure of the topic and the schemas: once for the life of the
// maker, but that a schema with typed custom fields goes on from what was
// registered last, perhaps by the worker that had the stream meanwhile.
func (m *maker) prepare(ctx context.Context) error {
	if m.current.Load() != nil {
		return m.catchUp(ctx)
	}
	if err := m.topics.ensure(ctx, m.object.Topic); err != nil {
		return err
	}
	if m.dead.topic != "" {
		if err := m.topics.ensureDeadLetters(ctx, m.dead.topic); err != nil {
			return err
		}
	}
	custom, err := m.startingFields(ctx)
	if err != nil {
		return err
	}
	made, err := m.encodingWith(ctx, custom)
	if err != nil {
		if made, err = m.onConflict(ctx, custom, err); err != nil {
			return err
		}
	}
	m.current.Store(made)
	m.keepFields(made.custom)
	return nil
}

// encodingWith registers the schemas and makes what encodes by them. With
// custom, the custom fields are typed like that; nil: they are a map, or none.
func (m *maker) encodingWith(ctx context.Context, custom *schemas.CustomFields) (*encoding, error) {
	schema, err := m.schemaWith(custom)
	if err != nil {
		return nil, err
	}
	prefix, err := m.keyPrefix(ctx, m.object.Topic)
	if err != nil {
		return nil, err
	}
	schema, values, err := m.values(ctx, schema)
	if err != nil {
		return nil, err
	}
	e := newEncoding(m.stream, m.object, prefix, values)
	e.schema, e.custom = schema, custom
	return e, nil
}

func (m *maker) schemaWith(custom *schemas.CustomFields) (*schemas.Schema, error) {
	options := m.object.SchemaOptions()
	options.Custom = custom
	return schemas.For(m.stream.Object, options)
}

func (m *maker) valueSubject(schema *schemas.Schema) string {
	return m.subjectIn(m.object.Topic, schema)
}

// subjectIn is that of the values of a topic.
func (m *maker) subjectIn(topic string, schema *schemas.Schema) string {
	return registry.Subject(m.object.ValueSubject, topic, schema.Name(), false)
}

// registerFor gives the id of a schema of the stream's values, as register does.
func (m *maker) registerFor(ctx context.Context, subject, schema string) (int, error) {
	id, err := m.register(ctx, subject, schema)
	if err == nil {
		m.report.carries(subject, id)
	}
	return id, err
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (m *maker) register(ctx context.Context, subject, schema string) (int, error) {
	if !m.object.AutoRegister {
		return m.registry.Lookup(ctx, subject, schema)
	}
	return m.registry.Register(ctx, subject, schema)
}
