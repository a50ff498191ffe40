package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa"
)

// shrinking makes a page smaller that Coupa fails to send: a gateway may wait too long for fifty large rows.
type shrinking struct {
	limit int   // most rows of the page; 0: as many as it holds
	fails int   // in a row, of this page with this limit
	after int64 // the page is of what follows this id
}

// failed takes in that the page of what follows an id could not be had. It is halved after two
// failures; true: they were of a single row.
func (s *shrinking) failed(err error, after int64) (single bool) {
	if after != s.after {
		s.fails, s.after = 0, after
	}
	if !coupa.Overtaxed(err) {
		return false
	}
	if s.fails++; s.fails < 2 {
		return false
	}
	s.fails = 0
	switch s.limit {
	case 1:
		return true
	case 0:
		s.limit = pageRows
	}
	s.limit /= 2
	return false
}

// besides is how long ago another object must have been answered well, for a row to be called bad.
const besides = time.Minute

// passOver goes on behind a row that Coupa fails to send, alone too, if it is the row: its id can be had,
// the rows behind it are answered, and so was another object of the tenant just now. Whatever else it may
// be, an incident most of all, passes. The row is a dead letter, or stops the object with the error.
func (f *fetch) passOver(ctx context.Context, q coupa.Query, failure error) error {
	p := f.ps.p
	if !p.task.AnswersOthers(time.Now().Add(-besides)) {
		return failure
	}
	id, err := p.source.MinID(ctx, q)
	if err != nil || id == 0 {
		return failure
	}
	if behind, some := behindID(q, id); some {
		if _, err := p.source.Fetch(ctx, behind, func(coupa.Row) error { return nil }); err != nil {
			return failure
		}
	}
	row := coupa.Row{ID: id, JSON: fmt.Appendf(nil, `{"id":%d}`, id)}
	if !f.ps.passed[id] {
		if err := f.enc.AddLetter(ctx, f.chunk, row, &record.UnreadError{Err: failure}); err != nil {
			return err
		}
		p.log.Error("Coupa fails to send a row, and sends those around it; the walk goes on behind it", "id", id, "error", failure)
	}
	f.chunk.Passed = append(f.chunk.Passed, id)
	f.r.After = id
	return nil
}

// behindID asks for a row behind an id; some: there may be one.
func behindID(q coupa.Query, id int64) (behind coupa.Query, some bool) {
	q.Limit = 1
	if q.IDs == nil {
		q.After = id
		return q, true
	}
	q.IDs = above(q.IDs, id)
	return q, len(q.IDs) > 0
}
