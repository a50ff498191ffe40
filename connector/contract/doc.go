// Package contract describes the topics of a connector to those who read them, as a data contract of the
// Open Data Contract Standard (ODCS 3.1, https://bitol-io.github.io/open-data-contract-standard): one
// document, with a schema for each topic. It is made from what the configuration says, the schemas that
// follow from that, and nothing else: no broker, registry or Coupa is asked, and no secret is in it. What
// rows alone tell, such as a customer's custom fields, it does not list.
//
// What a document promises holds by construction: the key, what is never null, the compaction of topics that
// the worker makes. An objective of freshness is what the configuration asks for, and is told as that.
//
// [Schemas] gives the schemas themselves, in the form of the topics.
//
// No field is a primaryKey of the standard's, which its tools test among all records: a topic holds versions
// of rows, so that an id comes again. The key is told in words, and as the property key of topic and field.
package contract
