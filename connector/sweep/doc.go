// Package sweep finds the rows that Coupa does not have any more (deletes=sweep). Coupa tells of no delete,
// so a [Sweeper] reads the ids of all rows, now and then, and compares them with those that are in the topic.
// It decides what is missing and what a person has to look at; what goes out goes through package stream.
//
// # What is kept
//
// The ids of a stream's rows are in three sets of package checkpoint: known, missing and gone. They change
// in the transactions that publish, so that no crash parts them from the topic, and are restored as the
// ledger is. The ledger can't serve: it forgets. How far a sweep is stands in the position.
//
// Where the key is switched on for a stream that runs, the known ids are read from its topic first
// (learning): who has a last record that is no tombstone is known, who has a tombstone is gone. From then
// on a delete is found, and the status says so. A topic that was purged at its front has not all keys: then
// the first sweep adds what it shows, and deletes are found from its end on. What it so adds may never have
// been published (initial.from); its tombstone is then the first record of its key.
//
// # A sweep
//
//	learning ──▶ resting ──▶ reading ──▶ confirming ──▶ resting
//	                            │            ▲
//	                            └─▶ waiting ─┘ approved
//
// What it does in each stage:
//
//   - resting: until deletes.interval.ms have passed since the last one began, and the backfill is done.
//   - reading: fields=["id"], by id, at the priority of sweeps. Both sides go by id, a page of Coupa's and a
//     few thousand known ids at a time. A known id that no page shows is missing. An id that is gone and is
//     shown has come back: it is read and published, between two polls. The place is written down every
//     minute, and with each few thousand ids that are missing.
//   - confirming: when an overlap has passed since the sweep's end, each row that is missing is asked for
//     by itself. One that is there was hidden from the list for a moment. Those that are not are asked for
//     once more, together, between two polls, and then their tombstones go out: what polls publish of a row
//     so comes either before it was found to be gone, and then it is shown, or after its tombstone.
//   - waiting: nothing is deleted until somebody approves. When the interval has passed it looks again, and
//     takes out what has come back, and nothing in. So an approval is of what was shown, or less.
//
// The tombstone's transaction takes the id from known and missing to gone, and its entries out of the
// ledger: a row that comes back is a new row, whatever it holds. A poll or look-back that finds it publishes
// it; the transaction that does so makes it known.
//
// # Never the world
//
// A row that is hidden from the API client looks as one that is deleted, and no request tells them apart.
// So what looks as if rights had changed, or the instance had been replaced, waits for a person; see
// [reasons]. An object that Coupa's API has no operation to delete rows of (the catalogue's deletes) is
// audited: whatever is missing of it waits.
//
// # After a crash
//
// Place, counts and what is missing are of one transaction, so a sweep resumes behind the last one and reads
// some pages again. Confirming begins with what is still missing. An approval stands in the position.
//
// # Goroutines
//
// It has none: [Sweeper.Turn] is a chore of the poller's, and does one stage at a time. [Sweeper.Approve]
// may be called beside it; both change the position through the shard alone.
//
// # Files
//
//	sweep.go    the stages
//	reasons.go  pure: what a person has to look at
//	learn.go    the ids that are in a topic
//	idset.go    pure: many ids in little memory
package sweep
