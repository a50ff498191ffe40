package stream

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// maxChunkBytes is how much of a page is encoded before it is handed over. A walk may be resumed
// behind any row, so a page of huge rows goes out in parts and memory is bounded by the largest row.
const maxChunkBytes = 1 << 20

// fetch reads one page of a span, encodes what is fresh, and sends it to run in chunks. Trouble that
// passes is waited out here. With askMax, it asks for the highest id, too, to split the span by;
// with whenEmpty, where the page is empty, to know whether that is its end.
func (ps *pass) fetch(ctx context.Context, sp *span, r checkpoint.Range, askMax, whenEmpty bool) {
	f := &fetch{ps: ps, span: sp, r: r, handed: r.After, chunk: &record.Chunk{}, enc: ps.p.maker.Encoder(ps.rules.how(ps.again))}
	defer f.enc.Release()
	end := event{span: sp, pageEnd: true}
	for tries := 0; ; tries++ {
		start := f.r.After
		f.given = nil
		end.page, end.err = f.page(ctx)
		end.short = end.page.Rows < pageRows && f.limit == 0
		if f.failed(end.err, f.r.After) {
			end.err = f.passOver(ctx, f.query(), end.err)
		}
		if end.err == nil && end.page.Empty && whenEmpty && ps.ask.IDs == nil {
			end.maxID, end.err = ps.p.source.MaxID(ctx, ps.ask)
		}
		// nothing that this page told is to be trusted, what was handed over of it included
		if coupa.KindOf(end.err) == coupa.Broken {
			if end.rewound = f.handed > start; end.rewound {
				ps.p.doubt.add(f.given)
			}
			f.chunk, f.r.After = &record.Chunk{}, start
		}
		// A row that is no JSON may have been mangled on the way.
		again := status.IsTemporary(end.err) || coupa.KindOf(end.err) == coupa.BadRow && tries < 3
		if end.err == nil || ctx.Err() != nil || !again || ps.rules.clocked && ps.p.isAhead(ctx, ps.over()) {
			break
		}
		delay := temporaryBackoff.Delay(f.patience(tries), coupa.RetryAfter(end.err))
		ps.p.heldUp(end.err, delay)
		if err := f.hand(ctx, event{span: sp}); err != nil || !clock.Sleep(ctx, delay) {
			break
		}
	}
	if end.err == nil {
		ps.p.going()
		if askMax && end.maxID == 0 {
			end.maxID, end.err = ps.p.source.MaxID(ctx, ps.query(f.r))
			if end.err != nil && status.IsTemporary(end.err) {
				end.err = nil // the split can wait
			}
		}
	}
	if err := f.hand(ctx, end); err != nil { // what is not handed over is read again
		ps.events <- event{span: sp, chunk: &record.Chunk{}, after: f.handed, pageEnd: true, err: err}
	}
}

// fetch is the reading of one page.
type fetch struct {
	ps     *pass
	span   *span
	r      checkpoint.Range // After moves with each row
	handed int64            // rows up to this id were handed over
	given  []record.Version // of the page, what was published of them
	siblings
	shrinking
	chunk *record.Chunk
	enc   *record.Encoder
}

func (f *fetch) page(ctx context.Context) (coupa.Page, error) {
	if err := failpoint.Before(failpoint.Fetch); err != nil {
		return coupa.Page{}, err
	}
	q := f.query()
	ctx, span := f.ps.tracePage(ctx, q)
	crossed := false
	page, err := f.ps.p.source.Fetch(ctx, q, func(row coupa.Row) error {
		if f.r.Through > 0 && row.Reached() > f.r.Through && q.IDs == nil {
			crossed = true
			return nil
		}
		if err := f.take(ctx, row); err != nil {
			return err
		}
		f.r.After = row.Reached()
		if f.chunk.Bytes < maxChunkBytes {
			return nil
		}
		return f.hand(ctx, event{span: f.span})
	})
	endPage(span, page, err)
	f.r.After = max(f.r.After, page.LastID) // behind parents without rows, too
	if crossed {
		f.r.After = f.r.Through // all up to there was read, and another span reads what follows
	}
	page.Empty = page.Empty && f.limit == 0 // a smaller page than asked for first shows no end
	return page, errors.Join(err, failpoint.After(failpoint.Fetch))
}

// query asks for the page.
func (f *fetch) query() coupa.Query {
	q := f.ps.query(f.r)
	q.Limit = f.limit
	return q
}

// patience is how many attempts a pause goes by: while a page shrinks, it is short.
func (f *fetch) patience(tries int) int {
	if f.limit != 1 {
		return min(tries, 2)
	}
	return tries
}

// hand sends what was read to run once there is memory for it. An error: it was not sent.
func (f *fetch) hand(ctx context.Context, ev event) error {
	if err := f.ps.p.memory.Acquire(ctx, f.chunk.Bytes); err != nil {
		return err
	}
	ev.chunk, ev.after = f.chunk, f.r.After
	f.ps.events <- ev
	f.given = append(f.given, f.chunk.Published...)
	for _, l := range f.chunk.Lines {
		f.given = append(f.given, l.Version)
	}
	f.chunk, f.handed = &record.Chunk{}, f.r.After
	return nil
}

// take decides about a row and encodes it if it is fresh.
func (f *fetch) take(ctx context.Context, row coupa.Row) error {
	ps, c := f.ps, f.chunk
	if err := errors.Join(failpoint.Before(failpoint.Decode), failpoint.After(failpoint.Decode), failpoint.Before(failpoint.Decide)); err != nil {
		return err
	}
	ps.p.rowBytes.Observe(float64(len(row.JSON)))
	switch undated := row.UpdatedAt.IsZero(); {
	case !ps.stamp.IsZero():
		row.UpdatedAt = ps.stamp
	case undated && row.StampErr != nil:
		return f.takeUnplaced(ctx, row)
	case undated:
		return f.takeUndated(ctx, row)
	case ps.rules.undated, ps.rules.border && !row.UpdatedAt.Before(ps.walk.To):
		return nil // the polls publish it
	case ps.rules.repeats && !row.UpdatedAt.Before(ps.mark) && !ps.seen.has(row):
		return nil // the polls will, or do so beside it
	}
	c.Newest = clock.Later(c.Newest, clock.Later(row.UpdatedAt, row.LinesAt))
	verdict := fresh
	if !ps.rules.repeats {
		verdict = ps.seen.decide(row)
	}
	if ps.p.doubt.has(row) || f.have(row) {
		verdict = duplicate
	}
	if err := ps.p.checkSoleParent(ctx, ps.stamp.Unix(), row); err != nil {
		return err
	}
	if ps.rules.byLines && row.LinesAt.Before(ps.walk.From) {
		// Found by a line that it does not show, one that was removed, or
		// by none at all. Nothing tells whether it was published like this.
		verdict = duplicate
	}
	if err := errors.Join(failpoint.After(failpoint.Decide), failpoint.Before(failpoint.Encode)); err != nil {
		return err
	}
	if !verdict.publishes() {
		f.noteRead(row)
		c.Rows++
		c.Dropped++
		return nil
	}
	if buried := c.Buried; !ps.rules.unpublished {
		if err := f.enc.Add(ctx, c, row); err != nil {
			return err
		}
		if ps.p.marker != nil && c.Buried == buried && !ps.rules.linesAlone && (ps.ask.Filter.Get("exported") == "false" || !row.IsExported()) {
			c.Unmarked = append(c.Unmarked, record.StampsOf(row))
		}
	}
	f.noteRead(row)
	c.Rows++
	f.siblings.add(row)
	if ps.rules.linesAlone {
		return nil
	}
	c.Entries = append(c.Entries, entries(row, ps.horizon)...)
	ps.count(c, row, verdict)
	return nil
}

// takeUndated decides about a row without updated-at and encodes it if it is fresh.
func (f *fetch) takeUndated(ctx context.Context, row coupa.Row) error {
	c := f.chunk
	c.Rows++
	f.noteRead(row)
	if f.ps.seen.last != nil && f.ps.seen.decide(row) != fresh {
		c.Dropped++
		return nil
	}
	if !f.ps.rules.unpublished {
		if err := f.enc.Add(ctx, c, row); err != nil {
			return err
		}
	}
	if !f.ps.rules.linesAlone {
		c.Entries = append(c.Entries, undatedEntry(row))
	}
	return nil
}

// takeUnplaced makes a dead letter of a row whose updated-at can't be read: it has no place in the order
// of its versions. The letter goes once for each content.
func (f *fetch) takeUnplaced(ctx context.Context, row coupa.Row) error {
	ps, c := f.ps, f.chunk
	c.Rows++
	if _, sent := ps.seen.versions[record.Version{ID: row.ID, Digest: row.Digest}]; sent || ps.rules.linesAlone {
		c.Dropped++
		return nil
	}
	if err := f.enc.AddLetter(ctx, c, row, &record.StampError{Err: row.StampErr}); err != nil {
		return err
	}
	at := ps.walk.To
	if at.IsZero() {
		at = time.Now()
	}
	c.Entries = append(c.Entries, checkpoint.Entry{ID: row.ID, At: at.Unix(), Digest: row.Digest})
	return nil
}

// noteRead takes a row off those that Coupa failed to send.
func (f *fetch) noteRead(row coupa.Row) {
	if f.ps.passed[row.ID] {
		f.chunk.Read = append(f.chunk.Read, row.ID)
	}
}

// count notes a row that is out of the order of stamps, or that the polls alone would have missed: one
// that became visible after the mark had passed its stamp, or that changed without it.
func (ps *pass) count(c *record.Chunk, r coupa.Row, v verdict) {
	if v == setBack {
		c.SetBack++
		ps.p.wasSetBack(r, ps.seen.latest[r.ID])
		return
	}
	if !ps.rules.changes || !r.UpdatedAt.Before(ps.mark) {
		return
	}
	if ps.rules.byLines || ps.seen.knows(r.ID, r.UpdatedAt) {
		c.Silent++
		return
	}
	c.Late = append(c.Late, ps.mark.Sub(r.UpdatedAt))
}

// query asks for the next page of a range. The range's end is not asked for: a row behind it shows
// that there is none left before it, which takes an empty page else.
func (ps *pass) query(r checkpoint.Range) coupa.Query {
	q := ps.ask
	q.Fields = ps.p.maker.Fields() // custom fields may have been found since the walk began
	if q.IDs == nil {
		q.After = r.After
		if ps.p.below {
			q.Through = r.Through // a page takes a request for each parent
		}
		return q
	}
	q.IDs = above(q.IDs, r.After)
	return q
}

// above are the ids above one.
func above(ids []int64, after int64) []int64 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id <= after })
}
