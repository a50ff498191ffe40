package record

import (
	"context"
	"errors"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// Prepare makes sure of the topic and the schemas: once for the life of the
// maker, but that a schema with typed custom fields goes on from what was
// registered last, perhaps by the worker that had the stream meanwhile.
func (m *Maker) Prepare(ctx context.Context) error {
	if m.current.Load() != nil {
		return m.catchUp(ctx)
	}
	if err := m.Topics.Ensure(ctx, m.Object.Topic); err != nil {
		return err
	}
	if m.dead.topic != "" {
		if err := m.Topics.ensureDeadLetters(ctx, m.dead.topic); err != nil {
			return err
		}
	}
	fields, err := m.startingFields(ctx)
	if err != nil {
		return err
	}
	made, err := m.makeEncoding(ctx, fields)
	if err != nil {
		return err
	}
	m.current.Store(made)
	m.keepFields(made.custom)
	return nil
}

// makeEncoding registers the schemas and makes what encodes by them, or what schema.conflict wants
// where they are refused. If another stream has given the subject the other form of custom fields
// meanwhile, it is followed.
func (m *Maker) makeEncoding(ctx context.Context, fields *custom.Fields) (*encoding, error) {
	made, err := m.encodingWith(ctx, fields, m.values)
	if errors.Is(err, errOtherForm) {
		if fields, err = m.startingFields(ctx); err != nil {
			return nil, err
		}
		made, err = m.encodingWith(ctx, fields, m.values)
	}
	if err != nil {
		return m.onConflict(ctx, fields, err)
	}
	return made, nil
}

// newValues gives, for a schema of values, the one that they have in
// the end, registered where need be, and what makes their encoders.
type newValues func(context.Context, *schemas.Schema) (*schemas.Schema, func() valueEncoder, error)

// encodingWith registers the schemas and makes what encodes by them. With
// fields, the custom fields are typed like that; nil: they are a map, or none.
func (m *Maker) encodingWith(ctx context.Context, fields *custom.Fields, values newValues) (*encoding, error) {
	generation := m.generation() // before any id is asked for
	schema, err := m.schemaWith(fields)
	if err != nil {
		return nil, err
	}
	prefix, err := m.keyPrefix(ctx, m.Object.Topic)
	if err != nil {
		return nil, err
	}
	schema, encoders, err := values(ctx, schema)
	if err != nil {
		return nil, err
	}
	e := newEncoding(m.Stream, m.Object, prefix, encoders)
	e.schema, e.custom, e.generation = schema, fields, generation
	return e, nil
}

func (m *Maker) schemaWith(fields *custom.Fields) (*schemas.Schema, error) {
	options := m.Object.SchemaOptions()
	options.Custom = fields
	return schemas.For(m.Stream.Object, options)
}

func (m *Maker) valueSubject(schema *schemas.Schema) string {
	return m.subjectIn(m.Object.Topic, schema)
}

// subjectIn is that of the values of a topic.
func (m *Maker) subjectIn(topic string, schema *schemas.Schema) string {
	return registry.Subject(m.Object.ValueSubject, topic, schema.Name(), false)
}
