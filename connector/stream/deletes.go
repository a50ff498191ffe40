package stream

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/sweep"
	"github.com/coupastream/coupastream/coupa"
)

// What is deleted in Coupa is found by package sweep. What is published of it goes out here, between two
// polls.

// noteDeletes begins or ends the search for deletes, as the object's key says.
func (p *Poller) noteDeletes(ctx context.Context) error {
	sweeping := p.shard.Position(p.stream).Sweep != nil
	if sweeping == sweep.Wanted(p.object) {
		return nil
	}
	begin, sets := sweep.Begin()
	if sweeping {
		begin = nil
	}
	return p.submitAlone(ctx, &shard.Submission{IDs: sets, Move: func(pos *checkpoint.Position) { pos.Sweep = begin }})
}

// sweeper finds deletes, and asks for turns to publish them.
func (p *Poller) sweeper(turns chan<- turn) *sweep.Sweeper {
	return &sweep.Sweeper{Config: sweep.Config{
		Stream: p.stream, Object: p.object, Source: p.source, Ledger: p.shard.Ledger(), Host: &sweepHost{p, turns}, Topics: p.topics, Task: p.task, Log: p.log, Gap: p.steppedOver,
	}}
}

// ApproveDeletes lets what a sweep found be deleted; sweep.ErrNothing if none waits.
func (p *Poller) ApproveDeletes(ctx context.Context) error {
	if err := p.sweeper(nil).Approve(ctx); err != nil {
		return err
	}
	if c := p.swept.Load(); c != nil {
		c.Soon()
	}
	return nil
}

// sweepHost is the poller as its sweeper sees it.
type sweepHost struct {
	*Poller
	turns chan<- turn
}

func (h *sweepHost) SweepPosition() checkpoint.Position { return h.shard.Position(h.stream) }

func (h *sweepHost) Unreadable(err error) error { return h.unreadable(err) }

func (h *sweepHost) Note(ctx context.Context, ids []checkpoint.IDChange, move func(*checkpoint.Position)) error {
	return h.submitAlone(ctx, &shard.Submission{IDs: ids, Move: move})
}

// between waits for a turn between two polls, and for its end.
func (h *sweepHost) between(ctx context.Context, do turn) error {
	done := make(chan error, 1)
	err := take(ctx, h.turns, func(ctx context.Context, f *follower) error {
		err := do(ctx, f)
		done <- err
		return err
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // the turn may never have come
		return ctx.Err()
	}
}

// Bury publishes that rows are gone, but for those that are there again.
func (h *sweepHost) Bury(ctx context.Context, ids []int64) error {
	return h.between(ctx, func(ctx context.Context, _ *follower) error { return h.bury(ctx, ids) })
}

// bury asks once more for all of the rows: no poll is under way, and what the next one finds comes after.
func (p *Poller) bury(ctx context.Context, ids []int64) error {
	var back []int64
	q := coupa.Query{Path: p.stream.Object, IDs: ids, Fields: `["id"]`, Priority: coupa.PriorityPoll}
	if _, err := p.source.Fetch(ctx, q, func(r coupa.Row) error {
		back = append(back, r.ID)
		return nil
	}); err != nil {
		return err
	}
	gone := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return slices.Contains(back, id) })
	c := &record.Chunk{}
	for _, id := range gone {
		if err := p.maker.Delete(ctx, c, id); err != nil {
			return err
		}
	}
	sub := &shard.Submission{Records: c.Records, Rows: c.Published, Lines: c.Lines, Gone: gone, Move: func(pos *checkpoint.Position) {
		if pos.Sweep != nil {
			pos.Sweep.Deleted += int64(len(gone))
		}
	}}
	if len(back) > 0 {
		sub.IDs = []checkpoint.IDChange{{Set: checkpoint.Missing, Remove: back}}
	}
	if len(gone) > 0 {
		err := p.shard.Ledger().Range(p.stream, 0, 0, func(e checkpoint.Entry) bool {
			if _, is := slices.BinarySearch(gone, e.ID); is {
				sub.Voided = append(sub.Voided, e)
			}
			return true
		})
		if err != nil {
			return p.unreadable(err)
		}
	}
	if err := p.submitAlone(ctx, sub); err != nil {
		return err
	}
	p.doubt.forget()
	return nil
}

// Revive reads rows that were gone and publishes them. Where rows are read whole, the next walk does.
func (h *sweepHost) Revive(ctx context.Context, ids []int64) error {
	if h.object.IsWhole() {
		return nil
	}
	return h.between(ctx, func(ctx context.Context, f *follower) error { return f.revive(ctx, ids) })
}

func (f *follower) revive(ctx context.Context, ids []int64) error {
	ids = slices.Clone(ids)
	gone, err := f.shard.Ledger().IDs(f.stream, checkpoint.Gone, ids[0]-1, len(ids))
	if err != nil {
		return f.unreadable(err)
	}
	// others a poll has published
	ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(gone, id) })
	for len(ids) > 0 {
		part := ids[:max(1, f.fitting(ids))]
		published, err := f.published(time.Time{}, time.Time{}, part...)
		if err != nil {
			return err
		}
		if err := f.readAgain(ctx, part, published, func(*checkpoint.Position) {}); err != nil {
			return err
		}
		ids = ids[len(part):]
	}
	return nil
}

// submitAlone hands over a submission that stands alone, and gives what became of it.
func (p *Poller) submitAlone(ctx context.Context, sub *shard.Submission) error {
	done := make(chan error, 1)
	sub.Stream, sub.Task, sub.Keep, sub.Dead, sub.Done = p.stream, p.task, retention(p.object), new(atomic.Bool), func(err error) { done <- err }
	if err := p.submit(ctx, sub); err != nil {
		return err
	}
	return <-done
}
