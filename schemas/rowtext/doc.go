// Package rowtext reads a row as Coupa sends it, one JSON object: its structure, and what its texts and
// numbers say. It is strict, rounds nothing, makes no tree and knows no schema.
//
// A Scanner reads JSON from left to right with no allocation, for the encoder; a Cursor does so
// by callbacks, for those who rewrite a row. ParseDecimal, ParseInstant and ParseDate read what a
// text spells. Trim shortens a row. What is wrong is a FieldError, which never shows a value.
//
// It imports nothing of ours. All that reads rows imports it: the encoder, package custom
// and package mapping.
package rowtext
