package stream

import (
	"context"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// readWhole reads a stream of rows without updated-at, all of it every reread.interval.ms, and
// publishes what differs from what was last published of its id. Each row is entered in the ledger
// under the time at which its walk began; there is one walk at a time, so these run forward.
func (p *Poller) readWhole(ctx context.Context, turns <-chan turn) error {
	persisted := time.Now()
	for {
		pos := p.shard.Position(p.stream)
		w := pos.Walk
		if w == nil {
			to, err := p.nextWhole(ctx, pos.Mark, turns)
			if err != nil {
				return err
			}
			w = &checkpoint.Walk{Kind: checkpoint.Poll, To: to, Ranges: everything()}
		}
		first := pos.Mark.IsZero()
		p.task.Update(func(s *status.TaskStatus) { s.Snapshot = first })
		began, published := time.Now(), p.task.Published()
		var vanished bool
		err := chores.Apart(func() (err error) {
			vanished, err = p.walkWhole(ctx, *w, first, &persisted)
			return err
		})
		if err != nil {
			return err
		}
		p.task.Proved(began, published, w.To, vanished)
		p.task.Update(func(s *status.TaskStatus) {
			s.Mark, s.Snapshot, s.Progress = w.To, false, status.Progress{}
			if first {
				s.Backfilled = time.Now()
			}
			s.Polls++
			s.Restarts = 0
		})
	}
}

// nextWhole waits until the next walk is due and gives the time that it begins at.
func (p *Poller) nextWhole(ctx context.Context, mark time.Time, turns <-chan turn) (time.Time, error) {
	for {
		now, err := p.source.Now(ctx)
		if err != nil {
			return now, err
		}
		to := windowEnd(now, p.object)
		// no longer, should the clock have run ahead
		wait := min(mark.Add(p.object.Reread).Sub(to), p.object.Reread)
		if mark.IsZero() || wait <= 0 {
			return clock.Later(to, mark.Add(time.Second)), nil
		}
		if err := p.giveTurn(ctx, wait, turns); err != nil {
			return now, err
		}
	}
}

// giveTurn waits, or carries out what others ask for meanwhile.
func (p *Poller) giveTurn(ctx context.Context, wait time.Duration, turns <-chan turn) error {
	due := time.NewTimer(wait)
	defer due.Stop()
	select {
	case <-due.C:
		return nil
	case do := <-turns:
		return p.turns.Poll(ctx, func() error { return do(ctx, nil) })
	case <-ctx.Done():
		return ctx.Err()
	}
}

// walkWhole reads all rows once; vanished: there are none, and there were some.
func (p *Poller) walkWhole(ctx context.Context, w checkpoint.Walk, first bool, persisted *time.Time) (vanished bool, err error) {
	last, err := loadLast(p.shard.Ledger(), p.stream, 0)
	if err != nil {
		return false, p.unreadable(err)
	}
	ps := &pass{
		p: p, rules: wholeRules, walk: w, seen: last, stamp: w.To, horizon: time.Time{}.Unix(), persisted: persisted,
		ask:    p.query(wholeRules.priority, coupa.Window{}),
		place:  func(pos *checkpoint.Position) **checkpoint.Walk { return &pos.Walk },
		finish: func(pos *checkpoint.Position) { pos.Mark, pos.Lines = w.To, w.To },
	}
	switch {
	case first && p.object.InitialFrom.Latest:
		ps.rules = latestRules
	case first:
		ps.rules = firstRules
	}
	if err := ps.carryOut(ctx); err != nil {
		return false, err
	}
	return ps.walk.Rows == 0 && len(last.last) > 0, nil
}

// loadLast reads what was last published of every row of a stream, of entries kept from a time on.
func loadLast(l shard.Ledger, st checkpoint.Stream, from int64) (seen, error) {
	s := seen{last: map[int64]content{}}
	err := l.Range(st, from, 0, func(e checkpoint.Entry) bool { // in order of time
		c, known := s.last[e.ID]
		s.last[e.ID] = content{e.At, e.Digest, known && c.at == e.At}
		return true
	})
	return s, err
}
