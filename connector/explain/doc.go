// Package explain answers why a row is in its topic, or is not: one row, in one sentence, with what to do
// next. It puts together what Coupa shows of the row now, what the topic has last of it, what the ledger and
// the position of its stream say, how the stream is, and what the dead letter topic has of it. See [Row].
//
// It writes nothing, and tells stamps, ids and places; no value of a row beside these leaves it. Of Coupa it
// has [Source], and takes one request of its rate, behind polls; of what is known of the stream, what the
// caller gives ([Known]). It knows no worker, shard or store.
//
// # Cases
//
// The sentences are a closed table. Of several cases that hold the first counts:
//
//	no_scope             the API client may not read the object
//	coupa_unanswered     Coupa did not answer
//	not_by_id            rows below others, for which there is no request by id
//	deleted              Coupa does not show it, and its last record is a delete
//	blind                Coupa shows no row of the object, where there were some
//	gone_or_hidden       Coupa does not show it, and the topic has it
//	not_visible          Coupa does not show it, and neither has the topic anything of it
//	unsent               Coupa gives its id and fails to send the row
//	no_such_version      of the version that was asked for: Coupa has had none so late
//	version_published    of an earlier version that was asked for: it is in the topic
//	version_dead_letter  the same: it is a dead letter
//	passed_over          the same: it was replaced before it was read
//	topic_unread         the topic can't be read, so that only the ledger tells
//	further_back         its record lies further back than was searched
//	set_back             the topic has a later version than Coupa shows
//	published            the topic has Coupa's version, lines included
//	dead_letter          it went to the dead letter topic
//	unreadable           its updated-at is no instant
//	passed               Coupa failed to send it, sends it now, and it is not asked for again yet
//	expired              it was published, and the topic has lost it
//	exported             it is marked as exported, and exported.mode passes it over
//	before_initial_from  it lies before where the stream began
//	nothing_reads        it became visible so late that no walk comes to it
//	stopped              the connector is STOPPED
//	paused               the connector is PAUSED
//	unassigned           no worker has begun with the object
//	circuit_open         the object has FAILED so often that it is tried seldom
//	failed               the object has FAILED
//	throttled            the rate budget is used up
//	held_up              something is wrong that passes
//	waits_begin          the stream has no position yet
//	waits_reading        for the next reading of all rows, which have no updated-at
//	waits_search         for the search through all rows, as it has no updated-at
//	waits_backfill       for the backfill
//	waits_split          its lines, for the walk that publishes those of before
//	waits_lines          changes of its lines, for the next walk by lines
//	waits_look_back      for a look-back
//	waits_settle         for settle.ms
//	waits_poll           for the next poll
//
// # Goroutines and locks
//
// All of it runs on the caller's goroutine, and nothing is shared.
//
// # Files
//
//	explain.go  what is asked, known and answered
//	coupa.go    the row as Coupa shows it
//	search.go   a topic read backwards
//	cases.go    the table: when a case holds, what is said, and what to do next
//
// # Decisions
//
//   - The worker that runs the connector answers. It alone has position, ledger and the rate's turns; a
//     command that read all of it by itself would need the checkpoint topic read to its end.
//   - Coupa is asked first, then what is known is taken, then topics are read: what is published meanwhile is
//     found. Where the topic has a later version than Coupa showed, Coupa is asked once more.
//   - A topic is read backwards in blocks of about a megabyte, the partition first that the key belongs to by
//     the number of partitions that the stream began with, and the others after it: where the registry has
//     given the keys' schema another id, records of before may be there.
//   - It is bounded by bytes as they lie in the log, since these are what brokers and network bear; a search
//     that ends early says so, and no case claims then that a record is not there.
//   - Whether lines have changed since the row was published is told by when its record was written, and by
//     the ledger. Two versions of one second look alike.
package explain
