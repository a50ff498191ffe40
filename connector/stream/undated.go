package stream

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Rows without updated-at, in an object that has one, fit no condition on it: polls never see them. Those
// that are there at first come with the backfill, which has no condition. Known ones are read again now
// and then, and new ones are searched for: ids and stamps of all rows, at the pace of a look-back, again
// and again. What is found goes to the follower, so that no two walks publish one row.

// undated are the rows without updated-at that were published, as they were.
func (p *Poller) undated() (seen, error) {
	known, err := loadLast(p.shard.Ledger(), p.stream, undatedFrom)
	if err != nil {
		return seen{}, p.unreadable(err)
	}
	return known, nil
}

// roundPlace is how often the place of a search is written down.
const roundPlace = time.Minute

// noneUndated is how many times reread.interval.ms pass from one search to the next
// where an object is not known to have any row without updated-at.
const noneUndated = 6

// searchUndated looks for new rows without updated-at. A search goes on where it was, and another
// begins when reread.interval.ms have passed since the last one began, or several times as long.
func (p *Poller) searchUndated(ctx context.Context, turns chan<- turn) (time.Duration, error) {
	pos := p.shard.Position(p.stream)
	if pos.Round == nil {
		known, err := p.undated()
		if err != nil {
			return chores.Never, err
		}
		every := p.object.Reread
		if len(known.last) == 0 {
			every *= noneUndated
		}
		if wait := time.Until(pos.Rounded.Add(every)); wait > 0 {
			return wait, nil
		}
		pos.Round = &checkpoint.Walk{Kind: checkpoint.Undated, From: time.Now().UTC().Truncate(time.Second), Ranges: everything()}
		if err := p.record(ctx, func(committed *checkpoint.Position) { committed.Round = pos.Round }); err != nil {
			return chores.Never, err
		}
	}
	if err := p.search(ctx, *pos.Round, turns); err != nil {
		return chores.Never, err
	}
	began := pos.Round.From
	if err := p.record(ctx, func(pos *checkpoint.Position) { pos.Round, pos.Rounded = nil, began }); err != nil {
		return chores.Never, err
	}
	known, err := p.undated()
	if err != nil {
		return chores.Never, err
	}
	p.task.Update(func(s *status.TaskStatus) {
		s.Undated, s.Round = int64(len(known.last)), max(time.Since(began), time.Second)
	})
	return 0, nil
}

// search is one search, or what is left of it.
func (p *Poller) search(ctx context.Context, w checkpoint.Walk, turns chan<- turn) error {
	known, err := p.undated()
	if err != nil {
		return err
	}
	p.task.Update(func(s *status.TaskStatus) { s.Undated = int64(len(known.last)) })
	at := p.listing(coupa.Query{
		Path: p.stream.Object, After: w.Ranges[0].After, Fields: `["id","updated_at"]`, Priority: coupa.PrioritySweep, Filter: p.unexported(),
	})
	for placed := time.Now(); !at.Done; {
		var ids []int64
		err := at.Page(ctx, func(row coupa.Row) {
			if _, was := known.last[row.ID]; row.UpdatedAt.IsZero() && !was {
				ids = append(ids, row.ID)
			}
		})
		if err != nil {
			return err
		}
		if err := hand(ctx, turns, ids); err != nil {
			return err
		}
		if time.Since(placed) < roundPlace {
			continue
		}
		placed = time.Now()
		if err := p.record(ctx, func(pos *checkpoint.Position) {
			if pos.Round != nil {
				pos.Round.Ranges = []checkpoint.Range{{After: at.After}}
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// rereadUndated hands the known ones over to be compared with what was published of them.
func (p *Poller) rereadUndated(ctx context.Context, turns chan<- turn) (time.Duration, error) {
	known, err := p.undated()
	if err != nil {
		return chores.Never, err
	}
	return p.object.Reread, hand(ctx, turns, slices.Sorted(maps.Keys(known.last)))
}

// hand gives rows without updated-at to the follower, a page at a time.
func hand(ctx context.Context, turns chan<- turn, ids []int64) error {
	for ids := range slices.Chunk(ids, pageRows) {
		if err := take(ctx, turns, func(ctx context.Context, f *follower) error { return f.repairUndated(ctx, ids) }); err != nil {
			return err
		}
	}
	return nil
}
