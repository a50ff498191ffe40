package coupa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"
)

// A page whose request line would be too long is asked for in parts: a request for as many of the fields as
// there is room for, then others for the rest of them, by the ids of the rows that came. What comes is put
// together, so that a row is the same however it was asked for. Asking without `fields` would be one
// request, but shows less of what is far below a row than asking by name, and of rows several times as much.

const (
	// mostKept is how much of a page that is read in parts is held in memory, half of it of the first part:
	// a page ends before the row that would be more. A row that is more alone is counted as large ones are.
	mostKept = 1 << 20
	// mostRounds is how often a row is read whose parts are not of one version.
	mostRounds = 3
)

// errKept ends a page before a row that there is no memory for.
var errKept = errors.New("the page holds enough")

// pageRequest is what asks for a page.
type pageRequest struct {
	op    string
	path  string // below /api, as in ask
	query Query
	lines string // collection of lines to look into; "": none
	room  *room
}

// fetch is [Client.Fetch] with request lines as short as they must be. Where one is refused as those are
// that are too long, shorter ones are tried at once, and what they show is kept by the client.
func (c *Client) fetch(ctx context.Context, r pageRequest, yield func(Row) error) (Page, error) {
	var refused error // the first time
	status := 0
	for bound := c.MaxLine(); ; {
		page, err := c.fetchWithin(ctx, r, bound, yield)
		e, isError := errors.AsType[*Error](err)
		switch {
		case !isError || page.Rows > 0 || refused != nil && e.Status != status:
			return page, err
		case refused == nil:
			refused, status = err, e.Status
		}
		if _, divisible := parseFields(r.query.Fields); e.Line == 0 || bound <= longLine || !divisible {
			return page, refused
		}
		bound = max(longLine, min(bound, e.Line)*3/4)
	}
}

// fetchWithin sends request lines of so many bytes at most, where there are such.
func (c *Client) fetchWithin(ctx context.Context, r pageRequest, bound int, yield func(Row) error) (Page, error) {
	a := c.ask(r.op, r.path, r.query)
	if a.line <= bound {
		return c.fetchPage(ctx, r, a, yield)
	}
	list, divisible := parseFields(r.query.Fields)
	if !divisible {
		return c.fetchPage(ctx, r, a, yield)
	}
	return c.newParts(r, list, bound).fetch(ctx, yield)
}

// parts is the reading of one page, or of rows of it, in parts.
type parts struct {
	*Client
	request pageRequest
	bound   int     // of request lines
	stamps  []field // asked for by all parts
	list    []field // asked for by one of them
	most    int     // bytes that are held
	page    Page    // takes in what is read
}

func (c *Client) newParts(r pageRequest, list []field, bound int) *parts {
	stamps := stampsOf(list, r.lines)
	return &parts{Client: c, request: r, bound: bound, stamps: stamps, list: without(list, stamps), most: mostKept}
}

// count is how many requests a page takes, with ids such as those of ids in all but the first.
func (p *parts) count(ids []int64) int {
	n := 1
	_, rest := take(p.list, p.stamps, p.space(p.request.query))
	for ; len(rest) > 0; n++ {
		_, rest = p.next(rest, Query{Path: p.request.query.Path, IDs: ids})
	}
	return n
}

// space is how many bytes the `fields` of a query may have, escaped.
func (p *parts) space(q Query) int {
	q.Fields = ""
	return p.bound - p.lineOf(p.request.path, q.pageLen()) - len("&fields=")
}

// next is what another part asks for: one field at least.
func (p *parts) next(list []field, q Query) (part, rest []field) {
	part, rest = take(list, p.stamps, p.space(q))
	if sizeOf(part) == sizeOf(p.stamps) {
		part = append(slices.DeleteFunc(part, func(f field) bool { return f.name == list[0].name }), list[0])
		rest = list[1:]
	}
	return part, rest
}

// partRow is a row as far as it was read.
type partRow struct {
	id      int64
	updated time.Time
	text    []byte
	parts   int  // that it was in
	torn    bool // two of them were of two versions
	large   bool // there was no memory for it: the page ends before it
	whole   bool
}

// fetch reads the page.
func (p *parts) fetch(ctx context.Context, yield func(Row) error) (Page, error) {
	q := p.request.query
	p.page.LastID = q.After
	rows, err := p.read(ctx, q)
	if len(rows) == 0 || KindOf(err) == Broken {
		return p.page, err
	}
	if rows[0].large {
		return p.fetchLarge(ctx, rows[0], yield)
	}
	ended := err
	if err := p.mend(ctx, rows); err != nil {
		return p.page, err
	}
	if err := p.hand(rows, yield); err != nil {
		return p.page, err
	}
	return p.page, ended
}

// fetchLarge reads a row that needs more memory than a page is given, alone, when it is its turn.
func (p *parts) fetchLarge(ctx context.Context, r partRow, yield func(Row) error) (Page, error) {
	held := 4 * int64(len(r.text)) // each of two parts, where it is read and where it is put together
	r.text = nil
	if err := p.request.room.large.grow(ctx, 0, held); err != nil {
		return p.page, err
	}
	defer p.request.room.large.shrink(held)
	p.request.room, p.most = &room{large: NewLargeRows(nil)}, math.MaxInt
	rows := []partRow{{id: r.id}}
	if err := p.mend(ctx, rows); err != nil {
		return p.page, err
	}
	return p.page, p.hand(rows, yield)
}

// read reads rows in parts. An error of the first part comes with the rows before it.
func (p *parts) read(ctx context.Context, q Query) ([]partRow, error) {
	fields, rest := take(p.list, p.stamps, p.space(q))
	var rows []partRow
	kept := 0
	first := p.request
	first.query = q
	first.query.Fields = string(appendFields(nil, fields))
	page, err := p.fetchPage(ctx, first, p.ask(first.op, first.path, first.query), func(r Row) error {
		kept += len(r.JSON)
		rows = append(rows, partRow{id: r.ID, updated: r.UpdatedAt, text: bytes.Clone(r.JSON), parts: 1, large: kept > p.most/2})
		if kept > p.most/2 {
			return errKept
		}
		return nil
	})
	if p.page.Date.IsZero() {
		p.page.Date, p.page.Latency = page.Date, page.Latency
	}
	p.page.Bytes += page.Bytes
	p.page.Empty = page.Empty
	if errors.Is(err, errKept) {
		err = nil
	}
	if len(rows) == 0 || KindOf(err) == Broken {
		return nil, err
	}
	need := 1
	for ; len(rest) > 0; need++ {
		more := Query{Path: q.Path, IDs: idsOf(rows), Priority: q.Priority}
		fields, rest = p.next(rest, more)
		more.Fields = string(appendFields(nil, fields))
		if err := p.join(ctx, more, rows, &kept); err != nil {
			return nil, err
		}
	}
	for i := range rows {
		r := &rows[i]
		r.torn = r.torn || r.parts < need
		r.whole = !r.torn && !r.large && !r.updated.IsZero()
	}
	return rows, err
}

func idsOf(rows []partRow) []int64 {
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.id
	}
	return ids
}

// join reads another part of rows and puts it to what there is of them.
func (p *parts) join(ctx context.Context, q Query, rows []partRow, kept *int) error {
	r := p.request
	r.query = q
	page, err := p.fetchPage(ctx, r, p.ask(r.op, r.path, q), func(more Row) error {
		// it was asked for, so it is there
		at := sort.Search(len(rows), func(i int) bool { return rows[i].id >= more.ID })
		known := &rows[at]
		known.parts++
		if known.torn || known.large {
			return nil
		}
		had := len(known.text)
		united, ok := unite(nil, known.text, more.JSON)
		if known.torn = !ok; known.torn {
			return nil
		}
		known.text = united
		*kept += len(united) - had
		known.large = *kept > p.most
		return nil
	})
	p.page.Bytes += page.Bytes
	return err
}

// mend reads rows again, all their parts, that are not whole. A row without updated-at shows
// only by being read twice, and being the same, that nobody has changed it between its parts.
func (p *parts) mend(ctx context.Context, rows []partRow) error {
	for range mostRounds {
		var ids []int64
		for _, r := range rows {
			if r.large {
				break
			}
			if !r.whole {
				ids = append(ids, r.id)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		again, err := p.read(ctx, Query{Path: p.request.query.Path, IDs: ids, Priority: p.request.query.Priority})
		if err != nil {
			return err
		}
		for _, r := range again {
			at := sort.Search(len(rows), func(i int) bool { return rows[i].id >= r.id })
			same := bytes.Equal(rows[at].text, r.text) && !rows[at].torn
			r.whole = r.whole || !r.torn && !r.large && same
			rows[at] = r
		}
		p.page.Empty = false
	}
	return nil
}

// hand yields the rows that are whole, up to the first that is not.
func (p *parts) hand(rows []partRow, yield func(Row) error) error {
	q := p.request.query
	checks := checker{op: p.request.op, query: q, last: q.After}
	for _, r := range rows {
		switch {
		case r.large:
			return nil
		case !r.whole:
			return &Error{Op: p.request.op, Kind: Retry, Err: fmt.Errorf("id %d changed or went while it was read in parts", r.id)}
		case !q.Window.isZero() && !r.updated.IsZero() && !q.Window.holds(r.updated):
			continue // it has left the window since the first part, and is in a later one
		}
		s := scanner{data: r.text, lines: lineStamps{name: p.request.lines}}
		digest, err := s.row()
		if err != nil {
			return broken(p.request.op, "the parts of id %d make no row: %w", r.id, err)
		}
		one := row{
			text: r.text, id: r.text[s.id.from:s.id.to], updated: r.text[s.updated.from:s.updated.to],
			linesAt: s.lines.newest, linesBad: s.lines.invalid, malformed: s.malformed, digest: digest,
		}
		checked, _, err := checks.next(&one)
		if err != nil {
			return err
		}
		if err := yield(checked); err != nil {
			return err
		}
		p.page.take(checked)
	}
	return nil
}
