package record

import (
	"context"
	"fmt"
	"time"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// RenumberedError says that the registry gives a schema another id than it gave before: it has lost
// what it had, or was filled from a copy without the ids. It stops nothing.
type RenumberedError struct {
	Subject  string
	Key      bool // of the records' keys
	From, To int
}

func (e *RenumberedError) Error() string {
	text := fmt.Sprintf("the schema registry gives the schema of subject %s the id %d, and gave %d before; records that carry %[3]d can't be read, or are read as something else",
		e.Subject, e.To, e.From)
	if e.Key {
		text += ". The id is part of each key: from now on keys have other bytes, so that rows may be in another partition than before, and compaction keeps their last records of before too"
	}
	return text
}

// Remedy is how what went out meanwhile becomes readable.
func (e *RenumberedError) Remedy() string {
	return "give the registry its former content back, ids included, or publish again what went out since it lost it (coupastream snapshot start --from), " +
		"as CoupastreamSchemaIdsChanged in deploy/RUNBOOK.md says"
}

// registerFor gives the id of a schema of the stream's values, as register does.
func (m *Maker) registerFor(ctx context.Context, subject, schema string) (int, error) {
	id, err := m.registerNext(ctx, subject, schema)
	switch {
	case err == nil:
		m.Report.Carries(subject, id)
	case m.isOtherForm(ctx, subject, schema, err):
		err = fmt.Errorf("%w: %w", errOtherForm, err)
	}
	return id, err
}

// registerNext registers a schema of values behind the subject's last version, unless readers
// would take what one has for what the other has, which the registry does not look at.
func (m *Maker) registerNext(ctx context.Context, subject, schema string) (int, error) {
	if !m.Object.AutoRegister {
		return m.register(ctx, subject, schema, false)
	}
	last, err := m.latest(ctx, subject, true)
	if err != nil {
		// a version that was registered before goes on without the registry; a new one waits for it
		if id, unknown := m.ask(ctx, m.Registry.Lookup, subject, schema, false); unknown == nil {
			return id, nil
		}
		if last, err = m.Registry.Latest(ctx, subject); err != nil {
			return 0, err
		}
	}
	if found := schemas.Differences(last, schema); len(found) > 0 {
		return 0, &differenceError{subject, found}
	}
	return m.register(ctx, subject, schema, false)
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (m *Maker) register(ctx context.Context, subject, schema string, key bool) (int, error) {
	if !m.Object.AutoRegister {
		return m.ask(ctx, m.Registry.Lookup, subject, schema, key)
	}
	return m.ask(ctx, m.Registry.Register, subject, schema, key)
}

// ask gives the id of a schema by one of the registry's ways, and tells of one that was replaced.
func (m *Maker) ask(ctx context.Context, way func(context.Context, string, string) (int, error), subject, schema string, key bool) (int, error) {
	id, err := way(ctx, subject, schema)
	if err != nil {
		return 0, err
	}
	if last, _ := m.Registry.Replaced(subject); m.ids.note(subject, last.At) {
		m.Report.Renumbered(&RenumberedError{Subject: subject, Key: key, From: last.From, To: last.To})
	}
	return id, nil
}

// generation is that of the registry's ids; 0 where records carry none.
func (m *Maker) generation() uint64 {
	if !m.Object.NeedsRegistry() {
		return 0
	}
	return m.Registry.Generation()
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

// keptPatience is how long the registry is waited for where it can be done without.
const keptPatience = 2 * time.Second

// latest is the text of a subject's last version, which is known from before, or not.
func (m *Maker) latest(ctx context.Context, subject string, known bool) (string, error) {
	if known {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, keptPatience)
		defer cancel()
	}
	return m.Registry.Latest(ctx, subject)
}
