package schemas

import (
	"encoding/binary"
	"strconv"
	"time"
)

// Envelope writes Debezium's envelope around rows. It never changes and may be shared.
type Envelope struct {
	open     []byte // up to the row
	before   []byte // up to a row that is gone
	after    []byte // behind that
	deleted  []byte // op, of that
	source   []byte // behind the row, up to source.ts_ms
	snapshot [2][]byte
	table    []byte // behind source.snapshot, up to op
	op       [2][]byte
	end      []byte
	text     bool // times are texts
}

// Origin is what an envelope tells of where its rows come from.
type Origin struct {
	Version string // of this program
	Name    string // of the connector
	Tenant  string
	Object  string // resource path
}

// NewEnvelope writes the envelope as Avro, for values that begin behind the registry's framing.
func NewEnvelope(o Origin) *Envelope {
	text := func(values ...string) []byte {
		var b []byte
		for _, v := range values {
			b = append(binary.AppendVarint(b, int64(len(v))), v...)
		}
		return b
	}
	const some = 2 // branch 1 of ["null", T]
	return &Envelope{
		open: []byte{0, some}, before: []byte{some}, after: []byte{0}, deleted: append(text("d"), some), source: text(o.Version, "coupa", o.Name),
		snapshot: [2][]byte{append([]byte{some}, text("false")...), append([]byte{some}, text("true")...)},
		table:    text(o.Tenant, o.Object),
		op:       [2][]byte{append(text("u"), some), append(text("r"), some)},
	}
}

// NewJSONEnvelope writes it as JSON.
func NewJSONEnvelope(o Origin) *Envelope {
	text := func(before, value, after string) []byte {
		return append(appendQuoted([]byte(before), []byte(value)), after...)
	}
	source := text(`,"source":{"version":`, o.Version, `,"connector":"coupa","name":`)
	source = append(appendQuoted(source, []byte(o.Name)), `,"ts_ms":`...)
	return &Envelope{
		open: []byte(`{"before":null,"after":`), source: source,
		before: []byte(`{"before":`), after: []byte(`,"after":null`), deleted: []byte(`,"op":"d","ts_ms":`),
		snapshot: [2][]byte{[]byte(`,"snapshot":"false"`), []byte(`,"snapshot":"true"`)},
		table:    append(text(`,"db":`, o.Tenant, `,"table":`), text("", o.Object, "}")...),
		op:       [2][]byte{[]byte(`,"op":"u","ts_ms":`), []byte(`,"op":"r","ts_ms":`)},
		end:      []byte("}"), text: true,
	}
}

// Open appends what stands before the row.
func (e *Envelope) Open(dst []byte) []byte { return append(dst, e.open...) }

// Close appends what stands behind a row that was read at the time now,
// in whole milliseconds; snapshot: it was there before the stream began.
func (e *Envelope) Close(dst []byte, updatedAt, now time.Time, snapshot bool) []byte {
	kind := 0
	if snapshot {
		kind = 1
	}
	dst = e.appendTime(append(dst, e.source...), updatedAt)
	dst = append(append(append(dst, e.snapshot[kind]...), e.table...), e.op[kind]...)
	return append(e.appendTime(dst, now), e.end...)
}

// OpenBefore appends what stands before a row that is gone.
func (e *Envelope) OpenBefore(dst []byte) []byte { return append(dst, e.before...) }

// CloseBefore appends what stands behind a row that was found to be gone at the time now.
func (e *Envelope) CloseBefore(dst []byte, now time.Time) []byte {
	dst = append(append(dst, e.after...), e.source...)
	dst = append(append(e.appendTime(dst, now), e.snapshot[0]...), e.table...)
	return append(e.appendTime(append(dst, e.deleted...), now), e.end...)
}

func (e *Envelope) appendTime(dst []byte, t time.Time) []byte {
	if e.text {
		return strconv.AppendInt(dst, t.UnixMilli(), 10)
	}
	return binary.AppendVarint(dst, t.UnixMilli())
}
