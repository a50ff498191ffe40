package stream

import (
	"context"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// lookBack compares what lies behind the overlap with the ledger, again and again at growing
// depths: rows that became visible later than the overlap reaches. Only ids and stamps are
// asked for, with a tenth of the request budget (coupa.PrioritySweep); what the ledger does not
// know goes to the follower, which reads and publishes it between two polls. Where updated-at
// does not show every change, whole rows are asked for, all there are, and compared by content.
// It is a chore, and its first turn only finds out when the next one is due.
func (p *Poller) lookBack(depths []time.Duration, turns chan<- turn) func(context.Context) (time.Duration, error) {
	every := make([]time.Duration, len(depths))
	for i, d := range depths {
		every[i] = LookBackEvery(p.object, d)
	}
	next, due := -1, time.Time{} // which one is due, and when
	return func(ctx context.Context) (time.Duration, error) {
		if next >= 0 {
			if next > 0 || !p.looksBack.Load() {
				if err := p.lookBackBy(ctx, depths[next], turns); err != nil {
					return chores.Never, err
				}
			}
			err := p.record(ctx, func(pos *checkpoint.Position) {
				looked := make([]time.Time, len(depths))
				copy(looked, pos.Looked)
				looked[next], pos.Looked = due, looked
			})
			if err != nil {
				return chores.Never, err
			}
		}
		now, err := p.source.Now(ctx)
		if err != nil {
			return chores.Never, err
		}
		i, wait := nextLookBack(every, p.shard.Position(p.stream).Looked, now)
		next, due = i, now.Add(wait).Truncate(time.Second).UTC()
		return wait, nil
	}
}

// suspects are rows that a look-back found and the ledger does not know.
type suspects struct {
	ids    []int64 // ascending, at most a page
	window coupa.Window
}

// nextLookBack picks the depth that has been due for longest, or will be due first, and
// how long to wait for it. now is Coupa's clock, as the times of the last ones are.
func nextLookBack(every []time.Duration, looked []time.Time, now time.Time) (i int, wait time.Duration) {
	for n, every := range every {
		var last time.Time // never
		if n < len(looked) {
			last = looked[n]
		}
		due := min(last.Add(every).Sub(now), every) // no longer, should the clock have run ahead
		if n == 0 || due < wait {
			i, wait = n, due
		}
	}
	return i, max(0, wait)
}

// lookBackBy goes over [mark − depth, mark − overlap) in slices of time, the oldest first.
func (p *Poller) lookBackBy(ctx context.Context, depth time.Duration, turns chan<- turn) error {
	mark := p.shard.Position(p.stream).Mark
	from := mark.Add(-depth)
	end := mark.Add(-p.object.Overlap).Truncate(time.Second)
	for {
		// What the ledger has forgotten meanwhile can't be compared any more.
		if from = clock.Later(from, p.shard.Position(p.stream).Floor); !from.Before(end) {
			return nil
		}
		to, err := p.sliceEnd(from, end)
		if err != nil {
			return err
		}
		if err := p.lookAt(ctx, coupa.Window{From: from, To: to}, turns); err != nil {
			return err
		}
		from = to
	}
}

// sliceEnd cuts a span of time behind about p.slice entries of the ledger.
func (p *Poller) sliceEnd(from, end time.Time) (time.Time, error) {
	n := 0
	err := p.shard.Ledger().Range(p.stream, from.Unix(), end.Unix(), func(e checkpoint.Entry) bool {
		if n++; n < p.slice {
			return true
		}
		end = time.Unix(e.At+1, 0).UTC()
		return false
	})
	return end, err
}

// lookAt lists the rows of a window and reports those that the ledger does not know.
func (p *Poller) lookAt(ctx context.Context, w coupa.Window, turns chan<- turn) error {
	published, err := p.published(w.From, w.To)
	if err != nil {
		return err
	}
	q := coupa.Query{Path: p.stream.Object, Window: w, Fields: `["id","updated_at"]`, Priority: coupa.PrioritySweep, Filter: p.unexported()}
	unknown := func(row coupa.Row) bool {
		at, known := published.latest[row.ID]
		return !known || at < row.UpdatedAt.Unix()
	}
	if p.object.KeepsAll() {
		q.Fields = p.maker.Fields()
		unknown = func(row coupa.Row) bool { return published.decide(row) == fresh }
	}
	for at := p.listing(q); !at.Done; {
		var ids []int64
		err := at.Page(ctx, func(row coupa.Row) {
			if unknown(row) {
				ids = append(ids, row.ID)
			}
		})
		if err != nil {
			return err
		}
		for ids := range slices.Chunk(ids, max(1, p.fitting(ids))) {
			repair := func(ctx context.Context, f *follower) error { return f.repair(ctx, suspects{ids, w}) }
			if err := take(ctx, turns, repair); err != nil {
				return err
			}
			p.task.Update(func(s *status.TaskStatus) { s.LookbackFinds += int64(len(ids)) })
		}
	}
	return nil
}

// listing is a walk of which nothing is kept but what its caller makes of its rows.
func (p *Poller) listing(q coupa.Query) *listing.List {
	return &listing.List{Query: q, Source: p.source, Gap: p.steppedOver}
}
