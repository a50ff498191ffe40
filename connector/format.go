package connector

import (
	"context"
	"fmt"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// rowValue makes values of rows, as value.format and envelope say.
type rowValue struct {
	framing  []byte // the registry's: magic byte and schema id; nothing where no schema is registered
	plan     *schemas.Plan
	encoder  *schemas.Encoder
	envelope *schemas.Envelope // nil: none
	json     bool
	avro     []byte // of the last row, where json is made of it
}

func (v *rowValue) Append(dst []byte, row coupa.Row, op string) ([]byte, error) {
	dst = append(dst, v.framing...)
	if v.envelope != nil {
		dst = v.envelope.Open(dst)
	}
	var err error
	if !v.json {
		dst, err = v.encoder.Append(dst, row.JSON)
	} else if v.avro, err = v.encoder.Append(v.avro[:0], row.JSON); err == nil {
		dst, err = v.plan.AppendJSON(dst, v.avro)
	}
	if err != nil || v.envelope == nil {
		return dst, err
	}
	return v.envelope.Close(dst, row.UpdatedAt, time.Now(), op == OpSnapshot), nil
}

func (v *rowValue) Unfit() []schemas.Unfit { return v.encoder.Unfit() }

// envelope is what the object's values stand in; nil: nothing.
func (p *poller) envelope() *schemas.Envelope {
	origin := schemas.Origin{Version: p.shard.w.cfg.Version, Name: p.dead.connector, Tenant: p.stream.Tenant, Object: p.stream.Object}
	switch {
	case p.object.Envelope != config.EnvelopeDebezium:
		return nil
	case p.object.ValueFormat == config.FormatAvro:
		return schemas.NewEnvelope(origin)
	}
	return schemas.NewJSONEnvelope(origin)
}

// values registers the schema of the stream's values, or a wider one where that is refused and schema.conflict says so, and gives it with what makes
// their encoders.
func (p *poller) values(ctx context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	var framing []byte
	if p.object.NeedsRegistry() {
		id, err := p.registerValue(ctx, schema)
		if isIncompatible(err) && p.object.SchemaConflict == conflictWiden && p.object.AutoRegister {
			schema, id, err = p.widened(ctx, schema, err)
		}
		if err != nil {
			return nil, nil, err
		}
		framing = schemas.AppendHeader(nil, id)
	}
	plan, err := schema.Plan()
	if err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	envelope, json := p.envelope(), p.object.ValueFormat != config.FormatAvro
	return schema, func() valueEncoder {
		return &rowValue{framing: framing, plan: plan, encoder: plan.Encoder(), envelope: envelope, json: json}
	}, nil
}

func (p *poller) registerValue(ctx context.Context, schema *schemas.Schema) (int, error) {
	text := schema.JSON()
	if p.object.ValueFormat == config.FormatJSONSchema {
		var err error
		if text, err = schema.JSONSchema(); err != nil {
			return 0, err
		}
	}
	return p.registerFor(ctx, p.valueSubject(schema), text)
}

// keyPrefix is what stands before every key: the registry's framing with the id of the key's schema, or nothing. A registry that refuses the schema stops
// the object, whatever schema.conflict says: without a key no record goes anywhere.
func (p *poller) keyPrefix(ctx context.Context) ([]byte, error) {
	if !p.object.NeedsRegistry() {
		return nil, nil
	}
	text := schemas.KeySchema()
	if p.object.ValueFormat == config.FormatJSONSchema {
		text = schemas.KeyJSONSchema()
	}
	id, err := p.register(ctx, schemas.Subject(p.object.KeySubject, p.object.Topic, "coupa.Key", true), text)
	if isIncompatible(err) {
		return nil, fmt.Errorf("key: %v", err)
	}
	if err != nil {
		return nil, err
	}
	return schemas.AppendHeader(nil, id), nil
}
