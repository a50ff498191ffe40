// Package custom types the custom fields of an object's rows: a Discovery learns them from rows,
// Fields says how each is typed, carries that on from version to version and keeps it as JSON, Apply
// puts them into a schema, and FromSchema reads them back from one. TypeOf, ExactNumber and
// ExactInstant decide what a value is, for the Discovery and for the encoder alike.
//
// Package schemas imports it and tells it, as a Shape, where in rows custom fields are
// (schemas.NewDiscovery). Of ours it may touch what reads rows (rowtext), what names Avro
// fields (avroname) and what a schema is made of (schematext); it knows no plan and no encoder.
package custom
