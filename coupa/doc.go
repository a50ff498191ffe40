// Package coupa reads a Coupa instance over its Core REST API:
// one page at a time, row by row, at a pace that Coupa allows.
//
// A [Client] holds the token, the pace and the clock of one instance. [Client.Fetch]
// gets one page of a walk and hands its rows to the caller while they arrive; what
// to ask next, what to keep and what to publish is the caller's business.
//
// # What Coupa promises, and how a walk uses it
//
//   - A page holds at most 50 rows (API "Pagination"), whatever
//     limit is asked for. There is no total, cursor or next link.
//   - Any attribute can be filtered with [gt], [gt_or_eq], [lt], [lt_or_eq] and more, all
//     conditions ANDed ("Querying Options"); id[lt_or_eq] is documented for REST ("GraphQL
//     in Coupa"). So a walk goes by id inside a fixed window of updated-at, and needs no
//     offset: a row that changes meanwhile leaves the window and is found by the next one.
//   - Conditions reach into associations, as in order_lines[updated_at][gt_or_eq]. A header's updated-at
//     stays where it is when one of its lines changes (order 2400 in API "Purchase Orders"), so a walk can
//     ask for the lines' stamps instead: [Query].Lines. Every row tells the newest of them: [Row].LinesAt.
//   - Instants are whole seconds with the offset of the company's zone, which differs
//     across daylight saving time within one payload. They are compared as instants,
//     never as text, and sent as UTC with Z, where there is no + to get lost.
//   - A token lives for 24 h, is to be renewed every 20 h, and may be refused
//     during the first 5 s ("OAuth 2.0 Getting Started", "Design Considerations").
//   - 25 requests a second are allowed, and a queue of 20 ("Rate Limits").
//     Beyond it: 429. A [Limiter] stays below and gives its turns by [Priority].
//     Whether the queue waits, and what others use of it, is not documented: [NewAutoLimiter]
//     finds what is left. Why it does so as it does, and not as others do, stands at seeker.
//
// # What it does not promise, and what is done about it
//
//   - Nothing says what happens with an unknown or ignored filter, how equal values are ordered, or
//     which administrator's default changes the answer. So every page is checked before its rows are
//     handed out: JSON, an array, ids ascending and inside the range or list asked for, updated-at
//     inside the window, not more than 50 rows, a Date that shows the window to be closed. A
//     violation is an [Error] of kind [Broken] that says what Coupa did. An updated-at that is
//     no instant is the row's own trouble: [Row.StampErr].
//   - Nothing says whether a condition on an association gives the row once, or once
//     for each member that fits, as a join does. Both are taken; see [Client.Fetch].
//   - Nothing says that a page which is not full is the last: see [Page].Empty.
//   - Nothing says how long a request line may be. It has [MaxLine] bytes at most, or
//     fewer where a refusal has shown that; what does not fit is asked for in further
//     requests, see [Client.Requests]. Asking without fields instead would show less:
//     associations of associations then come with their identifying members alone.
//   - The bodies of 401, 403 and 429 are not documented, and
//     Retry-After may or may not be there: only the status decides.
//   - Maintenance shows as 5xx, as an HTML page with 200, or as a redirect elsewhere: all are tried
//     again, and so is what a gateway or a firewall answers in Coupa's place, whatever its status.
//   - Nothing bounds a row or the time that it takes: [Config].RowBytes and [LargeRows] bound the
//     memory, a body that hardly moves is given up, and [Client.Underway] tells what is waited for.
//   - Nothing says how long a request line may be: see [Client.MaxLine] and [Client.Fits].
//
// # Errors
//
// Every failure is an [*Error] whose [Kind] names the remedy, but for the end of the caller's context and
// for an error of the caller's own yield. Secrets, query strings and payloads are never part of an error.
//
// # Decisions
//
//   - Polls go first, and nobody starves. A turn of the limiter goes to polls before snapshots, backfills
//     and look-backs, but who was passed over twenty times is next.
//   - The clock of a window is the earliest of the last five minutes' answers, as an instance has several
//     servers. Where a window has ended in the future all the same, the next one goes back.
//   - The content digest is made from the JSON as Coupa sent it, whatever the order of keys, not from the
//     Avro bytes: a new schema version would change those, and every row of the overlap would go out
//     again.
//   - A collection below single rows is walked only where nothing else holds its rows. Of Coupa's 55,
//     nearly all hold what the row or another collection shows (catalogue.yaml says which). For legal
//     documents of contracts, form responses of users and of supplier information, and translations of
//     units there is no other way than to ask each row: its updated-at does not move with them, and no
//     documented condition finds the rows that have new ones. At the rate that Coupa grants, 20,000 users
//     are more than twenty minutes of every round for a few answers that are not empty. So these are
//     objects to be asked for by name, and their requests wait behind those of polls. Instances of custom
//     objects can't even be walked, since nothing lists their definitions.
//
// # Not obvious
//
//   - The Date header is cut to the second and set before the answer travels, so Date plus the time since
//     is a lower bound of Coupa's clock: what lies settle.ms before it is closed. A response whose Date lies
//     before that is refused: before the window's end, or where polls read ahead, before the mark to be.
//   - The length of a page tells nothing of an end: Coupa's cap is 50, but an instance may cap lower, leave
//     rows out after the limit, or count joined lines for it.
package coupa
