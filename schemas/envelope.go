package schemas

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// envelopeName is what Debezium's consumers know an envelope's schema by: its full name ends in ".Envelope"
// (io.debezium.data.Envelope.isEnvelopeSchema).
const envelopeName = "Envelope"

// enveloped is Debezium's envelope around a row: {before, after, source, op, ts_ms}.
// Its namespace holds the collection, "coupa.invoices", which is the name of no record.
func enveloped(row *schematext.Record, path string) *schematext.Record {
	text := func(name, doc string) schematext.Field {
		return schematext.Field{Name: name, Type: schematext.Type{Name: "string"}, Doc: doc}
	}
	source := &schematext.Record{Type: "record", Name: "Source", Namespace: row.Namespace, Fields: []schematext.Field{
		text("version", "Version of coupastream."), text("connector", "The kind of source: coupa."), text("name", "The connector's name."),
		{Name: "ts_ms", Type: schematext.Type{Name: "long"}, Doc: "The row's updated-at, in milliseconds since 1970."},
		{Name: "snapshot", Type: schematext.Type{Nullable: true, Name: "string"}, Doc: "true of what was there before the stream began, else false."},
		text("db", "The tenant."), text("table", "The object's resource path."),
	}}
	return &schematext.Record{
		Type: "record", Name: envelopeName, Namespace: row.Namespace + "." + strings.ReplaceAll(path, "/", "_"), Object: row.Object,
		Doc: "A change, in Debezium's form.",
		Fields: []schematext.Field{
			{Name: "before", Type: schematext.Type{Nullable: true, Record: row}, Doc: "Always null: Coupa does not tell what a row was before."},
			{Name: "after", Type: schematext.Type{Nullable: true, Name: row.Namespace + "." + row.Name}, Doc: "The row as it is."},
			{Name: "source", Type: schematext.Type{Record: source}},
			{Name: "op", Type: schematext.Type{Name: "string"}, Doc: "r: was there before the stream began; u: was created or changed."},
			{Name: "ts_ms", Type: schematext.Type{Nullable: true, Name: "long"}, Doc: "When the row was read, in milliseconds since 1970."},
		},
	}
}

// rowOf is the record of the row in a schema with or without an envelope.
func rowOf(r *schematext.Record) *schematext.Record {
	if r.Name == envelopeName && len(r.Fields) > 0 && r.Fields[0].Type.Record != nil {
		return r.Fields[0].Type.Record
	}
	return r
}

// Envelope writes Debezium's envelope around rows. It never changes and may be shared.
type Envelope struct {
	open     []byte // up to the row
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
		open: []byte{0, some}, source: text(o.Version, "coupa", o.Name),
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

func (e *Envelope) appendTime(dst []byte, t time.Time) []byte {
	if e.text {
		return strconv.AppendInt(dst, t.UnixMilli(), 10)
	}
	return binary.AppendVarint(dst, t.UnixMilli())
}
