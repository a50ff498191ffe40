package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
)

// Offsets are the committed positions of a connector's objects, of those that
// have one. Only the connector's owner knows; another worker gives NotOwnerError.
func (w *Worker) Offsets(ctx context.Context, name string) ([]status.Offset, error) {
	m, _, err := w.owned(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []status.Offset
	for _, p := range m.pollers {
		if at, there := p.Offset(); there {
			all = append(all, at)
		}
	}
	return all, nil
}

// owned is a connector that this worker can work on, and its shard, restored.
func (w *Worker) owned(ctx context.Context, name string) (*managed, *shard.Shard, error) {
	m, err := w.find(name)
	if err != nil {
		return nil, nil, err
	}
	if err := w.mine(m); err != nil {
		return nil, nil, err
	}
	if m.c == nil {
		return nil, nil, m.unusableError()
	}
	s := m.shard.Load()
	return m, s, s.Restored(ctx)
}

// hold is owned for who goes on to change something: until done is called, the connector
// stays as it is. Restoring is waited for before, so that it holds up nobody else.
func (w *Worker) hold(ctx context.Context, name string) (m *managed, s *shard.Shard, done func(), err error) {
	if _, _, err := w.owned(ctx, name); err != nil {
		return nil, nil, nil, err
	}
	if err := w.applying.Acquire(ctx, 1); err != nil {
		return nil, nil, nil, err
	}
	if m, s, err = w.owned(ctx, name); err != nil {
		w.applying.Release(1)
		return nil, nil, nil, err
	}
	return m, s, func() { w.applying.Release(1) }, nil
}

// AlterOffsets moves objects of a STOPPED connector to other positions, through transactions
// of the owner's. Another worker may have stopped it a moment ago: see Refresh.
//
// An object goes on at UpdatedAt: what changed from there on is published, what was published of it
// before once more. With an ID, rows above it that changed before UpdatedAt are published as a
// backfill. With Reset, it begins anew by initial.from. The ledger of what was published is dropped.
//
// The log says of each who moved it, from where and to where.
func (w *Worker) AlterOffsets(ctx context.Context, name string, offsets []status.Offset, by status.Asker) error {
	return w.alter(ctx, name, offsets, by, false)
}

// MoveOffsets does the same for objects of a connector in any
// state: while they are moved, these objects alone do not run.
func (w *Worker) MoveOffsets(ctx context.Context, name string, offsets []status.Offset, by status.Asker) error {
	return w.alter(ctx, name, offsets, by, true)
}

// ResetOffsets lets all objects of a STOPPED connector begin anew.
func (w *Worker) ResetOffsets(ctx context.Context, name string, by status.Asker) error {
	m, err := w.find(name)
	if err != nil || m.c == nil {
		return errors.Join(err, w.AlterOffsets(ctx, name, nil, by))
	}
	return w.AlterOffsets(ctx, name, m.resets(), by)
}

// resets have all objects of a connector begin anew.
func (m *managed) resets() (all []status.Offset) {
	for _, o := range m.c.Objects {
		all = append(all, status.Offset{Tenant: m.c.Tenant, Object: o.Path, Reset: true})
	}
	return all
}

// placed are the pollers of offsets, of those that move one.
func (m *managed) placed(offsets []status.Offset) (moved []*stream.Poller, to []status.Offset, err error) {
	var problems config.Problems
	for _, o := range offsets {
		at := slices.IndexFunc(m.pollers, func(p *stream.Poller) bool {
			return p.Stream() == checkpoint.Stream{Tenant: o.Tenant, Object: o.Object}
		})
		if at < 0 {
			problems = append(problems, config.Problem{Key: "partition", Value: o.Tenant + "/" + o.Object, Message: "no object of connector " + m.name,
				Remedy: fmt.Sprintf("give {\"tenant\": %q, \"object\": one of coupa.objects}", m.c.Tenant)})
			continue
		}
		p := m.pollers[at]
		if p.IsAt(o) {
			continue
		}
		if problem := p.CheckOffset(o); problem != nil {
			problems = append(problems, *problem)
		}
		moved, to = append(moved, p), append(to, o)
	}
	if len(problems) > 0 {
		return nil, nil, problems
	}
	return moved, to, nil
}

func (w *Worker) alter(ctx context.Context, name string, offsets []status.Offset, by status.Asker, running bool) error {
	m, s, done, err := w.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	if m.state() != status.Stopped && !running {
		return fmt.Errorf("%w: %s", ErrNotStopped, name)
	}
	moved, to, err := m.placed(offsets)
	if err != nil {
		return err
	}
	s.Halt(attached(moved))
	var errs []error
	for i, p := range moved {
		from, there := p.Offset()
		err := s.During(ctx, func(ctx context.Context) error { return p.Move(ctx, to[i]) })
		p.Task().Update(func(s *status.TaskStatus) { s.Moved++ })
		w.audit(name, from, there, to[i], by, err)
		errs = append(errs, err)
	}
	if m.state() == status.Running {
		s.Resume(attached(moved))
	}
	return errors.Join(errs...)
}

// audit says in the log who moved an object. After an error it may have moved all the same.
func (w *Worker) audit(name string, from status.Offset, there bool, to status.Offset, by status.Asker, err error) {
	attrs := []any{"connector", name, "tenant", to.Tenant, "object", to.Object, "from", positionText(from, there), "to", positionText(to, true), "by", by.Who}
	if by.Reason != "" {
		attrs = append(attrs, "reason", by.Reason)
	}
	if err != nil {
		w.log.Warn("a position was to be moved by a request, and it is not known whether it was", append(attrs, "error", err)...)
		return
	}
	w.log.Info("a position was moved by a request", attrs...)
}

func positionText(o status.Offset, there bool) string {
	at := o.UpdatedAt.UTC().Format(time.RFC3339)
	switch {
	case !there:
		return "none"
	case o.Reset:
		return "initial.from"
	case o.UpdatedAt.IsZero():
		at = "all rows"
	}
	if o.ID > 0 {
		return fmt.Sprintf("%s, and before it from id %d on", at, o.ID)
	}
	return at
}
