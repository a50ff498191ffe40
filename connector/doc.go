// Package connector is the pipeline: it reads Coupa without loss and publishes to Kafka exactly once. It
// is the only package that knows all the others; coupa, schemas and checkpoint know nothing of each other.
//
// # Flow
//
// Workers of one group.id are one consumer group on the checkpoint topic, and Kafka's coordinator
// decides which of them owns which partition. A partition is a shard: one transactional id, one producer
// and one local store, and all objects of the tenants that hash to it. A worker runs the shards that it
// is given, once they have connectors. Connectors come from files and from the config topic, at any time
// (herder.go). In a shard there is a poller per stream, and a stream is one object of one tenant. What a
// poller reads, it reads in walks: a pass over a fixed window of time, in order of id.
//
//	poll      rows by their own updated-at, [mark − overlap, now − settle)      follow.go
//	lines     rows of which a line was stamped since the last such walk         follow.go
//	repair    rows that a look-back found and the ledger does not know          follow.go
//	settle    rows between which lines have moved, once more for their lines   follow.go
//	look-back ids and stamps alone, behind the overlap, seldom                  lookback.go
//	backfill  what was there before the stream began, beside the polls          backfill.go
//	split     what was published before its lines had topics, for these alone    backfill.go
//	whole     all rows, again and again, where no updated-at tells of changes   whole.go, below.go
//
// The first four publish changes, one after the other; backfill
// and split publish beside them, and look-backs publish nothing.
//
//	1 fetch    a page of the walk                                  fetch.go, coupa.Client.Fetch
//	2 decode   rows as they arrive, each checked                   package coupa
//	3 decide   row + what was published → fresh, duplicate, stale  dedupe.go; nothing is stored yet
//	4 encode   row → record                                        encode.go, packages schemas and schemas/mapping
//	5 begin    a batch of many pollers' pages → open transaction   batch.go, transaction.go; of lines, those that changed: lines.go
//	6 produce  the data records
//	7 mark     the new positions and ledger entries, in the same transaction
//	8 commit   the truth. Before it, nothing happened: the batch is forgotten. After it, it happened, whatever follows
//	9 apply    the same commit to the local store
//	10 restore  a new owner fences the former one and reads what the topic has and its file lacks       shard.go, package checkpoint
//
// Steps 1 to 4 run beside each other and beside 5 to 9: while a batch is committed, the next pages
// are read. A transaction holds what is in memory already: it never waits for Coupa or the registry.
//
// # What is guaranteed
//
//  1. No row is skipped. A window is closed below and open above, in whole seconds, and its upper
//     end lies behind Coupa's own clock. A row that changes during the walk leaves the window and
//     is in the next one; ids only grow; nothing is counted in offsets, so nothing shifts.
//  2. No row is repeated. What a walk reads again is compared by id, updated-at and content
//     with the ledger, and the ledger is written in the transaction that published the row.
//  3. Versions of one id come in the order of updated-at: a walk reads each id once, a
//     walk starts when the one before is committed, and a row that is older than what was
//     published is dropped. The backfill's window ends where the polls' begin, and what
//     the polls hand over of an id takes out what the backfill hands over later of it.
//  4. Where lines have topics, these hold at every commit what the rows published last have of lines:
//     no line goes out that has not changed, and one that is gone from its row leaves a tombstone.
//  5. A mark moves in the transaction of the last page of its window, or later, never before.
//  6. The local store may be lost, old or foreign: the checkpoint topic decides (see package checkpoint).
//  7. A stream that fails stops alone. A record that Kafka refuses takes
//     its stream out of the transaction; the others go again without it.
//
// # After a crash
//
// Before step 8 the transaction is open or was never begun: the next owner's InitProducerID aborts it,
// readers never see it, and the position is that of the commit before; the pages are read again. Between 8
// and 9 the topic is ahead of the local store: restoring applies the difference. After 9 nothing is left to
// do. If the answer to 8 was lost, the shard does not guess: it is rebuilt from the topic as after a crash.
//
// # Who owns a shard
//
// A shard begins when the group assigns its partition: heartbeat, InitProducerID, restore, poll.
// The heartbeat asks the group whether this worker is a member still, before each InitProducerID,
// so that a worker which was given up for dead does not take the id from its successor.
//
// A shard ends when the partition is revoked: the pollers stop, the batch in hand is
// committed or dropped whole, producer and store are closed, and only then the group gives
// the partition to the next owner. A worker that the group has given up drops what is not
// at step 8 yet. If it does not know so, the next owner's InitProducerID makes it harmless.
//
// A shard whose id was taken by another process stops, FAILED, and does not
// take it back. It begins anew when the group assigns the partition, or
// when after a session timeout the group says that it belongs here still.
//
// # Goroutines and who owns what
//
//   - membership.Run: the place in the group. Kafka's
//     callbacks start and stop shards, one callback at a time.
//   - Worker.herd: what the config topic says; it and whoever
//     serves a request that changes something has Worker.applying.
//   - shard.Run, one per shard that the group has given: the producer, the store,
//     the transaction. It receives submissions and answers each exactly once.
//   - poller.Run, one per stream: waits between polls; in pass.run, the state of the walk.
//   - pass.fetch, up to 4 per walk: one page each; sends what it read to pass.run.
//
// DESIGN.md beside this file has the decisions and what was rejected,
// PROOF.md what was done to the built program and what came of it.
package connector
