package coupa

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Row is one row of a page, handed out as it is read from the wire.
type Row struct {
	ID        int64
	UpdatedAt time.Time // UTC, whole seconds as Coupa sends them; zero when the row has none
	JSON      []byte    // the row's JSON object as sent; valid only until yield returns
	Digest    uint64    // content hash: same content, same digest, whatever the order of keys and white space; a null member counts as absent
}

// Page is what one request told.
type Page struct {
	Rows   int       // rows that yield took
	LastID int64     // id of the last of them; Query.After when there was none
	Last   bool      // the range is drained: the page was empty or shorter than the longest page seen of this resource
	Date   time.Time // Coupa's clock by the answer's Date header, UTC
	Bytes  int64     // body bytes after decompression

	Latency time.Duration // from the request's going out to the header of its answer
}

// Fetch gets one page of a walk and yields its rows in order as they arrive. Every row yielded has passed the checks: id
// ascending and in the range asked for, updated-at in the window, at most 50 rows in all.
//
// On error the page still tells how far it came: the rows up to Page.LastID were taken by yield, and a walk may go on after
// Page.LastID, unless the error is [Broken]: then nothing that the page told is to be trusted. An error of yield ends the
// request and is returned as it is. When ctx ends, the error wraps ctx's.
func (c *Client) Fetch(ctx context.Context, q Query, yield func(Row) error) (Page, error) {
	op := "reading " + q.Path
	page := Page{LastID: q.After}
	if err := q.check(op); err != nil {
		return page, err
	}
	res, err := c.get(ctx, op, q.Path, q.page())
	if err != nil {
		return page, err
	}
	defer res.close()
	page.Date, _ = dateOf(res.Header)
	page.Latency = res.latency
	if err := res.checkDate(c, q.Window); err != nil {
		return page, err
	}
	rows := newRows(res, &c.buffers)
	defer rows.release()
	err = res.each(rows, func(r row) error {
		checked, err := page.check(op, q, r)
		if err != nil {
			return err
		}
		if err := yield(checked); err != nil {
			return err
		}
		page.Rows++
		page.LastID = checked.ID
		return nil
	})
	page.Bytes = rows.bytes
	c.counters.rows.Add(uint64(page.Rows))
	c.counters.bytes.Add(uint64(page.Bytes))
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == BadRow {
		e.Err = fmt.Errorf("the row after id %d: %w", page.LastID, e.Err)
	}
	if err != nil {
		return page, err
	}
	page.Last = int64(page.Rows) < c.learn(q.Path, int64(page.Rows))
	return page, nil
}

// check passes a row that is what the query asked for, in its place after the rows before it.
func (p *Page) check(op string, q Query, r row) (Row, error) {
	if p.Rows == pageLimit {
		return Row{}, broken(op, "Coupa sent more than the %d rows that its pages hold at most", pageLimit)
	}
	id, ok := parseID(r.id)
	if !ok {
		return Row{}, broken(op, "Coupa sent a row without a usable id after id %d", p.LastID)
	}
	switch {
	case id <= p.LastID && p.Rows == 0:
		return Row{}, broken(op, "Coupa sent id %d although ids above %d were asked for: it ignores id[gt]", id, q.After)
	case id <= p.LastID:
		return Row{}, broken(op, "Coupa sent id %d after id %d although ascending ids were asked for: it ignores order_by", id, p.LastID)
	case q.Through > 0 && id > q.Through:
		return Row{}, broken(op, "Coupa sent id %d although ids up to %d were asked for: it ignores id[lt_or_eq]", id, q.Through)
	}
	updated, ok := parseInstant(r.updated)
	switch {
	case !ok:
		return Row{}, broken(op, "Coupa sent id %d with an updated-at that is not an instant", id)
	case q.Window.isZero():
	case updated.IsZero():
		return Row{}, broken(op, "Coupa sent id %d without updated-at, so nothing shows that it is in the window %s", id, q.Window)
	case !q.Window.holds(updated):
		return Row{}, broken(op, "Coupa sent id %d of %s although the window %s was asked for: it ignores updated_at", id, bound(updated), q.Window)
	}
	return Row{ID: id, UpdatedAt: updated, JSON: r.text, Digest: r.digest}, nil
}

// learn takes in the length of a page and returns the longest seen of this resource, at least 1: an empty page is always a short one.
func (c *Client) learn(path string, rows int64) int64 {
	seen, ok := c.longest.Load(path)
	if !ok {
		seen, _ = c.longest.LoadOrStore(path, new(atomic.Int64))
	}
	size := seen.(*atomic.Int64)
	for {
		longest := size.Load()
		if rows <= longest {
			return max(longest, 1)
		}
		if size.CompareAndSwap(longest, rows) {
			return rows
		}
	}
}
