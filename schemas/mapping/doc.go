// Package mapping changes what an object's records hold by rules that a user writes as YAML: fields
// are chosen, left out, renamed, given another type, masked, hashed or computed, without code.
//
//	objects:
//	  invoices:
//	    choose: [invoice-number, total, supplier.name]
//	    leave-out: [image-scan, invoice-lines.description]
//	    fields:
//	      supplier.name: {rename: supplier_title}
//	      invoice-date: {retype: string}
//	      payment-notes: {mask: "***"}
//	      requester.email: {hash: true}
//	    compute:
//	      gross_eur: {expression: "double(row.total) * 1.1", type: double, doc: Gross total}
//
//	layer, problems := mapping.Parse("mapping.yaml", text)
//	m, problems := mapping.Compile("invoices", worker, layer)  // nil if no layer has rules for it
//	s, err := schemas.For("invoices", schemas.Options{Mapping: m})
//	r := m.Rewriter(key)                                       // one a goroutine
//	row, err = r.Row(row)                                      // what s.Plan() encodes
//
// Paths are Coupa's names, with a dot for each object or list that a name is
// within. All that can be wrong is found by Parse and Compile, each problem
// with its place in the file: a row can fail by its own content alone.
//
// # The rules
//
// choose: of the object, and of each object on the way to a chosen field, just
// these are kept. What Coupa sends besides is not kept in unmapped either. The
// row's id and updated-at stay always: they are its key and its order.
//
// leave-out: the field goes, also out of unmapped, and Coupa
// is not asked for it unless an expression needs it.
//
// rename: another Avro name for the field in its record; coupa.name stays.
//
// retype: another Avro type. No value is rounded or cut: one
// that has no exact form in it is an error of its row, unless
// the encoder keeps such values (errors.tolerance=unmapped).
//
//	string                  → boolean, int, long, decimal(p,s), date, timestamp-millis
//	boolean                 → string
//	int, long               → string, int, long, decimal(p,s)
//	decimal                 → string (the digits as Coupa sends them), int, long, decimal(p,s)
//	date, timestamp-millis  → string (the text as Coupa sends it)
//
// mask: a constant in place of every value, or {keep-last: n}: *** and the last n characters, of a text of
// at least 2n, else ***. The constant must be one of the field's type; retype: string makes room for any.
//
// hash: the hexadecimal HMAC-SHA256 of the value's text as Coupa sends it (a text without its quotes and
// escapes), under mapping.hash.key, as a string. Equal values have equal hashes, in every field and object.
//
// Mask and hash take the tags of personal data from a field, where all places of its record
// have them; a computed field has the tags of what its expression reads.
//
// null, what is absent and "" stay as they are under mask and hash. custom-fields.NAME, of either namespace,
// can be chosen, left out, masked and hashed, whether custom fields are typed or not. So can fields that
// Coupa documents and coupastream does not ship, but for choose: they are in rows if fields=all.
//
// Where an object comes in a form that its rules do not foresee, such as a text for an
// object with a masked field, the row is an error: what should be hidden might stand there.
//
// # Layers
//
// A later layer goes over an earlier one, field by field: its choose replaces the
// earlier one's, its leave-out adds to it, and its rules for a path (or a computed
// field) replace the earlier ones, leave-out included. null for rules takes them back.
//
// # Expressions
//
// compute adds fields to the object's record, whose values are expressions in CEL
// (Common Expression Language, cel.dev). It is typed, so that a mistake shows before the
// first row; it always ends, and is bounded by a cost besides; it can't reach files,
// network or clock; Kubernetes and others have made it known; its Go implementation is
// kept by its authors. A language of our own, or templates, would be none of that.
//
// row is the object as Coupa sent it, before all rules, its fields
// by their Avro names: row.supplier.name, row.invoice_lines.
//
//	text                 string            integer      int
//	decimal              string, exact     boolean      bool
//	date                 string, 2024-04-01
//	timestamp            timestamp         association  object; a list of them: list
//	custom_fields        map of string to string, int, bool, list or map;
//	                     a number that is no integer of 64 bits is a string
//
// An expression that needs a value which the row does not have gives null. has(row.x)
// tells whether it is there, and row.?x.orValue("-") stands in for it; a || b and a
// && b are as in SQL. A result may be optional: optional.none() is null. Any other
// failure is an error of the row, which says what failed and never shows a value.
// So is a value that is not of its field's type, unless [Rewriter.KeepUnreadable]
// makes it none.
//
//	type               result of the expression
//	string             string
//	boolean            bool
//	int, long          int
//	double             double
//	decimal(p,s)       string of digits, int; or double, rounded to s
//	date               string as 2024-04-01; or timestamp, its day in UTC
//	timestamp-millis   timestamp; or string as 2024-04-01T00:00:00Z
package mapping
