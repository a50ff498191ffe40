// Package replay sends dead letters again, beside a worker that may run: each once, in order with what
// the worker publishes, by the keys, schemas and topics of today. See [Run].
//
// It makes records as a poller does, with package record. It has a producer, a transactional id and a
// consumer group of its own, named after the connector, and knows no worker, shard, store or checkpoint:
// what is published already it reads from the objects' topics. [Letters] counts for the worker that runs a
// connector which letters of it wait.
//
// # Goroutines and locks
//
// All of it runs on the caller's goroutine, and nothing is shared; Letters have one owner.
//
// # Files
//
//	replay.go   which letters go, and the transaction in which they do
//	kafka.go    reading topics to an end, and offsets within a transaction
//	waiting.go  how many letters wait, and which
//
// # Decisions
//
//   - Records and the letters' offsets are one transaction, so that a letter goes once whatever happens.
//     Who replays the same connector's letters at the same time is fenced by the transactional id.
//   - A transaction begins when the one before is decided in all of its partitions (txn.Ends; package shard
//     says why). What is found open at the start is the last one's, and ends as that did.
//   - A letter whose row has gone out in the same or a later version is passed over. Of two versions with one
//     updated-at, as changes of lines alone make, the letter goes if it is what Coupa has. The objects'
//     topics are read to the end before, and up to the records of the open transaction within it: if the
//     worker has published the row meanwhile, the transaction is aborted and decided anew.
//   - Letters of one row see each other, in a transaction and from one to the next: one that is not newer
//     than a letter before it is passed over, whether that one went or stands at the end again. Letters of
//     one second are told apart by what they hold. A version goes once, and letters do not multiply.
//   - Letters of objects whose lines have topics of their own stay letters: the worker alone knows what
//     those topics hold. A snapshot of the rows publishes them.
//   - What waits is read, and not reckoned from offsets: these count the ends of transactions and what was
//     aborted, and the letters of all connectors that share a topic. An alert on that would never be over.
//   - Where a mapping changes rows, they are read from Coupa again: a letter lacks what the mapping
//     hides.
package replay
