package coupa

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Row is one row of a page, handed out as it is read from the wire.
type Row struct {
	ID        int64
	UpdatedAt time.Time // UTC, whole seconds as Coupa sends them; zero when the row has none
	// newest updated-at of the row's lines ([Resource.Lines]), likewise; zero when none of them has one
	LinesAt time.Time
	// an updated-at of the row or of its lines is no instant, an [Error] of kind [BadRow]; nil: all are.
	// UpdatedAt is zero if it is the row's own, and nothing shows that it is in the window asked
	// for; LinesAt is the newest of those that are instants
	StampErr error
	// the row's JSON object as sent, a parent's id in front under ParentKey; valid only until yield returns
	JSON []byte
	// content hash: same content, same digest, whatever the order
	// of keys and white space; a null member counts as absent
	Digest uint64
	// how many of its texts, keys included, hold bytes that are not UTF-8: readers see U+FFFD in their place
	Malformed int
	// id of the row that it is below, of [Resource.Parent]; 0 where its collection is at the top
	Parent int64
}

// Reached is the id that a walk has come to with this row, so that it may go on after it: the
// row's own, or where the walk is over the rows that these are below, that of the parent before.
func (r Row) Reached() int64 {
	if r.Parent != 0 {
		return r.Parent - 1
	}
	return r.ID
}

// Page is what one request told.
type Page struct {
	Rows int // rows that yield took
	// id of the last of them; Query.After when there was none; of
	// rows below others, of the last parent whose rows were all taken
	LastID int64
	// nothing came at all: of a request for 50 rows, this alone shows that its range or list holds no more.
	// A page that is short shows nothing: rows may be left out after the limit, or count for it twice
	Empty bool
	Date  time.Time // Coupa's clock by the answer's Date header, UTC
	Bytes int64     // body bytes after decompression
	// texts of the rows that yield took with bytes that are not UTF-8, see Row.Malformed
	Malformed int

	Latency time.Duration // from the request's going out to the header of its answer
}

// Fetch gets one page of a walk and yields its rows in order as they arrive.
// Every row yielded has passed the checks: id ascending and in the range or
// list asked for, updated-at in the window, at most 50 rows in all. A row with
// an updated-at that can't be read is yielded too, and says so: [Row.StampErr].
//
// A query with Lines is a join for Coupa, which may give a row once for
// each line that fits: repeats are passed over, and not counted in Page.Rows.
//
// A query with IDs is one page. An id above Page.LastID that did not come is
// not shown to be missing: only an empty answer to a request for it shows that.
//
// Where the request line would be longer than [Client.MaxLine], the fields are asked for in several requests
// (see [Client.Requests]), and rows are what one request would have shown.
//
// Rows that are below others ([Resource.Parent]) are read through these: the query's
// ids are theirs, and it has no window, filter or lines. A page takes a request for
// each parent, so that it can have any number of rows, in order of parent and id.
//
// On error the page still tells how far it came: the rows up to Page.LastID were
// taken by yield, and a walk may go on after Page.LastID, unless the error is
// [Broken]: then nothing that the page told is to be trusted. An error of yield
// ends the request and is returned as it is. When ctx ends, the error wraps ctx's.
func (c *Client) Fetch(ctx context.Context, q Query, yield func(Row) error) (Page, error) {
	op := "reading " + q.Path
	page := Page{LastID: q.After}
	if err := q.check(op); err != nil {
		return page, err
	}
	learned := c.collection(q.Path)
	if learned.parent != "" {
		return c.fetchBelow(ctx, q, learned.parent, yield)
	}
	page, err := c.fetch(ctx, pageRequest{op: op, path: q.Path, query: q, lines: learned.lines, room: &c.room}, yield)
	c.counters.rows.Add(uint64(page.Rows))
	return page, err
}

// fetchPage sends one request, r's, and yields what comes.
func (c *Client) fetchPage(ctx context.Context, r pageRequest, a ask, yield func(Row) error) (Page, error) {
	q := r.query
	page := Page{LastID: q.After}
	res, err := c.get(ctx, a)
	if err != nil {
		return page, err
	}
	defer res.close()
	page.Date, _ = dateOf(res.Header)
	page.Latency = res.latency
	if err := res.checkDate(c, q); err != nil {
		return page, err
	}
	rows := newRows(ctx, res, r.room, c.collection(q.Path).bound(&q), r.lines)
	defer rows.release()
	checks := checker{op: r.op, query: q, last: q.After}
	err = res.each(rows, func(r row) error {
		checked, repeat, err := checks.next(&r)
		if err != nil || repeat {
			return err
		}
		if err := yield(checked); err != nil {
			return err
		}
		page.take(checked)
		return nil
	})
	page.Bytes = rows.bytes
	c.counters.bytes.Add(uint64(page.Bytes))
	nameRow(err, page.LastID)
	if err != nil {
		return page, err
	}
	page.Empty = checks.rows == 0
	return page, nil
}

// take counts a row that was yielded.
func (p *Page) take(r Row) {
	p.Rows++
	p.LastID = r.ID
	p.Malformed += r.Malformed
}

// nameRow says in an error that is about the next row after which one that comes.
func nameRow(err error, after int64) {
	if e, ok := errors.AsType[*Error](err); ok && (e.Kind == BadRow || errors.Is(e.Err, errDripping)) {
		e.Err = fmt.Errorf("the row after id %d: %w", after, e.Err)
	}
}

// checker passes the rows of a page that are what the query asked for.
type checker struct {
	op    string
	query Query
	rows  int   // on the wire, repeats among them
	last  int64 // id of the row before; Query.After at first
}

// next passes a row in its place after the rows before it, or
// finds it to be the repeat of the one before that a join gives.
func (k *checker) next(r *row) (checked Row, repeat bool, err error) {
	if k.rows == pageLimit {
		return Row{}, false, broken(k.op, "Coupa sent more than the %d rows that its pages hold at most", pageLimit)
	}
	id, ok := parseID(r.id)
	if !ok {
		err := broken(k.op, "Coupa sent a row without a usable id after id %d", k.last)
		err.Hint = "see whether an API filter that is the default of the resource leaves ids out (Setup → Integrations → API Filters)"
		return Row{}, false, err
	}
	if k.query.Lines != "" && k.rows > 0 && id == k.last {
		k.rows++
		return Row{}, true, nil
	}
	if err := k.place(id); err != nil {
		return Row{}, false, err
	}
	updated, isInstant := parseInstant(r.updated)
	if isInstant {
		if err := k.inWindow(id, updated); err != nil {
			return Row{}, false, err
		}
	}
	k.rows++
	k.last = id
	checked = Row{ID: id, UpdatedAt: updated, LinesAt: r.linesAt, JSON: r.text, Digest: r.digest, Malformed: r.malformed}
	if !isInstant || r.linesBad {
		checked.UpdatedAt, checked.StampErr = k.unstamped(id, updated, isInstant)
	}
	return checked, false, nil
}

// place sees to it that an id may come after the one before.
func (k *checker) place(id int64) error {
	q := &k.query
	switch {
	case len(q.IDs) > 0 && !slices.Contains(q.IDs, id):
		return broken(k.op, "Coupa sent id %d, which was not asked for: it ignores id[in]", id)
	case id <= k.last && k.rows == 0:
		return broken(k.op, "Coupa sent id %d although ids above %d were asked for: it ignores id[gt]", id, q.After)
	case id <= k.last:
		return broken(k.op, "Coupa sent id %d after id %d although ascending ids were asked for: it ignores order_by", id, k.last)
	case q.Through > 0 && id > q.Through:
		return broken(k.op, "Coupa sent id %d although ids up to %d were asked for: it ignores id[lt_or_eq]", id, q.Through)
	}
	return nil
}

// inWindow sees to it that the window holds a row's updated-at. A row whose newest line is older than asked
// for passes: of a line that was removed, Coupa may still find the stamp and not show the line.
func (k *checker) inWindow(id int64, updated time.Time) error {
	switch w := &k.query.Window; {
	case w.isZero():
		return nil
	case updated.IsZero():
		return broken(k.op, "Coupa sent id %d without updated-at, so nothing shows that it is in the window %s", id, w)
	case !w.holds(updated):
		return broken(k.op, "Coupa sent id %d of %s although the window %s was asked for: it ignores updated_at", id, bound(updated), w)
	}
	return nil
}

// unstamped is the error of a row whose updated-at, or that of a line, is no instant.
func (k *checker) unstamped(id int64, updated time.Time, isInstant bool) (time.Time, error) {
	e := &Error{Op: k.op, Kind: BadRow, Err: fmt.Errorf("Coupa sent id %d with an updated-at in its lines that is not an instant", id)}
	if !isInstant {
		updated, e.Err = time.Time{}, fmt.Errorf("Coupa sent id %d with an updated-at that is not an instant", id)
	}
	return updated, e
}

// collection is what a client knows of a resource.
type collection struct {
	lines   string // its collection of lines, [Resource.Lines]
	parent  string // [Resource.Parent]
	most    int    // bytes of a row
	answers answers

	underway underway
}

// bound is how many bytes a row of a query's answer may have. Rows of ids alone are never
// large, so that they can be asked for while a row that is large is being yielded.
func (k *collection) bound(q *Query) int {
	if q.Fields == `["id"]` {
		return min(k.most, keptBuffer)
	}
	return k.most
}

// collection returns what is known of the resource at path.
func (c *Client) collection(path string) *collection {
	known, ok := c.collections.Load(path)
	if !ok {
		resource, _ := LookupResource(path)
		most := int(cmp.Or(c.cfg.RowBytesOf[path], c.cfg.RowBytes))
		known, _ = c.collections.LoadOrStore(path, &collection{lines: resource.Lines, parent: resource.Parent, most: most})
	}
	return known.(*collection)
}
