package connector

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/stream"
	"github.com/coupastream/coupastream/coupa"
)

// Bounds of counting rows for somebody who waits: pages, and how long each count may take.
const (
	weighPages = 10
	weighTime  = 10 * time.Second
)

// WeighOffsets tells what AlterOffsets or MoveOffsets would do to rows, and moves nothing; without
// offsets, what ResetOffsets would.
func (w *Worker) WeighOffsets(ctx context.Context, name string, offsets []status.Offset) ([]status.Weight, error) {
	m, _, err := w.owned(ctx, name)
	if err != nil {
		return nil, err
	}
	if offsets == nil {
		offsets = m.resets()
	}
	moved, to, err := m.placed(offsets)
	if err != nil {
		return nil, err
	}
	all := make([]status.Weight, len(moved))
	var counting sync.WaitGroup
	for i, p := range moved {
		counting.Go(func() { all[i] = weigh(ctx, m.source, p, *objectOf(m.c, to[i].Object), to[i]) })
	}
	counting.Wait()
	return all, nil
}

func weigh(ctx context.Context, source stream.Source, p *stream.Poller, o config.Object, to status.Offset) status.Weight {
	weight := status.Weight{Object: o.Path, To: to}
	from, there := p.Offset()
	if !there {
		return weight // nothing was published that could go out again
	}
	weight.From = from
	count := func(w coupa.Window, after int64) status.Count {
		return countRows(ctx, source, coupa.Query{Path: o.Path, Window: w, After: after, Fields: `["id","updated_at"]`, Priority: coupa.PrioritySnapshot})
	}
	// rows may have gone out beyond the mark, which is committed now and then
	done := clock.Later(from.UpdatedAt, p.Task().Status().Proven)
	until := time.Now().Add(-o.Settle).UTC().Truncate(time.Second)
	switch {
	case to.Reset && o.InitialFrom.Latest:
		if !o.IsWhole() && done.Before(until) {
			weight.LeftOut = count(coupa.Window{From: done, To: until}, 0)
		}
	case o.IsWhole():
		weight.Again = countRows(ctx, source, coupa.Query{Path: o.Path, Fields: `["id"]`, Priority: coupa.PrioritySnapshot})
	case to.Reset:
		weight.Again = count(coupa.Window{From: o.InitialFrom.At, To: until}, 0)
	default:
		if at := to.UpdatedAt; at.Before(done) && at.Before(until) {
			weight.Again = count(coupa.Window{From: at, To: until}, 0)
		} else if at.After(done) && at.Before(until) {
			weight.LeftOut = count(coupa.Window{From: done, To: at}, 0)
		}
		if to.ID > 0 {
			before := count(coupa.Window{To: to.UpdatedAt}, to.ID)
			weight.Again.Rows, weight.Again.About = weight.Again.Rows+before.Rows, weight.Again.About || before.About
			weight.Again.Unknown = cmp.Or(weight.Again.Unknown, before.Unknown)
		}
	}
	return weight
}

// countRows counts what fits a query: some pages of it, and what lies beyond by how densely these lie in ids.
func countRows(ctx context.Context, source stream.Source, q coupa.Query) (c status.Count) {
	ctx, cancel := context.WithTimeout(ctx, weighTime)
	defer cancel()
	list := listing.List{Query: q, Source: source, Gap: func(int64, int64) {}}
	first := int64(0)
	for page := 0; !list.Done; page++ {
		if page == weighPages {
			highest, err := source.MaxID(ctx, coupa.Query{Path: q.Path, Window: q.Window, Priority: q.Priority, Limit: listing.PageRows})
			if err != nil {
				return status.Count{Unknown: err.Error()}
			}
			if c.Rows > 0 && highest > list.After {
				c.Rows = int64(float64(c.Rows) * float64(highest-first+1) / float64(list.After-first+1))
			}
			c.About = true
			return c
		}
		err := list.Page(ctx, func(r coupa.Row) {
			if c.Rows++; first == 0 {
				first = r.ID
			}
		})
		if err != nil {
			return status.Count{Unknown: err.Error()}
		}
	}
	return c
}
