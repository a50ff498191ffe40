package connector

import (
	"context"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/coupa"
)

// backfill reads what was there before the stream began, beside the polls and with the rate that they leave over. It goes on from the committed
// position and returns when there is nothing left.
//
// Polls read from the backfill's end on and the backfill before it, so the two never compare the same version; a row that changes meanwhile
// leaves the backfill's window. What the backfill has read before that and not handed over yet is taken out by shard.receive. The overlap
// before the border is read once more at the end, for rows that became visible late.
func (p *poller) backfill(ctx context.Context) error {
	persisted := time.Now()
	for {
		pos := p.shard.position(p.stream)
		w := pos.Backfill
		p.task.update(func(s *TaskStatus) {
			if s.Snapshot = w != nil; w == nil {
				s.Progress = Progress{}
			}
		})
		if w == nil {
			return nil
		}
		ps := &pass{
			p: p, op: OpSnapshot, walk: *w, ask: p.query(coupa.PriorityBackfill, coupa.Window{From: w.From, To: w.To}),
			horizon: w.To.Add(-retention(p.object)).Unix(), persisted: &persisted,
			place: func(pos *checkpoint.Position) **checkpoint.Walk { return &pos.Backfill },
		}
		ps.finish = func(*checkpoint.Position) {}
		if w.Kind == checkpoint.Closing {
			published, err := p.published(w.From, w.To)
			if err != nil {
				return err
			}
			ps.seen = published
		} else {
			ps.finish = func(pos *checkpoint.Position) { pos.Backfill = closing(*w, pos.Floor, p.object.Overlap) }
		}
		if err := ps.carryOut(ctx); err != nil {
			return err
		}
	}
}
