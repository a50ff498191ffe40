package coupa

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// ParentKey is the member that rows below others begin with:
// the id of their parent. Coupa gives nothing such a name.
const ParentKey = "=parent_id"

// fetchBelow is Fetch of rows that are below those of another collection,
// their parents: a page is one of parents, and a request for the rows of each.
//
// The range or list of ids of the query is of parents, and so is [Page.LastID]: up to it, all
// parents' rows were taken. A parent that is gone by the time that its rows are asked for has none.
func (c *Client) fetchBelow(ctx context.Context, q Query, parent string, yield func(Row) error) (Page, error) {
	var parents []int64
	listed, err := c.Fetch(ctx, q.parents(parent), func(r Row) error {
		parents = append(parents, r.ID)
		return nil
	})
	page := listed
	page.Rows, page.LastID = 0, q.After
	if err != nil {
		return page, err
	}
	for _, id := range parents {
		b := below{Client: c, query: q, parent: parent, id: id, page: &page}
		if err := b.fetch(ctx, yield); err != nil {
			page.Empty = false
			return page, err
		}
		page.LastID = id
	}
	return page, nil
}

// below is the reading of the rows of one parent.
type below struct {
	*Client
	query  Query
	parent string // path of the parent's collection
	id     int64
	page   *Page // takes in what is read

	text []byte // of the row at hand
}

// fetch reads the rows, in as many requests as it takes: until one brings nothing.
func (b *below) fetch(ctx context.Context, yield func(Row) error) error {
	for after, ended := int64(0), false; !ended; {
		var err error
		if after, ended, err = b.fetchPage(ctx, after, yield); err != nil {
			return err
		}
	}
	return nil
}

// fetchPage reads the rows that come after an id, and tells whether there are none. Where
// fewer than 50 were asked for and none came, 50 are asked for from then on.
func (b *below) fetchPage(ctx context.Context, after int64, yield func(Row) error) (through int64, ended bool, err error) {
	op := fmt.Sprintf("reading %s of id %d", b.query.Path, b.id)
	q := b.after(after)
	res, err := b.get(ctx, b.ask(op, b.path(), q))
	if err != nil {
		gone, err := b.isGone(ctx, err)
		return after, gone, err
	}
	defer res.close()
	if err := res.checkDate(b.Client, q.Window); err != nil {
		return after, false, err
	}
	rows := newRows(ctx, res, &b.room, b.collection(b.query.Path).bound(&b.query), "")
	defer rows.release()
	checks := checker{op: op, query: q, last: after}
	err = res.each(rows, func(r row) error {
		checked, _, err := checks.next(&r)
		if err != nil {
			return err
		}
		if err := yield(b.adopt(checked)); err != nil {
			return err
		}
		b.page.Rows++
		b.page.Malformed += checked.Malformed
		return nil
	})
	b.page.Bytes += rows.bytes
	b.counters.rows.Add(uint64(checks.rows))
	b.counters.bytes.Add(uint64(rows.bytes))
	nameRow(err, checks.last)
	empty := err == nil && checks.rows == 0
	if empty && q.limit() < pageLimit {
		b.query.Limit, empty = 0, false
	}
	return checks.last, empty, err
}

// after asks for the rows that come after an id.
func (b *below) after(id int64) Query {
	return Query{Path: b.query.Path, After: id, Limit: b.query.Limit, Fields: b.query.Fields, Priority: b.query.Priority}
}

// path is where the parent's rows are, below /api.
func (b *below) path() string {
	return b.parent + "/" + strconv.FormatInt(b.id, 10) + strings.TrimPrefix(b.query.Path, b.parent)
}

// adopt gives a row the id of its parent.
func (b *below) adopt(r Row) Row {
	r.Parent = b.id
	b.text = append(b.text[:0], `{"`+ParentKey+`":`...)
	b.text = append(strconv.AppendInt(b.text, b.id, 10), ',')
	b.text = append(b.text, r.JSON[1:]...) // behind the brace; a row has an id, so a member follows
	r.JSON, r.Digest = b.text, mixDigest(r.Digest, uint64(b.id))
	return r
}

// isGone tells whether an error means that the parent is not there any more.
func (b *below) isGone(ctx context.Context, err error) (bool, error) {
	if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusNotFound {
		return false, err
	}
	there := false
	q := Query{Path: b.parent, IDs: []int64{b.id}, Fields: `["id"]`, Priority: b.query.Priority}
	if _, err := b.Client.Fetch(ctx, q, func(Row) error { there = true; return nil }); err != nil {
		return false, err
	}
	if there {
		return false, err
	}
	return true, nil
}
