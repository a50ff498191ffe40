// Package catalogue drafts the Avro schemas of Coupa's collections from the data in
// schemas/catalogue: objects.json and values.json, what Coupa's published API description says
// of every object and of the values of its texts, and selection.yaml, what the schemas make of
// it and why. A new collection is a new line in selection.yaml; nothing here knows one by name.
//
// A schema is a tree of records, each a view of one Coupa object:
//
//   - full: every field of the object but those left out. The
//     row itself and what is listed under `full` are shown so.
//   - part: what is listed under `full` of an object that has rows of its own and fields under
//     `leave-out-of-parts`: the same without these, under the object's name with Part behind it.
//   - reference: the few fields that identify the object. Every other association is shown so,
//     under the object's name with Ref behind it, which also cuts every cycle of the object graph.
//
// Every view of an object is the same wherever it occurs, in all schemas.
package catalogue
