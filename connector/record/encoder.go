package record

import (
	"context"

	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/coupa"
)

// Encoder makes the records of the rows that one fetch reads.
type Encoder struct {
	How
	m    *Maker
	rows *rowEncoder // of the encoding that the last row needed
}

// Encoder gives a fetch one, until Release. Prepare was called before.
func (m *Maker) Encoder(h How) *Encoder { return &Encoder{h, m, m.current.Load().encoder()} }

// Release gives the encoder back; it is of no use any more.
func (e *Encoder) Release() { e.rows.release() }

// Add makes a row's records, or its dead letter, and puts them into the chunk. An error stops
// the object: a *RowError where the row is to blame. The row's bytes are not kept.
func (e *Encoder) Add(ctx context.Context, c *Chunk, row coupa.Row) error {
	err := e.encode(ctx, row)
	var shrunk cut
	if err == nil {
		shrunk, err = e.shrink(ctx, row)
	}
	if why, taken := e.m.dead.takes(err); taken {
		if e.LinesAlone { // it is a dead letter since it was read first
			return nil
		}
		return e.m.bury(ctx, c, e.rows, row, e.How, why)
	}
	if err != nil {
		return err
	}
	c.Trimmed += shrunk.records
	// of a row that is read for its lines, they were counted
	if len(e.rows.unreadable) > 0 && !e.LinesAlone {
		c.Unreadable = append(c.Unreadable, e.rows.unreadable...)
		e.m.sayUnreadable(e.rows.unreadable)
	}
	if !e.LinesAlone {
		c.LeftOut = append(c.LeftOut, e.rows.leftOut...)
	}
	c.Malformed += row.Malformed
	if err := failpoint.After(failpoint.Encode); err != nil {
		return err
	}
	if !e.LinesAlone {
		c.put(e.rows, row, e.How, e.rows.topic, shrunk.marks...)
	}
	c.addLines(e.rows, row, e.How)
	if !e.LinesAlone {
		c.takeRowRecord(e.rows)
	}
	return nil
}

// AddLetter puts a row that can't go, for err, into the chunk as a dead letter. Where the
// object has none for such an error, it gives a *RowError, which stops the object.
func (e *Encoder) AddLetter(ctx context.Context, c *Chunk, row coupa.Row, err error) error {
	err = &RowError{Object: e.rows.object, ID: row.ID, Err: err}
	why, taken := e.m.dead.takes(err)
	if !taken {
		return err
	}
	return e.m.bury(ctx, c, e.rows, row, e.How, why)
}

// sayUnreadable tells of each field once that it has values which stay in unmapped.
func (m *Maker) sayUnreadable(fields []string) {
	for _, f := range fields {
		if _, said := m.unreadable.LoadOrStore(f, true); !said {
			m.Log.Warn("values of a field can't be read as its type and stay JSON text in unmapped; the status counts them", "field", f)
		}
	}
}

// encode encodes a row by a schema that knows its custom fields: if need be, by one
// that is made for them. Each turn but the last knows more of them than the one before.
func (e *Encoder) encode(ctx context.Context, row coupa.Row) error {
	for {
		renewed, err := e.m.renew(ctx, e.rows.encoding)
		if err != nil {
			return err
		}
		e.use(renewed)
		if err := e.rows.encode(row, e.Op); err != nil {
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
		e.use(newer)
	}
}

// use goes on with an encoding; nil: with the one that it has.
func (e *Encoder) use(newer *encoding) {
	if newer == nil {
		return
	}
	e.rows.release()
	e.rows = newer.encoder()
}
