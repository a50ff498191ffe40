package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/explain"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/stream"
)

// Explain tells why a row is in its topic, or is not. It asks Coupa for the row's stamps, within the rate,
// and reads topics backwards. config.Problems if there is no such object. Only the connector's owner can;
// another worker gives NotOwnerError.
func (w *Worker) Explain(ctx context.Context, name string, r explain.Request) (*explain.Answer, error) {
	m, s, err := w.owned(ctx, name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(m.c.Objects, func(o config.Object) bool { return o.Path == r.Object })
	if i < 0 {
		return nil, noObject(name, r.Object)
	}
	waiting, stop := context.WithTimeout(ctx, explainTurn)
	defer stop()
	if w.explaining.Acquire(waiting, 1) != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: other rows are being explained", shard.ErrBusy))
	}
	defer w.explaining.Release(1)
	o := m.c.Objects[i]
	var lookBacks []explain.LookBack
	for _, d := range stream.LookBackDepths(&o) {
		lookBacks = append(lookBacks, explain.LookBack{Depth: d, Every: stream.LookBackEvery(&o, d)})
	}
	return explain.Row(ctx, explain.Config{
		Request: r, Connector: name, Tenant: m.c.Tenant, Stream: o, Kafka: w.clientOpts(), Source: m.source, Key: m.makers[i].Key, LookBacks: lookBacks,
		Known: func(ctx context.Context) (explain.Known, error) { return m.factsOf(ctx, s, i, r.ID) },
	})
}

// explainTurn is how long a turn is waited for to explain a row.
const explainTurn = 10 * time.Second

// factsOf is what is known of a row, and of its stream, the i-th of the connector, at one moment.
func (m *managed) factsOf(ctx context.Context, s *shard.Shard, i int, id int64) (known explain.Known, err error) {
	st := checkpoint.Stream{Tenant: m.c.Tenant, Object: m.c.Objects[i].Path}
	err = s.During(ctx, func(ctx context.Context) error {
		known.Position = s.Position(st)
		err := s.Ledger().Range(st, 0, 0, func(e checkpoint.Entry) bool {
			if e.ID == id {
				known.Entries = append(known.Entries, e)
			}
			return ctx.Err() == nil
		})
		return errors.Join(err, ctx.Err())
	})
	known.Task, known.Slowed, known.Ahead = m.tasks[i].Status(), m.source.Pace().ThrottledSince, m.source.Ahead()
	return known, err
}
