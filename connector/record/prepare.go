package record

import (
	"context"

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
	made, err := m.encodingWith(ctx, fields, m.values)
	if err != nil {
		if made, err = m.onConflict(ctx, fields, err); err != nil {
			return err
		}
	}
	m.current.Store(made)
	m.keepFields(made.custom)
	return nil
}

// newValues gives, for a schema of values, the one that they have in
// the end, registered where need be, and what makes their encoders.
type newValues func(context.Context, *schemas.Schema) (*schemas.Schema, func() valueEncoder, error)

// encodingWith registers the schemas and makes what encodes by them. With
// fields, the custom fields are typed like that; nil: they are a map, or none.
func (m *Maker) encodingWith(ctx context.Context, fields *custom.Fields, values newValues) (*encoding, error) {
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
	e.schema, e.custom = schema, fields
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

// registerFor gives the id of a schema of the stream's values, as register does.
func (m *Maker) registerFor(ctx context.Context, subject, schema string) (int, error) {
	id, err := m.registerNext(ctx, subject, schema)
	if err == nil {
		m.Report.Carries(subject, id)
	}
	return id, err
}

// registerNext registers a schema of values behind the subject's last version, unless readers
// would take what one has for what the other has, which the registry does not look at.
func (m *Maker) registerNext(ctx context.Context, subject, schema string) (int, error) {
	if !m.Object.AutoRegister {
		return m.register(ctx, subject, schema)
	}
	last, err := m.Registry.Latest(ctx, subject)
	if err != nil {
		// a version that was registered before goes on without the registry; a new one waits for it
		if id, unknown := m.Registry.Lookup(ctx, subject, schema); unknown == nil {
			return id, nil
		}
		return 0, err
	}
	if found := schemas.Differences(last, schema); len(found) > 0 {
		return 0, &differenceError{subject, found}
	}
	return m.register(ctx, subject, schema)
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (m *Maker) register(ctx context.Context, subject, schema string) (int, error) {
	if !m.Object.AutoRegister {
		return m.Registry.Lookup(ctx, subject, schema)
	}
	return m.Registry.Register(ctx, subject, schema)
}
