package record

import (
	"context"
	"strconv"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// OpDelete is the value of HeaderOp on a tombstone, and on what an envelope says
// before it: the row is gone, or the line is from its row.
const OpDelete = "delete"

// Delete puts into the chunk what says that a row is gone: a tombstone, in an envelope a record before
// it, and of its lines what the shard makes tombstones of. [Chunk.Published] has the row's id for each.
func (m *Maker) Delete(ctx context.Context, c *Chunk, id int64) error {
	e := m.Encoder(How{Op: OpDelete})
	defer e.Release()
	renewed, err := m.renew(ctx, e.rows.encoding)
	if err != nil {
		return err
	}
	e.use(renewed)
	row := coupa.Row{ID: id, JSON: append(strconv.AppendInt([]byte(`{"id":`), id, 10), '}')}
	enc := e.rows
	if m.envelope("") != nil {
		if enc.buf, err = enc.value.AppendDelete(enc.buf[:0], row); err != nil {
			return rowError(enc.object, id, err)
		}
		c.put(enc, row, e.How, enc.topic)
	}
	enc.buf = enc.buf[:0]
	c.put(enc, row, e.How, enc.topic)
	c.Records[len(c.Records)-1].Value = nil
	v := enc.lines()
	if v == nil {
		return nil
	}
	c.Lines = append(c.Lines, RowLines{
		Version: Version{ID: id}, Lists: v.lists, Tenant: enc.tenant, json: enc.jsonKeys, Headers: c.headersOf(enc, row, e.How), Gone: true,
	})
	return nil
}

// wrapDelete appends a value that says that a row, of which Avro has the key, is gone.
func (f *valueForm) wrapDelete(dst, avro []byte) ([]byte, error) {
	dst = f.envelope.OpenBefore(append(dst, f.framing...))
	if !f.json {
		dst = append(dst, avro...)
	} else {
		var err error
		if dst, err = f.plan.AppendJSON(dst, avro); err != nil {
			return dst, err
		}
	}
	return f.envelope.CloseBefore(dst, time.Now()), nil
}

func (v *rowValue) AppendDelete(dst []byte, row coupa.Row) ([]byte, error) {
	var err error
	if v.avro, err = v.encoder.Append(v.avro[:0], row.JSON); err != nil {
		return dst, err
	}
	return v.wrapDelete(dst, v.avro)
}

func (v *linedValue) AppendDelete(dst []byte, row coupa.Row) ([]byte, error) {
	var err error
	if v.whole, err = v.encoder.Append(v.whole[:0], row.JSON); err != nil {
		return dst, err
	}
	if err := v.splitter.Split(row.ID, v.whole); err != nil {
		return dst, err
	}
	return v.form.wrapDelete(dst, v.splitter.Row())
}

func (v refusedValues) AppendDelete(dst []byte, _ coupa.Row) ([]byte, error) { return dst, v.err }
