package schematext

import "strings"

// envelopeName is what Debezium's consumers know an envelope's schema by: its full name ends in ".Envelope"
// (io.debezium.data.Envelope.isEnvelopeSchema).
const envelopeName = "Envelope"

// Enveloped is Debezium's envelope around a row: {before, after, source, op, ts_ms}.
// Its namespace holds the collection, "coupa.invoices", which is the name of no record.
func Enveloped(row *Record, path string) *Record {
	text := func(name, doc string) Field {
		return Field{Name: name, Type: Type{Name: "string"}, Doc: doc}
	}
	source := &Record{Type: "record", Name: "Source", Namespace: row.Namespace, Fields: []Field{
		text("version", "Version of coupastream."), text("connector", "The kind of source: coupa."), text("name", "The connector's name."),
		{Name: "ts_ms", Type: Type{Name: "long"}, Doc: "The row's updated-at, in milliseconds since 1970."},
		{Name: "snapshot", Type: Type{Nullable: true, Name: "string"}, Doc: "true of what was there before the stream began, else false."},
		text("db", "The tenant."), text("table", "The object's resource path."),
	}}
	return &Record{
		Type: "record", Name: envelopeName, Namespace: row.Namespace + "." + strings.ReplaceAll(path, "/", "_"), Object: row.Object,
		Doc: "A change, in Debezium's form.",
		Fields: []Field{
			{Name: "before", Type: Type{Nullable: true, Record: row}, Doc: "Always null: Coupa does not tell what a row was before."},
			{Name: "after", Type: Type{Nullable: true, Name: row.Namespace + "." + row.Name}, Doc: "The row as it is."},
			{Name: "source", Type: Type{Record: source}},
			{Name: "op", Type: Type{Name: "string"}, Doc: "r: was there before the stream began; u: was created or changed; d: is gone, before has its id."},
			{Name: "ts_ms", Type: Type{Nullable: true, Name: "long"}, Doc: "When the row was read, in milliseconds since 1970."},
		},
	}
}

// RowOf is the record of the row in a schema with or without an envelope.
func RowOf(r *Record) *Record {
	if r.Name == envelopeName && len(r.Fields) > 0 && r.Fields[0].Type.Record != nil {
		return r.Fields[0].Type.Record
	}
	return r
}
