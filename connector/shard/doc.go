// Package shard is one partition of the checkpoint topic: one transactional id, one producer, one local
// store, one owner. It carries out steps 5 to 10 of package connector: it gathers what pollers hand over,
// commits it with their positions in one transaction, applies the same to the local store, and restores.
//
// A [Submission] is a part of one stream's progress. It says what it changes of the stream's position,
// and the shard applies these changes in the order in which the parts reach the transaction. So two walks
// of one stream can go on beside each other: a part that fails takes nothing along that another one has
// not committed.
//
// The producer, and what applies a commit, are touched here and nowhere else. A shard knows a poller by
// three methods ([Poller]: Run, Stream, Task). It knows nothing of Coupa, makes no records, and asks
// neither registry nor config topic. Of package group it reads the two errors that say why it has to
// stop, and how long a last commit may take; whether this worker is a member is asked through a function.
//
// # Goroutines and locks
//
//   - [Shard.Run], started by the group, owns one ownership after the other: producer, store,
//     transaction. It receives submissions and answers each exactly once: committed, failed, or released
//     with the shard.
//   - Pollers, and what requests do within an ownership ([Shard.During]), run as the crew of that
//     ownership. It does not end before they have ended.
//   - What asks whether a transaction is decided in its partitions (txn.Ends) begins with its end, beside
//     Shard.Run, and ends with the ownership at the latest.
//   - [Shard.Attach], [Shard.Detach], [Shard.Resume] and [Shard.Halt] are called by who changes
//     connectors.
//
// The channel of submissions is unbuffered, so that "received" means something. What holds pollers back
// is their budget of memory, not the channel.
//
// Shard.mu guards the committed positions, which pollers are attached, and who of them runs. It is not
// held while a poller is waited for. A task may be updated under it, which has locks of its own.
// outcome.mu guards what became of one transaction's records, of which Kafka's client tells on a
// goroutine of its own.
//
// # Files
//
//	shard.go        one ownership after the other: open, fence, restore, serve, release
//	crew.go         the pollers of a shard: they come and go within an ownership
//	batch.go        what goes into one transaction, and in which order
//	transaction.go  steps 5 to 9
//	settle.go       transactions that Kafka has left open: found before the next one, ended behind the fence
//	lost.go         positions that Kafka has lost: found, and made up for; the claim that tells of it
//	states.go       lines: which of them are new, changed or gone
//	committed.go    what is told of what was committed
//	bounds.go       how much goes into a transaction
//	memory.go       how much waits for all of them, in bytes
//	errors.go       what an error means for the shard
//	tracing.go      the span of a transaction
//
// # Decisions: partitions
//
//   - A record's partition is set here, from its key and the number of partitions that the stream's
//     position keeps of the topic. The topic's present number may grow under a running producer, and each
//     client learns of it at another time: versions of an id would part. Streams in one topic may keep
//     different numbers, since their keys differ.
//   - A topic that is made again is noticed by its id. Until its stream has noted it the client fails it
//     (UNKNOWN_TOPIC_ID), so that nothing goes there by the former one's number.
//
// # Decisions: positions that are lost
//
//   - What tells of a loss stands outside of the checkpoint topic: a claim in the config topic, which names
//     the topic's id and the state file that owned the shard last, and the offset of an anchor: a record
//     that compaction keeps, with all that the positions need behind it. Where the partition begins behind
//     the anchor, records were deleted. The first offset alone does not tell: some brokers compact it away.
//   - A claim has the number of partitions that the topic had, too, by which tenants belong to shards. Those
//     that are added later are no shards: a tenant would find no position there, and begin anew.
//   - An owner that finds no claim writes an anchor, and behind it what it has restored. Had it
//     not, records before the anchor could go unnoticed. The config topic may be lost alone, too,
//     or the owner before died before its claim: its anchor stays behind, and is a hundred bytes.
//   - Making up for a loss ends with the claim. A crash before it has the next owner do the same once more:
//     records have the same keys, and the old file stays in its place until the claim is there. What the
//     group made up for meanwhile stands in the config topic, which is read to its end behind the fence.
//   - After the claim the ownership begins from the topic like any other. Nothing is taken over in memory.
//   - In an ordinary ownership the claim comes late, beside the work: a config topic that can't be written
//     must not stop publishing. The file knows how far it has written to the data topics, so a claim that
//     is out of date makes local refuse, and never go on from a state that they are ahead of.
//
// # Decisions: ownership
//
//   - The store is opened before fencing. Its file lock stops a second process with the same state.dir
//     before it can fence the first. It is held to the topic then, too: what tells that the brokers have lost
//     its last commit is where the topic ends before the fence.
//   - The group is asked before each fence, with a heartbeat. A worker that was stopped (SIGSTOP, a
//     frozen machine), replaced and continued wakes up to timeouts of its own, rebuilds its shard, and
//     would take the id back from its successor, which then would stop: nobody would run the shard. The
//     group knows better. What is left is a stop between the heartbeat and InitProducerID; the next
//     decision closes that gap.
//   - A fenced shard stops, and the worker does not. Whoever has the id now is the owner, for all that
//     the shard can know, and two that fence each other would publish nothing. If the group takes the
//     partition away, that is the answer. If it does not for a whole session timeout, and confirms the
//     membership then, whoever took the id was no member, or is none any more, and the shard goes on.
//   - A transaction that outlasted its time-out is ended by Kafka as a successor would end it: the next
//     request finds a stale epoch. The shard measures how long it was open, by the wall clock where that
//     tells more, and then takes no other process for the cause. It is rebuilt at once; the group is
//     asked before the fence, as ever.
//   - A shard without connectors owns nothing: no producer, no fence, no store.
//   - Pollers come and go within an ownership. Pausing a connector must not rebuild the shard of its
//     neighbours. A poller that is stopped hands over nothing any more, what it handed over is answered,
//     and its position is what was committed. So pause, restart and another configuration are the same
//     three steps: stop, change, start.
//
// # Decisions: transactions
//
//   - The batch is committed on the shard's goroutine while fetches go on. Transactions of one id can't
//     be pipelined; the reading can.
//   - A refused record takes its stream out. The transaction is aborted, the stream's submissions fail,
//     the others go again. It costs one aborted transaction per bad record, and the object is then
//     stopped.
//   - Transactions shrink to what Kafka takes. Under a quota a full one may need longer than the time-out,
//     and the same batch would fail for ever. One that was open for half of it halves the next ones, down
//     to a page; those that are full and quick double them again. This outlives an ownership.
//   - After an unknown outcome the shard is rebuilt, from fencing on. A client that got an error from a
//     commit is never asked what happened: it may say that an abort succeeded though the transaction is
//     committed.
//   - Behind a fence it is looked for records of the shard's last transaction that Kafka has left undecided,
//     though the coordinator holds it for ended: the fence record would join them (settle.go). Positions are
//     committed if the coordinator has said so right before the fence. Records of data end as this process
//     knows, and are committed where it does not: an abort takes what is committed, and a commit publishes
//     at most what goes out once more.
//   - A transaction's first record goes into a partition when the one before is known to be decided there,
//     which is asked beside applying and gathering (txn.Ends). A transaction that was left open ends the
//     ownership, as an unknown outcome does, and the next one settles it; how it ended is kept.
//     It is not enough to ask before an abort, or to end both in the way of the first: with its first record
//     there the second one has joined, and from then on whoever aborts it takes both: a successor's fence,
//     or Kafka after the time-out. Nor is it enough to watch connections, metadata or epochs: a broker that
//     was paused loses its partitions and gets them back without a word to its clients.
//   - Where that can't be told, since a partition has no leader, transactions that write there wait as long
//     as they would for their records, and tasks say so. Others go on.
//   - Backfills, and snapshots that are asked for, meet the polls where both enter the transaction. What
//     they read before a poll published a later version, and hand over after it, is taken out
//     (Shard.receive). This needs no record: a row that changed leaves the backfill's window, so it is
//     not read again after a restart.
//
// # Decisions: lines
//
//   - Which lines go out is told here, when the rows of a transaction stand in their order. A fetch can't
//     tell: a version that is under way in another walk is not there yet for it. So fetches carry all
//     lines of a row, changed or not. A version that the polls have overtaken is taken out before, with
//     its lines.
//   - A row's state is the ids and digests of its lines: one record of the checkpoint topic per row. It
//     does not expire, since a line may go after years. It tells where a line is, too: an expense line
//     that moves from one report to another would otherwise be deleted by the report that it left, if
//     that is read last. A line is in one state at a time, and the local file finds it by the line.
//   - The digest of a line is of its content, not of its bytes: of fields that are not null, by their
//     names. A new custom field changes the bytes of every line, and no line goes out for it.
//   - With lines=topics the row itself is in its state as well. A change of a line alone moves neither
//     content nor stamp of a record without lines, which must not go out twice.
//
// # Not obvious
//
//   - EndTransaction with commit returns nil although a record of the transaction was refused. Every
//     promise is looked at first.
//   - EndTxn answers before the markers are written. A produce that follows at once waits 20 ms in the
//     broker; markerGap avoids that.
//   - The broker refuses whole batches of a partition. When several streams of one transaction are
//     refused together, each goes again alone, so that only the culprit stops.
//   - kgo keeps a topic's max.message.bytes per partition. After a refused record that is forgotten, and
//     so is what package record knows of it: a new limit, or a topic made anew, counts at the next try.
package shard
