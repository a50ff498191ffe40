package record

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/schemas"
)

// linedValues registers the schemas of the rows and of their lines, or wider ones where one
// is refused and schema.conflict says so, makes sure of the lines' topics, and gives the
// whole schema with what makes the values. The lines' schemas come first: what they hold of
// custom fields must not be lost with the version of the rows' schema that held it.
func (m *Maker) linedValues(ctx context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	for widened := 0; ; widened++ {
		split, err := schema.Split(m.Object.Lines == config.LinesBoth)
		if err != nil {
			return nil, nil, err
		}
		values, refused, err := m.registerSplit(ctx, split)
		if widened > 0 {
			err = refusedWide(err)
		}
		if err == nil || refused == nil || widened > len(split.Lists) {
			return schema, values, err
		}
		widen := schema.Widen
		if list := refused.list; list != nil {
			widen = func(last string) (*schemas.Schema, error) { return schema.WidenLines(*list, last) }
		}
		if schema, err = m.widened(ctx, refused.subject, err, widen); err != nil {
			return nil, nil, err
		}
	}
}

// refusal says which schema of a split the registry has refused, where it is to be widened.
type refusal struct {
	subject string
	list    *schemas.List // nil: that of the rows
}

func (m *Maker) registerSplit(ctx context.Context, split *schemas.Split) (func() valueEncoder, *refusal, error) {
	lists := make([]List, len(split.Lists))
	for i, l := range split.Lists {
		topic := m.Object.LineTopic(l.Name)
		if err := m.Topics.Ensure(ctx, topic); err != nil {
			return nil, nil, err
		}
		prefix, err := m.keyPrefix(ctx, topic)
		if err != nil {
			return nil, nil, err
		}
		form, err := m.formOf(ctx, topic, l.Schema, m.Stream.Object+"."+l.Name)
		if err != nil {
			return nil, m.refusalOf(err, topic, l.Schema, &split.Lists[i]), err
		}
		lists[i] = List{List: l.Coupa, Topic: topic, keyPrefix: prefix, form: form, Salt: xxhash.Sum64String(topic)}
	}
	form, err := m.formOf(ctx, m.Object.Topic, split.Row, m.Stream.Object)
	if err != nil {
		return nil, m.refusalOf(err, m.Object.Topic, split.Row, nil), err
	}
	whole, err := split.Whole().Plan()
	if err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", m.Stream.Object, err)
	}
	if _, err := split.Splitter(); err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", m.Stream.Object, err)
	}
	return func() valueEncoder {
		splitter, _ := split.Splitter() // as it was a moment ago
		return &linedValue{encoder: m.encoderOf(whole), splitter: splitter, form: form, lists: lists, keep: m.Object.Lines == config.LinesBoth}
	}, nil, nil
}

func (m *Maker) refusalOf(err error, topic string, schema *schemas.Schema, list *schemas.List) *refusal {
	if !m.isToWiden(err) {
		return nil
	}
	return &refusal{m.subjectIn(topic, schema), list}
}
