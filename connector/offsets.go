package connector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
)

// isUnbegun tells whether the stream has still to get its first position: it is new, or it was reset.
func isUnbegun(pos checkpoint.Position, o config.Object) bool {
	if isWhole(o) {
		return pos.Seq == 0
	}
	return pos.Mark.IsZero()
}

// restored waits for the shard to be restored here, for requests
// that come while it is. ErrBusy if that takes too long.
func (s *shard) restored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !s.isOwned() {
		if !clock.Sleep(ctx, 20*time.Millisecond) {
			return fmt.Errorf("%w: the positions are being restored from the checkpoint topic", ErrBusy)
		}
	}
	return nil
}

// Offsets are the committed positions of a connector's objects, of those that
// have one. Only the connector's owner knows; another worker gives NotOwnerError.
func (w *Worker) Offsets(ctx context.Context, name string) ([]Offset, error) {
	m, s, err := w.owned(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []Offset
	for _, o := range m.c.Objects {
		st := checkpoint.Stream{Tenant: m.c.Tenant, Object: o.Path}
		pos := s.position(st)
		// one that is read whole has a position from its first reading on
		if pos.Seq == 0 || pos.Mark.IsZero() && (!isWhole(o) || pos.Walk == nil) {
			continue
		}
		all = append(all, offsetOf(st, pos))
	}
	return all, nil
}

func offsetOf(st checkpoint.Stream, pos checkpoint.Position) Offset {
	o := Offset{Tenant: st.Tenant, Object: st.Object, UpdatedAt: pos.Mark}
	walk := pos.Backfill
	if walk == nil {
		walk = pos.Walk
	}
	if walk != nil && len(walk.Ranges) > 0 {
		o.ID = walk.Ranges[0].After
	}
	return o
}

// owned is a connector that this worker can work on, and its shard, restored.
func (w *Worker) owned(ctx context.Context, name string) (*managed, *shard, error) {
	m, err := w.find(name)
	if err != nil {
		return nil, nil, err
	}
	if err := w.mine(m); err != nil {
		return nil, nil, err
	}
	if m.c == nil {
		return nil, nil, fmt.Errorf("the connector's configuration can't be used: %s", m.trace)
	}
	s := m.shard.Load()
	return m, s, s.restored(ctx)
}

// hold is owned for who goes on to change something: until done is called, the connector
// stays as it is. Restoring is waited for before, so that it holds up nobody else.
func (w *Worker) hold(ctx context.Context, name string) (m *managed, s *shard, done func(), err error) {
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
func (w *Worker) AlterOffsets(ctx context.Context, name string, offsets []Offset) error {
	return w.alter(ctx, name, offsets, false)
}

// MoveOffsets does the same for objects of a connector in any
// state: while they are moved, these objects alone do not run.
func (w *Worker) MoveOffsets(ctx context.Context, name string, offsets []Offset) error {
	return w.alter(ctx, name, offsets, true)
}

// ResetOffsets lets all objects of a STOPPED connector begin anew.
func (w *Worker) ResetOffsets(ctx context.Context, name string) error {
	m, err := w.find(name)
	if err != nil || m.c == nil {
		return errors.Join(err, w.AlterOffsets(ctx, name, nil))
	}
	var all []Offset
	for _, o := range m.c.Objects {
		all = append(all, Offset{Tenant: m.c.Tenant, Object: o.Path, Reset: true})
	}
	return w.AlterOffsets(ctx, name, all)
}

func (w *Worker) alter(ctx context.Context, name string, offsets []Offset, running bool) error {
	m, s, done, err := w.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	if m.state() != Stopped && !running {
		return fmt.Errorf("%w: %s", ErrNotStopped, name)
	}
	var moved []*poller
	var to []Offset
	var problems config.Problems
	for _, o := range offsets {
		at := slices.IndexFunc(m.pollers, func(p *poller) bool { return p.stream == checkpoint.Stream{Tenant: o.Tenant, Object: o.Object} })
		if at < 0 {
			problems = append(problems, config.Problem{Key: "partition", Value: o.Tenant + "/" + o.Object, Message: "no object of connector " + name,
				Remedy: fmt.Sprintf("give {\"tenant\": %q, \"object\": one of coupa.objects}", m.c.Tenant)})
			continue
		}
		p := m.pollers[at]
		if now := offsetOf(p.stream, s.position(p.stream)); isWhole(p.object) && !o.Reset && now.UpdatedAt.Equal(o.UpdatedAt) && now.ID == o.ID {
			continue // what Offsets told may be given back
		}
		if problem := checkOffset(o, p.object); problem != nil {
			problems = append(problems, *problem)
		}
		moved, to = append(moved, p), append(to, o)
	}
	if len(problems) > 0 {
		return problems
	}
	s.halt(attached(moved))
	var errs []error
	for i, p := range moved {
		errs = append(errs, s.during(ctx, func(ctx context.Context) error { return p.move(ctx, to[i]) }))
	}
	if m.state() == Running {
		s.resume(attached(moved))
	}
	w.log.Info("positions were moved by a request", "connector", name, "objects", len(moved))
	return errors.Join(errs...)
}

func checkOffset(o Offset, object config.Object) *config.Problem {
	switch {
	case o.Reset:
		return nil
	case isWhole(object):
		return &config.Problem{Key: "offset", Message: object.Path + " has no updated-at and is read whole", Remedy: "reset it (an offset of null) to have all rows published again"}
	case o.UpdatedAt.IsZero():
		return &config.Problem{Key: "offset.updated_at", Message: "is missing", Remedy: "give an instant in RFC 3339, or null for the offset to begin anew"}
	case o.UpdatedAt.After(time.Now().Add(time.Hour)):
		return &config.Problem{Key: "offset.updated_at", Value: o.UpdatedAt.Format(time.RFC3339), Message: "lies in the future, and nothing would be published until then", Remedy: "give an instant that has passed"}
	case o.ID < 0:
		return &config.Problem{Key: "offset.id", Value: fmt.Sprint(o.ID), Message: "is negative", Remedy: "leave it out, or give the id above which rows are to be published again"}
	}
	return nil
}

// positionAt is what a request makes of a stream's position. Seq is the shard's affair.
func positionAt(o Offset, object config.Object) checkpoint.Position {
	if o.Reset {
		return checkpoint.Position{}
	}
	at := o.UpdatedAt.Truncate(time.Second).UTC()
	pos := checkpoint.Position{Mark: at, Lines: at, Floor: at}
	for range lookbackDepths(object) {
		pos.Looked = append(pos.Looked, at)
	}
	if o.ID > 0 {
		pos.Backfill = &checkpoint.Walk{Kind: checkpoint.Snapshot, To: at, Ranges: []checkpoint.Range{{After: o.ID}}}
	}
	return pos
}

// keepSplit lets a position that was moved go on reading again for
// lines what lies before its mark; after a backfill, all of it.
func keepSplit(pos *checkpoint.Position, left checkpoint.Walk) {
	if pos.Backfill != nil {
		pos.LineTopics = false
		return
	}
	if pos.Mark.Before(left.To) {
		left.To = pos.Mark
	}
	if left.From.Before(left.To) {
		pos.Backfill = &left
	}
}

// move commits another position of a stream whose poller does not run, and drops the stream's ledger in the
// same transaction. Lines are published again as rows are: states of rows are of an epoch that has passed.
func (p *poller) move(ctx context.Context, o Offset) error {
	to := positionAt(o, p.object)
	chunks, err := p.shard.ledger().ExpiredChunks(p.stream, math.MaxInt64, math.MaxInt)
	if err != nil {
		return fmt.Errorf("reading the ledger of %v: %w", p.stream, err)
	}
	done := make(chan error, 1)
	sub := &submission{
		stream: p.stream, task: p.task, expired: chunks, keep: retention(p.object), dead: new(atomic.Bool), done: func(err error) { done <- err },
		move: func(pos *checkpoint.Position) {
			was := *pos
			*pos = to.Clone()
			pos.Seq, pos.LineTopics, pos.LineEpoch = was.Seq, was.LineTopics, was.LineEpoch+1
			pos.Requests, pos.Moved = was.Requests, was.Moved
			for i := range pos.Requests { // their windows are of the position before
				if r := &pos.Requests[i]; !r.Over() {
					endRequest(r, checkpoint.RequestCancelled)
				}
			}
			if isSplitting(was) && !o.Reset {
				keepSplit(pos, *was.Backfill)
			}
		},
	}
	if err := p.submit(ctx, sub); err != nil {
		return err
	}
	if err := <-done; err != nil {
		return fmt.Errorf("moving %v: %w", p.stream, err)
	}
	p.doubt.forget()
	p.task.update(func(t *TaskStatus) { t.Mark = to.Mark })
	return nil
}
