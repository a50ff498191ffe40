package connector

import (
	"context"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/coupa"
)

// how says what is made of the rows of a walk.
type how struct {
	op string // HeaderOp of the records
	// linesAlone makes the records of the rows' lines, and nothing of the rows themselves.
	linesAlone bool
	// allLines lets all lines go out, those too that have not changed.
	allLines bool
}

// encoder makes the records of the rows that one fetch reads.
type encoder struct {
	how
	m    *maker
	rows *rowEncoder // of the encoding that the last row needed
}

// encoder gives a fetch one, until release. prepare was called before.
func (m *maker) encoder(h how) *encoder { return &encoder{h, m, m.current.Load().encoder()} }

func (e *encoder) release() { e.rows.release() }

// add makes a row's records, or its dead letter, and puts them into the chunk. An error stops
// the object: a *RowError where the row is to blame. The row's bytes are not kept.
func (e *encoder) add(ctx context.Context, c *chunk, row coupa.Row) error {
	err := e.encode(ctx, row)
	var shrunk cut
	if err == nil {
		shrunk, err = e.shrink(ctx, row)
	}
	if why, taken := e.m.dead.takes(err); taken {
		if e.linesAlone { // it is a dead letter since it was read first
			return nil
		}
		return e.m.bury(ctx, c, e.rows, row, e.op, why)
	}
	if err != nil {
		return err
	}
	c.trimmed += shrunk.records
	if err := failpoint.After(failpoint.Encode); err != nil {
		return err
	}
	if !e.linesAlone {
		c.put(e.rows, row, e.op, e.rows.topic, shrunk.marks...)
	}
	c.addLines(e.rows, row, e.how)
	if !e.linesAlone {
		c.takeOwn(e.rows)
	}
	return nil
}

// encode encodes a row by a schema that knows its custom fields: if need be, by one
// that is made for them. Each turn but the last knows more of them than the one before.
func (e *encoder) encode(ctx context.Context, row coupa.Row) error {
	for {
		if err := e.rows.encode(row, e.op); err != nil {
			return err
		}
		unfit := e.rows.unfit()
		if unfit == nil {
			return nil
		}
		newer, err := e.m.fit(ctx, e.rows.encoding, e.rows.guarded(row), unfit)
		if err != nil || newer == nil {
			return err
		}
		e.rows.release()
		e.rows = newer.encoder()
	}
}
