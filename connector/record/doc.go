// Package record makes records of rows, for one stream at a time: step 4 of package connector. It makes
// sure of topics and schemas before the first record, learns custom fields as rows show them, cuts lines
// out of their rows, and decides what becomes of a row that can't go.
//
// A [Maker] belongs to one stream; each fetch has an [Encoder] of its own, which puts records into a
// [Chunk]. It asks the schema registry, and the brokers about topics. It reads nothing from Coupa,
// produces nothing, and knows no positions, walks or shards. What it has to tell goes to a reporter.
//
// # Goroutines and locks
//
// It starts none. Encoders of one maker work side by side, on the goroutines of their fetches.
//
//   - customs.registering is a turn (a semaphore of one) that is waited for until the context ends: who
//     has it may register a new version and replace the present encoding. Fetches that met the same new
//     field so wait for the one version. It guards what the maker knows of custom fields, but for the
//     next.
//   - customs.mu guards what Coupa is asked for.
//   - ids.mu guards which subjects the records carry ids of.
//   - Topics.mu guards the limits of topics, and deadLetters.mu when the log last told of a dead letter.
//
// No mutex is held while registry or brokers are asked, or another is taken; the turn comes before them.
//
// # Files
//
//	maker.go       the maker, what it is made of, and the registry as it sees it
//	prepare.go     topics and schemas, before the first record, and again when they changed or were refused
//	encoder.go     one row into the chunk: encoded, shrunk, or a dead letter
//	encode.go      the value of a row; records, headers and slabs
//	format.go      the encoding of values: Avro or JSON, with an envelope or without
//	stamps.go      what versions of a row are told apart by while it is still to be marked as exported
//	lines.go       lines with topics of their own, cut out of their rows
//	deletes.go     what says that a row is gone
//	split.go       the schemas and topics of lines
//	custom.go      custom fields: learned, registered, counted
//	kept.go        how they are typed, kept for starts without the registry
//	ids.go         subjects, and the ids that the registry gives their schemas
//	conflict.go    a schema that can't follow those of its subject
//	oversize.go    records that are larger than their topic takes
//	deadletter.go  rows that can't go, to a topic of their own
//	row_error.go   which row can't go, and whether Kafka blames a record
//	topics.go      topics: made, checked, their limits
//	find.go        topics: their ids and numbers of partitions, asked for seldom
//
// # Decisions
//
//   - The encoder tells what has no place, and the row waits. A sample of rows can't promise that a field
//     does not come up in the next one, so typing rests on the row itself: what lands in unmapped of an
//     object with typed custom fields is learned, a version is registered, and the row is encoded again.
//     Nearly all rows cost one look at an empty list.
//   - The registry's last version is the common memory of custom fields. Types stand in the schema's
//     text, so that a worker that takes over, or one that shares the subject, goes on from there, and two
//     that see the same rows make the same schema. No second truth in the checkpoint topic can disagree
//     with it.
//   - The instance's own description of its API is not read for custom fields. Nobody outside knows
//     whether it lists them; rows do.
//   - Lines are cut out of the encoded row. So a line is what it is within its row, whatever mapping,
//     custom fields and unmapped make of it, and the plan for rows is the only one. Splitting costs a
//     third of encoding; without the key lines nothing is split, and the path of a row is what it was.
//   - What can't be read and is kept (errors.tolerance=unmapped) is counted with the chunk that holds it, so
//     that the status counts what was committed, once. Values of custom fields are counted as they are met,
//     since they are what a version is registered for; these are not, and have a counter of their own.
//   - A row whose updated-at is no instant is never kept in unmapped: nothing tells whether another version
//     of it is newer. Its dead letter is for the same reason not replayed as it is.
//   - A row without a readable id is never a dead letter. The id is its key, its place in the walk and
//     its name in the ledger. Without one, the row would be asked for again wherever it ends a page, and
//     be met again in each overlap with nothing to know it by but its content, which two rows may share:
//     it would go out again, or another one would not at all. It could not be replayed either. And where
//     one id is missing, an API filter of the instance most likely leaves them all out.
//   - An encoding holds ids, so it has the registry's generation. Each row asks first whether that is
//     another one by now, which costs one atomic load, and waits until the schemas have ids again: no row
//     goes out by an id that is known to be wrong. The fields stay those that the encoding had.
//
// # Not obvious
//
//   - A topic's max.message.bytes is read once, and once more when a record is too large for it and a
//     minute has passed. It is forgotten after a refused record.
//   - Schemas of lines are registered before those of their rows: what they hold of custom fields must
//     not be lost with the version of the rows' schema that held it.
package record
