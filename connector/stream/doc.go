// Package stream reads Coupa, one stream (an object of one tenant) at a time, and hands what it finds to
// the stream's shard: steps 1 to 3 of package connector, with record for step 4. A [Poller] decides what
// to read and when. What it reads, it reads in walks; rules.go has what one kind of walk does otherwise
// than another, and a pass carries one out.
//
// It may read Coupa ([Source]) and the ledger, and hand over submissions. Of the shard it has an
// interface of six methods ([Shard]). It imports no Kafka client, and can touch neither the producer nor
// what applies a commit: a position changes by what a submission says, once it is committed. Records are
// package record's affair, to the last byte.
//
// # Goroutines and locks
//
//   - [Poller.Run], one per stream and ownership, makes one attempt after the other.
//   - It carries polls (Poller.follow) or readWhole through itself, each poll and walk on a goroutine that
//     ends with it ([chores.Apart]). Beside them there are [chores.List] until one fails: the backfill
//     with look-backs after it, searches, snapshots that are asked for, samples, and a look at the topics.
//     A chore that waits has no goroutine, so that a stream at rest has one, with a small stack.
//   - The goroutine that begins a walk carries it out (pass.run) and alone holds its state.
//   - pass.fetch, up to 4 per walk, reads one page each and sends what it read to pass.run.
//   - What requests ask for runs on goroutines of the shard's ([Poller.Move], [Poller.AskFor],
//     [Poller.SetSnapshot]), and changes the position by a submission like any other.
//
// Memory of what waits for its commit is bounded for all streams together
// ([shard.Memory]): a fetch acquires it before it hands a chunk over, and the
// answer gives it back. A chunk that is larger than the budget takes all of it.
//
// doubt.mu and owners.mu guard what fetches remember side by side, asking.mu the request that is worked
// on. None is held while Coupa or the shard is asked, or another is taken.
//
// # Files
//
//	poller.go     one stream: prepare, begin, fail, try again
//	rules.go      what one kind of walk does otherwise than another
//	follow.go     what publishes changes: polls, lines, repairs, moved lines, one after the other
//	backfill.go   what was there before, beside the polls
//	undated.go    rows without updated-at where others have one; rows whose updated-at can't be read
//	whole.go      rows without updated-at, read whole and compared by content
//	below.go      rows below those of another collection, read through these
//	lookback.go   what appeared behind the overlap
//	deletes.go    what is published of rows that package sweep finds deleted
//	snapshot.go   rows that somebody asks for, published as they are
//	pass.go       one walk being carried out: pages side by side, positions in order
//	fetch.go      one page: read, decided, encoded, handed over
//	shrink.go     pages that Coupa fails to send: smaller ones, and one bad row
//	walk.go       pure: the first position, the next window, splitting a range
//	dedupe.go     pure: a row against what was published, and what the ledger keeps of it
//	positions.go  positions: told, and moved by request
//	topics.go     what the position keeps of the topics, and what is found of them
//	source.go     Coupa as a poller sees it
//	tracing.go    the span of a page
//
// # Decisions: walks
//
//   - A walk goes by id in a fixed window, in ranges side by side. Order by updated-at has no tie-break
//     in Coupa and shifts under writes. One reader can't use the rate that is granted when an answer
//     takes 100 ms, so ranges are split, as many as the rate can feed, and only where enough rows seem to
//     be left, since the last page of a range runs into the next one. Nothing depends on the guess: the
//     last range stays open above.
//   - Only an empty answer to a request for 50 rows ends a range, or a row behind it. A page can be short
//     because rows are left out after the limit, or because joined lines count for it. A walk that is to
//     be complete goes on behind an empty page while there are higher ids: 50 ids hold at most 50 rows.
//   - A page that Coupa fails to send is asked for smaller. A row is called bad only when it fails alone,
//     and its id, the rows behind it and another object of the tenant are answered within a minute: an
//     incident must never make dead letters. What is passed over stands in the position until it is read.
//   - Rows without updated-at, where others have one, fit no condition. The backfill from earliest has none
//     and ends at the highest id asked for after the first position was committed; rows stamped later
//     than that position are the polls'. New ones take a search through all ids, at the pace of
//     look-backs, and a sixth as often in an object in which none is known. Their entries stand in the
//     ledger behind all times, so that they never expire.
//   - The checkpoint holds every range. A crash costs the pages under way and nothing else. A page is
//     handed over in chunks, and any row is a resting place, so huge rows do not add up to a huge page in
//     memory.
//   - A walk that publishes changes begins when the one before is committed. Then the ledger needs no
//     layer for what is published but not committed, and versions of an id can't overtake each other. It
//     costs the commit interval once per poll.
//   - The backfill runs beside the polls, and they share a border. The first position is committed before
//     anything is read; polls read from its mark on, the backfill what lies before, so the two never
//     compare versions of one stamp. What the backfill read before a poll published a later version, and
//     hands over after it, is taken out by the shard. The overlap before the border is read again at the
//     end, for rows that became visible behind the backfill. Lines and look-backs wait for its end.
//   - A page that breaks the contract is not believed at all, rows before the breach included: the walk
//     goes back to the page's start and the object stops.
//   - Polls read ahead of the mark: up to the end of the second that runs, by the earliest clock of the last
//     minutes. What lies between, up to settle.ms and a little more, is read again by the polls that follow,
//     and the ledger, which is loaded without an upper end, drops what is known of it. The end is there so
//     that a walk ends where rows keep coming, and so that what a server stamps whose clock runs ahead waits
//     for the others. Polls of streams whose lines have topics, or whose rows are read in parts, stay
//     behind the clock: a save in two steps would show as tombstones of lines and then the lines
//     again, and two versions of one stamp could be put together to one.
//   - A mark moves by a walk that has come to an empty page, after three intervals between polls: 3 to 10 s.
//     One in between may end with a short page, which saves a request; what such a page hides is read a few
//     seconds later.
//     A walk that is cut so leaves no trace in the position, so that nothing takes it for whole.
//   - A doorbell ([polls.Bell]) has the stream polled out of turn, by the poll that there is anyway: a forged
//     one makes it come sooner, and nothing else. Where polls read ahead of the mark it begins at once; a row
//     that Coupa shows a moment later, a second version of one stamp, and all rows where polls stay behind
//     the clock, are found by the one that follows when the second that ran is settled.
//   - The mark of an idle stream is kept in memory for up to a minute. A poll that found nothing moves
//     it, and nothing else; a thousand idle tenants would otherwise make a steady load of transactions
//     without records. After a crash the window is larger, the result the same.
//
// # Decisions: rows without the exported flag
//
//   - Poller.query has the condition exported=false, so that every walk has it that does not say otherwise.
//     Rows leave the set while it is read, through our marks or others'; walks go by id, so nothing shifts.
//   - Without it are: the reading of rows between which lines have moved, which were published; snapshots
//     that are asked for, since whoever asks names what he wants, and may give exported=false; the question
//     whether Coupa has any row at all; samples of custom fields; and whether it can be asked by lines.
//   - That a poll finds nothing of what was published in its overlap proves nothing then: it may have been
//     marked. Nothing is inferred from rows that a look-back does not find, with the condition or without.
//   - Lines of a row that has the flag are not looked for, and lines that get topics later are split off the
//     rows that have none: the others' lines come with their next change that is read.
//
// # Decisions: what was published
//
//   - A version is (id, updated-at, content), and any number of them is remembered per second. So nothing
//     goes out twice even where a change is undone within its second.
//   - Ahead of the mark, one version of a row goes out for each stamp; others of that stamp wait until it is
//     settled, which is when they went out before polls read ahead. If the second one went out too, and the
//     save were undone within the second, the first would be the last, and could not go out twice.
//   - A row that shows an older updated-at than it was published with is one of two things. An answer may
//     come from a server that lags behind: the version that it shows must not go out. Or it is how the row
//     is now: a server saved it whose clock is behind and which has answered none of our requests, or the
//     instance was restored. Only time tells. So if polls still show it when the mark has passed the newer
//     stamp by half the overlap, it goes out with the stamp that it has, is counted
//     (coupastream_rows_set_back_total) and told. Until then the mark does not speak for it. A row that was
//     set back by more than half the overlap is found by no poll.
//   - Only the overlap is loaded from the ledger, once per walk; see seen in dedupe.go.
//   - The position carries the ledger's floor. A longer overlap than the ledger remembers would publish
//     old rows again; windows don't begin below the floor.
//   - Look-backs list ids and stamps, and hand what the ledger does not know to the one who publishes
//     changes: it reads the rows whole and compares again. So a look-back of a week may take a day, at a
//     tenth of the rate, and races with nobody. It holds 20,000 ledger entries at a time.
//   - Where nothing was published with a stamp of the last hour, polls look back for that hour: they find as
//     little as with their overlap, and a row that is late at once. The look-back of an hour is left out.
//   - The overlap stretches to a quarter more than the latest row seen, up to ten times overlap.ms, for a
//     day. Lateness comes in spells (imports, month end), and every poll pays.
//   - An object is BLIND only if Coupa was asked for any row at all and gave none. An
//     instance that hides rows from the API client answers as one in which nothing changes.
//     So polls that find nothing are believed for ten minutes, and not at all where a row of
//     the overlap should have been found again; then one request asks for the highest id, and
//     the next ones, as long as there is one, ever later, up to an hour. The mark goes on,
//     since windows were read as Coupa showed them, but freshness stands: nothing is proven.
//
// # Decisions: lines
//
//   - Lines are asked for by their own stamps, of rows that are stamped before the window of the poll before
//     such a walk, which has read the others: order_lines[updated_at][gt_or_eq]=…. Where lines change with
//     their rows, the walk so finds nothing and takes one request. A row that the poll read just before its
//     line changed is in a later poll or walk: their windows meet. The mark of the lines is that of the
//     polls, so it does not move where the poll ended with a short page, which may hide such a row.
//     With a fixed poll.interval.ms each poll has such a walk; by auto, as many polls as lines change, see
//     package polls. What is proven ends at the earlier of the two marks.
//   - Whether a row was published with this content is told by the ledger, which keeps a row under its
//     own stamp, and once more under its newest line's where that is more than a minute later. A row
//     whose header is a year old is so known by its line of yesterday. Without the second entry it would
//     go out at each poll.
//   - A row that is found without a line of that time in it (it was removed, or the condition was
//     ignored) is dropped: nothing tells whether it was published like this.
//   - Whether an instance knows the condition is found out at the start: no line is stamped tomorrow.
//   - Rows between which a line has moved are read once more, and stand in the position until they were.
//     Pages are on their way side by side, and the one with the row that has lost the line may be the
//     older one and be committed last: its row would have the line back, and delete it when it is read
//     again, while nothing reads the other row. By the time of reading, pages that overlap can't be told
//     apart; a read that begins after the commit can. A move costs one more request.
//   - Switched on for a running stream, lines are read again by a walk beside the polls that publishes
//     nothing else. What the polls hand over of a row meanwhile takes out what that walk hands over of it
//     later, equal stamps included: both publish lines.
//
// # Decisions: rows below those of another collection
//
//   - The place in such a walk is the parent. Ranges, splitting and what resumes are of parents' ids, so
//     it is a walk like any other. Its page is one of parents' ids and all that is below them. What was
//     taken of a parent before a request for it failed is known to the fetch, and after a crash to the
//     ledger.
//   - The key of such a row is its own id, not the pair with its parent's: ids are those of a database's
//     table, and keys of all topics are alike. As Coupa does not say so, each walk remembers whose row an
//     id is. One that is met below a second parent is asked for below the first again: it has moved, or
//     the object stops.
//
// # Decisions: requests
//
//   - Positions are moved by the owner, in the transactions of the shard, so that what a request asks for
//     and what a poller does are in one order. The ledger goes with them: it says what was published, and
//     who moves a position back wants that once more.
//   - What goes out again after a move says that it was asked for. The position keeps up to which stamp rows
//     had been published (Again), and walks that begin before it, or read what lies before polls, mark
//     records of rows that are older. It is never taken back: once the mark has passed it, no walk begins
//     before it.
//   - A snapshot that is asked for is part of the position, with what is left of it. It resumes at the row,
//     pauses and ends in the stream's own transactions, and each row goes out once for each request. Its
//     window ends behind what polls have published, ahead of the mark too, and of that stretch it repeats
//     what the ledger knows, so that it overtakes no poll. What polls publish beside it takes out what it
//     has read before, as with a backfill. The ledger is not asked: publishing once more is what it is for.
//
// # Not obvious
//
//   - A fetch reports rows that it read even when the page fails later: each row was checked by itself.
package stream
