// Package schemas gives the shape of what coupastream writes: the Avro schema of every Coupa object that
// it streams, the encoder from Coupa's JSON to Avro, the key, and the framing by which records name their
// schema. The registry's client is package registry; rows are read by package rowtext.
//
//	s, err := schemas.For("invoices", schemas.Options{})   // the schema
//	s.Fields()                                             // ask Coupa for just what it holds
//	plan, err := s.Plan()                                  // compiled once
//	id, err := registry.Register(ctx, subject, s.JSON())   // its id in the registry
//	value := schemas.AppendHeader(nil, id)
//	value, err = plan.Encoder().Append(value, row)         // one JSON object → Avro
//
// # What a schema is made of
//
// The schemas in avsc are made by go generate from the data in catalogue: what Coupa's API
// description says of each object, and a selection with its reasons. A field has the Coupa
// name with - as _ (see avroname.Fields) and carries the Coupa name in the property coupa.name.
// Every field but the row's id is nullable with default null. Rows that are below those of
// another collection have that row's id too, in ParentField, which is no field of Coupa's.
//
//	integer        long
//	decimal        bytes, logicalType decimal, precision 38, scale as described
//	               but 6 to 20 (9 where nothing is described)
//	instant        long, logicalType timestamp-millis
//	calendar day   int, logicalType date
//	boolean, text  boolean, string
//	association    a record: in full where it is part of the row (lines, allocations, addresses), else
//	               named ...Ref and cut to what identifies it, so that a department's new name does not
//	               rewrite every invoice; in full but named ...Part where a row of the object's own has
//	               more
//	custom_fields  map of string to JSON text, by the fields' API names
//	unmapped       map of string to JSON text: what Coupa sent that the record has no field for, or
//	               that its field cannot hold exactly. Every record has one; nothing is dropped and no
//	               number is rounded. With Options.Unmapped it is one string instead, of the JSON object
//	               of the same members; or there is none, and an Encoder tells what it left out.
//
// # Personal data
//
// A field with personal data has the property confluent:tags, ["PII", "PII_EMAIL"], the second one by the
// kind (catalogue/selection.yaml, personal). A registry's rules and catalogs go by it. Nothing here reads it:
// it counts for nothing in digests, differences and widening, and plans are the same with and without.
//
// # Typed custom fields
//
// With Options.Custom, custom_fields is a record instead, InvoiceHeaderCustomFields,
// of a nullable field for each custom field that package custom learned from rows:
//
//	boolean, long, decimal, instant, string
//	        as above, decimals of scale 9; several make a union: ["null", "long", "string"]
//	lookup  the record CustomLookup: id, active, name, description, external_ref_num,
//	        external_ref_code and unmapped
//	list    an array of nullable items of one of these
//
// Such a field has the property coupa.custom: the types, as of custom.Field, from which custom.FromSchema
// reads all back. A value stands in it if the field holds it exactly, else in unmapped of the same record,
// and is never an error: a customer may change what a custom field is. A text of digits alone, or with
// zeros in front, tells a string: it may be a code. Coupa is asked for custom_fields as a whole in any case.
//
// Custom fields of the older, global namespace are at the top of an object, as custom-field-8, and so are
// their fields here, behind the object's own. They must be asked for by name (see Schema.FieldsWith), which
// rows in full tell (see custom.Discovery). Where they are not typed they stand in the object's unmapped.
//
// # Mappings
//
// With Options.Mapping the user's rules change what a schema holds; package mapping makes them, and
// rewrites rows before they are encoded. A field with the role computed has no name of Coupa's. A record
// that is changed in one of its places has a name of its own there, and its former one in coupa.record.
//
// # Lines
//
// Schema.Split takes lists of a row apart (see Lists), so that their elements have records of their
// own: a row is encoded once, with its lines, and a Splitter cuts these out of its bytes. A line's
// record has parent_id in front, with the role parent, and the fields that it has within the row.
//
// # The tenant
//
// With Options.TenantField the first field of a row, and the second of a line, is a string with the
// role tenant: what Encoder.Tenant says. It counts for nothing in digests.
//
// # Evolution
//
// Schemas are registered under the rule BACKWARD: a new version may add fields,
// which are nullable, and never changes the type, scale or name of one; a typed
// custom field's union may grow at its end (see custom.Fields.Evolve).
package schemas

//go:generate go run ./internal/generate
//go:generate go test -count=1 -run ^TestTheDocumentListsEveryObject$ ../cmd/coupastream -update-objects
