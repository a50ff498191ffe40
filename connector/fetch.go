package connector

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/coupa"
)

// maxChunkBytes is how much of a page is encoded before it is handed over. A walk may be resumed
// behind any row, so a page of huge rows goes out in parts and memory is bounded by the largest row.
const maxChunkBytes = 1 << 20

// fetch reads one page of a span, encodes what is fresh, and sends
// it to run in chunks. Trouble that passes is waited out here.
func (ps *pass) fetch(ctx context.Context, sp *span, r checkpoint.Range, askMax bool) {
	f := &fetch{ps: ps, span: sp, r: r, handed: r.After, chunk: &chunk{}, enc: ps.p.current.Load().encoder(),
		sizes: ps.p.shard.w.metrics.rowBytes.WithLabelValues(ps.p.stream.Object)}
	defer func() { f.enc.release() }()
	end := event{span: sp, pageEnd: true}
	for tries := 0; ; tries++ {
		start := f.r.After
		f.given = nil
		end.page, end.err = f.page(ctx)
		// nothing that this page told is to be trusted, what was handed over of it included
		if coupa.KindOf(end.err) == coupa.Broken {
			if end.rewound = f.handed > start; end.rewound {
				ps.p.doubt.add(f.given)
			}
			f.chunk, f.r.After = &chunk{}, start
		}
		// A row that is no JSON may have been mangled on the way.
		again := isTemporary(end.err) || coupa.KindOf(end.err) == coupa.BadRow && tries < 3
		if end.err == nil || ctx.Err() != nil || !again || ps.p.isAhead(ctx, ps.walk.Kind, ps.walk.To) {
			break
		}
		delay := temporaryBackoff.Delay(tries, retryAfter(end.err))
		ps.p.heldUp(end.err, delay)
		if err := f.hand(ctx, event{span: sp}); err != nil || !sleep(ctx, delay) {
			break
		}
	}
	if end.err == nil {
		ps.p.going()
		if askMax {
			end.maxID, end.err = ps.p.source.MaxID(ctx, ps.query(f.r))
			if end.err != nil && isTemporary(end.err) {
				end.err = nil // the split can wait
			}
		}
	}
	if err := f.hand(ctx, end); err != nil { // what is not handed over is read again
		ps.events <- event{span: sp, chunk: &chunk{}, after: f.handed, pageEnd: true, err: err}
	}
}

// fetch is the reading of one page.
type fetch struct {
	ps     *pass
	span   *span
	r      checkpoint.Range // After moves with each row
	handed int64            // rows up to this id were handed over
	given  []version        // of the page, what was published of them
	siblings
	chunk *chunk
	enc   *rowEncoder
	sizes prometheus.Observer // of rows
}

func (f *fetch) page(ctx context.Context) (coupa.Page, error) {
	if err := failpoint.Before(failpoint.Fetch); err != nil {
		return coupa.Page{}, err
	}
	q := f.ps.query(f.r)
	ctx, span := f.ps.tracePage(ctx, q)
	page, err := f.ps.p.source.Fetch(ctx, q, func(row coupa.Row) error {
		if err := f.take(ctx, row); err != nil {
			return err
		}
		f.r.After = row.Reached()
		if f.chunk.bytes < maxChunkBytes {
			return nil
		}
		return f.hand(ctx, event{span: f.span})
	})
	endPage(span, page, err)
	f.r.After = max(f.r.After, page.LastID) // behind parents without rows, too
	return page, errors.Join(err, failpoint.After(failpoint.Fetch))
}

// hand sends what was read to run once there is memory for it. An error: it was not sent.
func (f *fetch) hand(ctx context.Context, ev event) error {
	if err := f.ps.p.shard.w.memory.Acquire(ctx, memoryOf(f.chunk.bytes)); err != nil {
		return err
	}
	ev.chunk, ev.after = f.chunk, f.r.After
	f.ps.events <- ev
	f.given = append(f.given, f.chunk.published...)
	for _, l := range f.chunk.lines {
		f.given = append(f.given, l.version)
	}
	f.chunk, f.handed = &chunk{}, f.r.After
	return nil
}

func retryAfter(err error) time.Duration {
	var ce *coupa.Error
	if errors.As(err, &ce) {
		return ce.RetryAfter
	}
	return 0
}

// take decides about a row and encodes it if it is fresh.
func (f *fetch) take(ctx context.Context, row coupa.Row) error {
	if row.StampErr != nil {
		return row.StampErr
	}
	ps, c := f.ps, f.chunk
	if err := errors.Join(failpoint.Before(failpoint.Decode), failpoint.After(failpoint.Decode), failpoint.Before(failpoint.Decide)); err != nil {
		return err
	}
	if !ps.stamp.IsZero() {
		row.UpdatedAt = ps.stamp
	}
	f.sizes.Observe(float64(len(row.JSON)))
	c.newest = later(c.newest, later(row.UpdatedAt, row.LinesAt))
	verdict := ps.seen.decide(row)
	if ps.p.doubt.has(row) || f.have(row) {
		verdict = duplicate
	}
	if err := ps.p.own(ctx, ps.stamp.Unix(), row); err != nil {
		return err
	}
	if ps.walk.Kind == checkpoint.Lines && row.LinesAt.Before(ps.walk.From) {
		// Found by a line that it does not show, one that was removed, or
		// by none at all. Nothing tells whether it was published like this.
		verdict = duplicate
	}
	if err := errors.Join(failpoint.After(failpoint.Decide), failpoint.Before(failpoint.Encode)); err != nil {
		return err
	}
	if verdict != fresh {
		c.rows++
		c.dropped++
		return nil
	}
	if !ps.unpublished {
		if err := f.publish(ctx, row); err != nil {
			return err
		}
	}
	c.rows++
	f.siblings.add(row)
	if ps.linesAlone {
		return nil
	}
	c.entries = append(c.entries, entries(row, ps.horizon)...)
	ps.count(c, row)
	return nil
}

// publish makes a row's record, or its dead letter.
func (f *fetch) publish(ctx context.Context, row coupa.Row) error {
	p, c := f.ps.p, f.chunk
	err := f.encode(ctx, row)
	var shrunk cut
	if err == nil {
		shrunk, err = f.shrink(ctx, row)
	}
	if why, taken := p.dead.takes(err); taken {
		if f.ps.linesAlone { // it is a dead letter since it was read first
			return nil
		}
		return p.bury(ctx, c, f.enc, row, f.ps.op, why)
	}
	if err != nil {
		return err
	}
	c.trimmed += shrunk.records
	if f.ps.linesAlone {
		c.addLines(f.enc, row, f.ps.op)
		return failpoint.After(failpoint.Encode)
	}
	if err := c.add(f.enc, row, f.ps.op, shrunk.marks...); err != nil {
		return err
	}
	if f.ps.walk.Kind == checkpoint.Asked && len(c.lines) > 0 {
		c.lines[len(c.lines)-1].asked = true
	}
	return nil
}

// encode encodes a row by a schema that knows its custom fields: if need be, by one
// that is made for them. Each turn but the last knows more of them than the one before.
func (f *fetch) encode(ctx context.Context, row coupa.Row) error {
	for {
		if err := f.enc.encode(row, f.ps.op); err != nil {
			return err
		}
		unfit := f.enc.unfit()
		if unfit == nil {
			return nil
		}
		newer, err := f.ps.p.fit(ctx, f.enc.encoding, f.enc.guarded(row), unfit)
		if err != nil || newer == nil {
			return err
		}
		f.enc.release()
		f.enc = newer.encoder()
	}
}

// count notes a row that the polls alone would have missed: one that became
// visible after the mark had passed its stamp, or that changed without it.
func (ps *pass) count(c *chunk, r coupa.Row) {
	if ps.op == OpSnapshot || !r.UpdatedAt.Before(ps.mark) {
		return
	}
	if ps.walk.Kind == checkpoint.Lines || ps.seen.knows(r.ID, r.UpdatedAt) {
		c.silent++
		return
	}
	c.late = append(c.late, ps.mark.Sub(r.UpdatedAt))
}

// query asks for the next page of a range.
func (ps *pass) query(r checkpoint.Range) coupa.Query {
	q := ps.ask
	q.Fields = ps.p.fields() // custom fields may have been found since the walk began
	if q.IDs == nil {
		q.After, q.Through = r.After, r.Through
		return q
	}
	q.IDs = slices.DeleteFunc(slices.Clone(q.IDs), func(id int64) bool { return id <= r.After })
	return q
}
