// Package verify compares a Coupa instance with the topics that it is
// streamed to, row by row and line by line: what consumers that read only
// what is committed see, against what Coupa answers. It writes to neither.
package verify
