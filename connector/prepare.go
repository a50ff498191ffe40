package connector

import (
	"context"
	"fmt"

	"github.com/coupastream/coupastream/schemas"
)

// prepare makes sure of the topic and the schemas, once for the life of the poller.
func (p *poller) prepare(ctx context.Context) error {
	if p.encoding != nil {
		return nil
	}
	topic := p.object.Topic
	if err := p.shard.w.topics.ensure(ctx, topic); err != nil {
		return err
	}
	schema, err := schemas.For(p.stream.Object, p.object.SchemaOptions())
	if err != nil {
		return err
	}
	keyID, err := p.register(ctx, schemas.Subject(p.object.KeySubject, topic, "coupa.Key", true), schemas.KeySchema())
	if err != nil {
		return err
	}
	values, err := p.avroValues(ctx, schema)
	if err != nil {
		return err
	}
	p.schema, p.encoding = schema, newEncoding(p.stream, topic, schemas.AppendHeader(nil, keyID), values)
	return nil
}

// avroValues registers the schema of the stream's values and gives what makes their encoders.
func (p *poller) avroValues(ctx context.Context, schema *schemas.Schema) (func() valueEncoder, error) {
	plan, err := schema.Plan()
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	id, err := p.register(ctx, schemas.Subject(p.object.ValueSubject, p.object.Topic, schema.Name(), false), schema.JSON())
	if err != nil {
		return nil, err
	}
	framing := schemas.AppendHeader(nil, id)
	return func() valueEncoder { return &avroValue{framing: framing, plan: plan.Encoder()} }, nil
}

// register gives the id of a schema, adding it to the subject where the object's keys allow that.
func (p *poller) register(ctx context.Context, subject, schema string) (int, error) {
	if !p.object.AutoRegister {
		return p.shard.w.registry.Lookup(ctx, subject, schema)
	}
	return p.shard.w.registry.Register(ctx, subject, schema)
}
