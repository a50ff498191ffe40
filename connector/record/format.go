package record

import (
	"context"
	"fmt"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/registry"
)

// valueForm is what stands around the Avro of a row, or of a line, and whether
// it becomes JSON, as value.format and envelope say. It never changes.
type valueForm struct {
	framing  []byte // the registry's: magic byte and schema id; nothing where no schema is registered
	plan     *schemas.Plan
	envelope *schemas.Envelope // nil: none
	json     bool
}

func (f *valueForm) open(dst []byte) []byte {
	dst = append(dst, f.framing...)
	if f.envelope != nil {
		dst = f.envelope.Open(dst)
	}
	return dst
}

func (f *valueForm) close(dst []byte, row coupa.Row, op string) []byte {
	if f.envelope == nil {
		return dst
	}
	now, at := time.Now(), row.UpdatedAt
	if at.IsZero() { // the row has none
		at = now
	}
	return f.envelope.Close(dst, at, now, op == OpSnapshot)
}

// wrap appends a value made of Avro by the plan.
func (f *valueForm) wrap(dst, avro []byte, row coupa.Row, op string) ([]byte, error) {
	dst = f.open(dst)
	if !f.json {
		return f.close(append(dst, avro...), row, op), nil
	}
	dst, err := f.plan.AppendJSON(dst, avro)
	return f.close(dst, row, op), err
}

// rowValue makes values of rows.
type rowValue struct {
	valueForm
	encoder *schemas.Encoder
	avro    []byte // of the last row, where JSON is made of it
}

func (v *rowValue) Append(dst []byte, row coupa.Row, op string) ([]byte, error) {
	var err error
	if v.json {
		if v.avro, err = v.encoder.Append(v.avro[:0], row.JSON); err != nil {
			return dst, err
		}
		return v.wrap(dst, v.avro, row, op)
	}
	if dst, err = v.encoder.Append(v.open(dst), row.JSON); err != nil {
		return dst, err
	}
	return v.close(dst, row, op), nil
}

func (v *rowValue) kept() *schemas.Encoder { return v.encoder }

// envelope is what the values of a table, the object or the
// lines of one of its lists, stand in; nil: nothing.
func (m *Maker) envelope(table string) *schemas.Envelope {
	origin := schemas.Origin{Version: m.Version, Name: m.Connector, Tenant: m.Stream.Tenant, Object: table}
	switch {
	case m.Object.Envelope != config.EnvelopeDebezium:
		return nil
	case m.Object.ValueFormat == config.FormatAvro:
		return schemas.NewEnvelope(origin)
	}
	return schemas.NewJSONEnvelope(origin)
}

// values registers the schema of the stream's values, or a wider one where that is
// refused and schema.conflict says so, and gives it with what makes their encoders.
func (m *Maker) values(ctx context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	if m.HasLines() {
		return m.linedValues(ctx, schema)
	}
	form, err := m.formOf(ctx, m.Object.Topic, schema, m.Stream.Object)
	if m.isToWiden(err) {
		if schema, err = m.widened(ctx, m.valueSubject(schema), err, schema.Widen); err == nil {
			form, err = m.formOf(ctx, m.Object.Topic, schema, m.Stream.Object)
			err = refusedWide(err)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return schema, func() valueEncoder { return &rowValue{valueForm: form, encoder: m.encoderOf(form.plan)} }, nil
}

// encoderOf makes what encodes rows by a plan, in the mode that errors.tolerance asks for.
func (m *Maker) encoderOf(p *schemas.Plan) *schemas.Encoder {
	e := p.Encoder()
	e.KeepUnreadable, e.Tenant = m.Object.KeepsUnreadable(), m.Stream.Tenant
	return e
}

// formOf registers the schema of a topic's values. table is what an envelope calls them.
func (m *Maker) formOf(ctx context.Context, topic string, schema *schemas.Schema, table string) (valueForm, error) {
	form := valueForm{envelope: m.envelope(table), json: m.Object.ValueFormat != config.FormatAvro}
	if m.Object.NeedsRegistry() {
		text := schema.JSON()
		if m.Object.ValueFormat == config.FormatJSONSchema {
			var err error
			if text, err = schema.JSONSchema(); err != nil {
				return form, err
			}
		}
		id, err := m.registerFor(ctx, m.subjectIn(topic, schema), text)
		if err != nil {
			return form, err
		}
		form.framing = schemas.AppendHeader(nil, id)
	}
	var err error
	if form.plan, err = schema.Plan(); err != nil {
		err = fmt.Errorf("schema of %s: %w", table, err)
	}
	return form, err
}

// keyPrefix is what stands before the keys of a topic: the registry's framing with
// the id of the key's schema, or nothing. A registry that refuses the schema stops
// the object, whatever schema.conflict says: without a key no record goes anywhere.
func (m *Maker) keyPrefix(ctx context.Context, topic string) ([]byte, error) {
	if !m.Object.NeedsRegistry() {
		return nil, nil
	}
	text := schemas.KeySchema()
	if m.Object.ValueFormat == config.FormatJSONSchema {
		text = schemas.KeyJSONSchema()
	}
	id, err := m.register(ctx, registry.Subject(m.Object.KeySubject, topic, "coupa.Key", true), text, true)
	if isIncompatible(err) {
		return nil, fmt.Errorf("key: %v", err)
	}
	if err != nil {
		return nil, err
	}
	return schemas.AppendHeader(nil, id), nil
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
