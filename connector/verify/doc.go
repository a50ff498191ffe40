// Package verify compares a Coupa instance with the topics that it is
// streamed to, row by row and line by line: what consumers that read only
// what is committed see, against what Coupa answers. It writes to neither.
//
// # Files
//
//	verify.go   what is compared, what is found, and the comparison of an object's rows
//	confirm.go  what seems to differ is looked at once more
//	lines.go    the comparison of lines that have topics of their own
//	topic.go    what a topic says: last records, repeats, deletes
//	values.go   what rows and records hold, where that is compared
//	walk.go     Coupa, read to its end
package verify
