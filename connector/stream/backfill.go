package stream

import (
	"context"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// backfill reads what was there before the stream began, beside the polls and with the rate that
// they leave over. It goes on from the committed position and returns when there is nothing left.
//
// Polls read from the backfill's end on and the backfill before it, so the two never compare
// the same version; a row that changes meanwhile leaves the backfill's window. What the
// backfill has read before that and not handed over yet is taken out by the shard (Shard.receive). The
// overlap before the border is read once more at the end, for rows that became visible late.
//
// Where lines are to go to topics of their own and those of what is published did not, all
// of that is read again, for the lines alone. Polls go on over their overlap then: the two
// have no border, and what the polls hand over of a row takes out what is read of it again.
func (p *Poller) backfill(ctx context.Context) error {
	persisted, began := time.Now(), false
	for {
		pos := p.shard.Position(p.stream)
		w := pos.Backfill
		p.task.Update(func(s *status.TaskStatus) {
			if s.Snapshot = w != nil; w == nil {
				s.Progress = status.Progress{}
			}
		})
		if w == nil && p.maker.HasLines() && !pos.LineTopics {
			if err := p.beginSplit(ctx); err != nil {
				return err
			}
			continue
		}
		if w == nil {
			if began {
				p.task.Update(func(s *status.TaskStatus) { s.Backfilled = time.Now() })
			}
			return nil
		}
		began = true
		if w.Kind == checkpoint.Split {
			if err := p.maker.AwaitAccepted(ctx); err != nil {
				return err
			}
		}
		ps := &pass{
			p: p, rules: backfillRules, walk: *w, ask: p.query(backfillRules.priority, coupa.Window{From: w.From, To: w.To}),
			progress: p.task.Progress, horizon: w.To.Add(-retention(p.object)).Unix(), persisted: &persisted,
			place: func(pos *checkpoint.Position) **checkpoint.Walk { return &pos.Backfill },
		}
		ps.finish = func(*checkpoint.Position) {}
		switch w.Kind {
		case checkpoint.Split:
			published, err := p.published(pos.Mark, time.Time{})
			if err != nil {
				return err
			}
			ps.rules, ps.seen, ps.mark, ps.ask.Over = splitRules, published, pos.Mark, pos.Mark
		case checkpoint.Closing:
			published, err := p.published(w.From, w.To)
			if err != nil {
				return err
			}
			ps.rules, ps.seen, ps.progress = closingRules, published, nil
		default:
			if w.From.IsZero() {
				if err := ps.fromEarliest(ctx); err != nil {
					return err
				}
			}
			ps.finish = func(pos *checkpoint.Position) {
				pos.Backfill = closing(*w, pos.Floor, p.object.Overlap)
				if w.From.IsZero() { // it was over rows without updated-at, too
					pos.Rounded = w.To
				}
			}
		}
		if err := ps.carryOut(ctx); err != nil {
			return err
		}
	}
}

// fromEarliest lets a backfill read rows without updated-at too, which a window would leave out. It ends
// at the highest id: rows above it came after the stream's first position, which is committed.
func (ps *pass) fromEarliest(ctx context.Context) error {
	ps.rules, ps.ask.Window = earliestRules, coupa.Window{}
	var err error
	if ps.maxID, err = ps.p.source.MaxID(ctx, ps.ask); err != nil {
		return err
	}
	ps.walk.Ranges = slices.Clone(ps.walk.Ranges)
	for i := range ps.walk.Ranges {
		if r := &ps.walk.Ranges[i]; r.Through == 0 && r.After < ps.maxID {
			r.Through = ps.maxID
		}
	}
	return nil
}

// noteLines takes down that lines have no topics any more: should they
// get them again, what was published meanwhile is read again for them.
func (p *Poller) noteLines(ctx context.Context) error {
	pos := p.shard.Position(p.stream)
	if p.maker.HasLines() || !pos.LineTopics {
		return nil
	}
	return p.record(ctx, func(pos *checkpoint.Position) {
		pos.LineTopics = false
		if isSplitting(*pos) {
			pos.Backfill = nil
		}
	})
}

// beginSplit begins to read again what is published, for its lines. With initial.from=latest
// nothing tells how far back that goes: lines get to their topics with their row's next change.
func (p *Poller) beginSplit(ctx context.Context) error {
	end, err := p.publishedEnd(p.shard.Position(p.stream))
	if err != nil {
		return err
	}
	return p.record(ctx, func(pos *checkpoint.Position) {
		pos.LineTopics = true
		if from := p.object.InitialFrom; !from.Latest {
			pos.Backfill = &checkpoint.Walk{Kind: checkpoint.Split, From: from.At.Truncate(time.Second).UTC(), To: end, Ranges: everything()}
		}
	})
}

// isSplitting tells whether rows are still to be read again for their lines.
func isSplitting(pos checkpoint.Position) bool {
	return pos.Backfill != nil && pos.Backfill.Kind == checkpoint.Split
}
