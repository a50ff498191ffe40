// Package exported goes by Coupa's exported flag, for one stream at a time: it makes sure that Coupa heeds a
// condition on it, and marks the rows that were published (exported.mode=mark). Which walks have the
// condition is package stream's affair.
//
// A [Marker] works beside everything that its stream does, one turn after the other. It reads stamps and
// sends marks with the rate that polls leave over, and hands over what it has marked as any part of the
// stream's progress is handed over. It publishes nothing, and no failure of its own stops the object: it
// stands in the task's status until it is over.
//
// # What a mark promises
//
// A mark is no step of the transaction that publishes a row: Coupa takes part in none. It comes after it.
//
//	published  the row's state in the checkpoint says, in the transaction of the row's
//	           record, by which stamps it is to be marked (record.Unmarked, shard/states.go)
//	settled    the stream's mark has passed these stamps: what was saved in the same second is out, too
//	stamps     Coupa is asked, among the rows without the flag, which stamps the row has now
//	export     if these are the same: PUT /{object}/{id}?exported=true
//	marked     a commit takes it out of the state, if the state is of these stamps still
//
// A crash behind any of these leaves the row in its state, and the next owner begins at "settled". A row
// whose mark was applied, though nobody knows, is not among those without the flag any more: it is taken out
// and not marked again. So is one that somebody else marked. One that Coupa does not show at all stays for a
// day: it may be hidden from the API client for a while, and one that was deleted looks alike.
//
// A row whose stamps have moved is not marked: it has no flag, so a poll reads it, or a walk by lines,
// and publishes it, and its state then says the new stamps. Set back in Coupa, the flag has the row read
// by its updated-at like any other change.
//
// # The race that is left
//
// A row that changes after its stamps were read and before Coupa has carried out the mark is marked with a
// change that was not published, and is not read again while it has the flag. Stamps are read for few rows at
// a time and are good for a second, so it is about as long as that, and longer where requests wait
// for their turns behind polls. Coupa has no condition on a PUT that would close it. Rows whose changes must
// not be missed are no case for exported.mode.
//
// # Goroutines
//
// A turn runs on the goroutine of its chore and alone holds the marker's state. Up to four marks at a
// time are on goroutines that end with them. No lock is held.
//
// # Files
//
//	marker.go   turns: which rows, their stamps, marks, what was marked
//	trouble.go  what has failed, when it is tried again, and what is told of it
//	flag.go     the flag: the condition on it, and whether Coupa heeds it
//
// # Decisions
//
//   - The flag alone can't say what is left to be marked. A row that has none may be published or not, and
//     the ledger forgets rows that no walk can meet again: those of a backfill at once. A queue in the
//     position would be written with every commit, and a backfill fills it faster than 25 requests a second
//     empty it. Rows' states have one record a row, are listed from the file in order of id, a part at a
//     time, and are kept, restored and moved between workers already.
//   - Dead letters are not marked: nobody has the row. Neither are rows without updated-at, since nothing
//     tells whether they have changed.
//   - What was published before exported.mode became mark is marked with its next change. Switched back, what
//     is left stays in the states, and goes on when it is mark again.
//   - Whether a mark moves a row's updated-at is not documented. If it does, nothing follows: the row has the
//     flag then, and no walk with the condition reads it. A snapshot that is asked for shows it as it is.
//   - A row that Coupa does not take a mark of is left alone for an hour and holds up no other. Where none
//     succeeds, as with rights for reading alone, a few are tried now and then. Polls go on in either case.
package exported
