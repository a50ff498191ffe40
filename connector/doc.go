// Package connector is the pipeline: it reads Coupa without loss and publishes to Kafka exactly once. The
// package itself is the worker: which connectors there are, what runs here, what requests ask for. What it
// runs lies in rooms, and each room's doc.go says what it may touch, who owns what, and why it is as it is.
//
//	cmd ──▶ rest ──▶ connector ──▶ group    the place in Kafka's consumer group ◀── shard: when to stop
//	 │                   ├───────▶ explain  why a row is in its topic, or is not ──▶ record
//	 │                   ├───────▶ contract what the topics hold, for those who read them ──▶ schemas
//	 │                   ├───────▶ lineage  tells a data catalog where the topics come from ──▶ status
//	 │                   └───────▶ stream   what to read of Coupa, and when ──▶ polls: how often
//	 │                               │         sweep: what Coupa does not have any more
//	 │                               │         listing, sample: reading that publishes nothing
//	 │                               │         exported: marks in Coupa what is published
//	 │                               ▼
//	 │                             shard    one partition: batch, transaction, restoring ──▶ metrics
//	 │                               ▼
//	 └──▶ replay ────────────────▶ record   a row becomes its records ──▶ schemas, schemas/registry
//	      dead letters, again; the worker has those counted that wait
//
// Before there is a worker, preflight tries what one would need, with the makers of package record.
//
// The worker puts the parts together and so knows all of them. Every room may read config, and status: what
// is told of connectors, of which metrics are made. The leaves coupa, schemas and checkpoint know nothing of
// each other. An arrow that is not meant fails a test (imports_test.go).
//
// # Flow
//
// Workers of one group.id are one consumer group on the checkpoint topic, and Kafka's coordinator decides
// which of them owns which partition. A partition is a shard: one transactional id, one producer and one
// local store, and all objects of the tenants that hash to it. Connectors come from files and from the
// config topic, at any time. In a shard there is a poller per stream, which is one object of one tenant.
// What a poller reads, it reads in walks: a pass over a fixed window of time, in order of id. Each kind is a
// value in stream/rules.go:
//
//	poll      rows by their own updated-at, [mark − overlap, now − settle)      stream/follow.go
//	ahead     the same, up to the second that runs; the mark stays behind       stream/follow.go
//	lines     rows of which a line was stamped since the last such walk         stream/follow.go
//	repair    rows that a look-back found and the ledger does not know          stream/follow.go
//	moved     rows between which lines have moved, once more for their lines    stream/follow.go
//	undated   rows that have no updated-at, where others have one               stream/undated.go
//	noted     the same where only later changes are to be published             stream/undated.go
//	earliest  what was there before the stream began                            stream/backfill.go
//	backfill  the same from an instant on                                       stream/backfill.go
//	closing   the backfill's last overlap, once more                            stream/backfill.go
//	split     what was published before its lines had topics, for these alone   stream/backfill.go
//	snapshot  what somebody asks for, published as it is                        stream/snapshot.go
//	ids       the same, of rows by their ids                                    stream/snapshot.go
//	whole     all rows, again and again, where no updated-at tells of changes   stream/whole.go, below.go
//	first     the first such walk, in place of a backfill                       stream/whole.go
//	latest    the same where only later changes are to be published             stream/whole.go
//
// The first seven publish changes, one after the other, and the next six publish beside them. Look-backs
// (stream/lookback.go) list ids and stamps behind the overlap, and publish nothing. Sweeps (package sweep)
// list all ids, and compare them with those that were published; what is missing for good is published as
// deleted between two polls (stream/deletes.go), by steps 4 to 10. The ten steps of a row:
//
//	1 fetch    a page of the walk                                   stream/fetch.go, coupa.Client.Fetch
//	2 decode   rows as they arrive, each checked                    package coupa
//	3 decide   row + what was published → fresh, duplicate, stale   stream/dedupe.go; nothing is stored yet
//	4 encode   row → record                                         package record, with schemas
//	5 begin    a batch of many pollers' pages → open transaction    shard/batch.go, shard/states.go (lines)
//	6 produce  the data records                                     shard/transaction.go: 5 to 9
//	7 mark     the new positions and ledger entries, in the same transaction
//	8 commit   the truth. Before it, nothing happened; after it, it happened, whatever follows
//	9 apply    the same commit to the local store                   package checkpoint
//	10 restore a new owner fences the former, reads what it lacks   shard/shard.go, package checkpoint
//
// Steps 1 to 4 run beside each other and beside 5 to 9: while a batch is committed, the next pages are read.
// A transaction holds what is in memory already: it never waits for Coupa or the registry.
//
// With exported.mode=filter all walks that publish changes or what was there before, and look-backs, read
// rows without Coupa's exported flag alone; what somebody asks for is read whatever its flag. With mark such
// rows get the flag once they are published. That is no step of a transaction, and comes behind it: package
// exported.
//
// # What is guaranteed
//
//  1. No row is skipped. A window is closed below and open above, in whole seconds,
//     and what the mark passes of it lies behind Coupa's own clock, by the Date of
//     every answer. A row that changes during the walk leaves that and is in the
//     next window; ids only grow; nothing is counted in offsets, so nothing shifts.
//  2. No row is repeated since it was last deleted. What a walk reads again is compared by id, updated-at and
//     content with the ledger, and the ledger is written in the transaction that published the row. What
//     goes out again because somebody asked for it says so (coupa.reason=requested).
//  3. Versions of one id come in the order of updated-at: a walk reads each id once, a walk starts when the
//     one before is committed, and a row that is older than what was published is dropped. Where it is Coupa
//     that has set a row's updated-at back, the row goes out as it is, half an overlap later. The backfill's
//     window ends where the polls' begin, and what the polls hand over of an id takes out what the backfill
//     hands over later of it.
//  4. Where lines have topics, these hold at every commit what the rows published last have of lines:
//     no line goes out that has not changed, and one that is gone from its row leaves a tombstone.
//  5. A tombstone goes out only for a row that three requests did not show, the last of them between two
//     polls, and whose absence does not look like a change of rights; with it goes what the ledger has of
//     the row, so that a row that comes back is published.
//  6. A mark moves in the transaction of the last page of its window, or later, never before.
//  7. The local store may be lost, old or foreign: the checkpoint topic decides (see package checkpoint).
//  8. A stream that fails stops alone. A record that Kafka refuses takes its stream out of the transaction;
//     the others go again without it.
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
// A shard begins when the group assigns its partition: heartbeat, InitProducerID, restore, poll. The
// heartbeat asks whether this worker is a member still: one that was given up for dead must not take the id
// from its successor. It ends when the partition is revoked: the pollers stop, the batch in hand is
// committed or dropped whole, producer and store are closed, and only then the next owner gets the
// partition. A worker that the group has given up drops what is not at step 8 yet; if it does not know so,
// the next owner's InitProducerID makes it harmless. A shard whose id was taken stops, FAILED, and does not
// take it back: it begins anew when the group assigns the partition, or says after a session timeout that it
// belongs here still.
//
// Who owns which goroutine, and what guards what, stands with each room; the worker's goroutines are those
// that [Worker.Run] begins. PROOF.md says what was done to the built program and what came of it.
package connector
