package record

import (
	"context"
	"errors"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/schemas/custom"
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

// renew gives an encoding with the ids that the registry gives now, if that is another
// than stale; nil: stale is right. Rows wait for it, and go out with no id that may be wrong.
func (m *Maker) renew(ctx context.Context, stale *encoding) (*encoding, error) {
	if stale.generation == m.generation() {
		return nil, nil
	}
	if err := m.customs.registering.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer m.customs.registering.Release(1)
	now := m.current.Load()
	if now.generation == m.generation() {
		return now, nil
	}
	made, err := m.makeEncoding(ctx, now.custom)
	if err != nil {
		return nil, err
	}
	m.current.Store(made)
	m.keepFields(made.custom)
	return made, nil
}

// Refresh makes what the stream's records are made with what the registry says now: it asks for
// ids again that may be wrong, and offers a refused schema again now and then.
func (m *Maker) Refresh(ctx context.Context) error {
	if _, err := m.renew(ctx, m.current.Load()); err != nil {
		return err
	}
	return m.reconsider(ctx)
}

// reconsiderAfter is how long a schema that the registry refused
// is not offered again while rows go to the dead letter topic.
const reconsiderAfter = time.Minute

// reconsider offers a refused schema again now and then.
func (m *Maker) reconsider(ctx context.Context) error {
	now := m.current.Load()
	if now.refused.IsZero() || time.Since(now.refused) < reconsiderAfter {
		return nil
	}
	if err := m.customs.registering.Acquire(ctx, 1); err != nil {
		return err
	}
	defer m.customs.registering.Release(1)
	made, err := m.encodingWith(ctx, now.custom, m.values)
	if err == nil {
		m.Log.Info("the schema registry takes the schema; records go to their topic again")
	} else if made, err = m.onConflict(ctx, now.custom, err); err != nil {
		return err
	}
	m.current.Store(made)
	return nil
}

// AwaitAccepted waits while the registry refuses the stream's schemas, so that
// no row could be encoded. [Maker.Refresh] offers them to it again.
func (m *Maker) AwaitAccepted(ctx context.Context) error {
	for m.Refuses() {
		if !clock.Sleep(ctx, reconsiderAfter) {
			return ctx.Err()
		}
	}
	return nil
}
