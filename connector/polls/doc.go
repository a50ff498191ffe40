// Package polls says how often objects are polled whose poll.interval.ms is auto. It asks nobody, and
// starts nothing: it is told what polls found and cost, and gives the time from one to the next.
//
//	plan.go       pure: polls a second from changes, requests and a budget
//	pace.go       pure: how often an object changes, learned from what polls find
//	timetable.go  when an object is polled, and with which walks
//	bell.go       polls out of turn, which somebody asks for
//	schedule.go   who shares a budget
//	stretch.go    pure: how far polls look back
//	sight.go      pure: when polls that find nothing are doubted
//
// [Schedule] has one lock, held while a plan is made. A [Timetable] belongs to the goroutine that polls, a
// [Bell] to everybody.
//
// # Decisions
//
//   - At f polls a second a change waits for up to 1/f, and the square of its wait is 1/3f² on average.
//     Over all objects, with λ changes a second and c requests a poll, that is Σ λᵢ/3fᵢ² for each second.
//     Under Σ cᵢfᵢ = budget it is least where a further request a second saves each object the same,
//     2λᵢ/3cᵢfᵢ³: at fᵢ ∝ ∛(λᵢ/cᵢ). An object that changes a thousand times as often is polled ten times as
//     often. The mean wait itself would be least by the square root. Where invoices change most, half of the
//     changes wait an eighth less then, and one in a hundred, of what changes seldom, a quarter more.
//   - Rows by their own stamps and rows by those of their lines are two walks, with a pace and a cost each,
//     and only the first is in every poll. Most changes of lines come with one of their row's; polls that
//     looked for both would spend half of the budget on the walk that finds little. Where lines alone change
//     more often than rows, both walks are in each poll and share what both deserve, which is the optimum
//     under the bound that no walk by lines goes without one over rows.
//   - The requests of a walk are counted, not reckoned: a row of the overlap costs a page and the empty
//     page behind it at each poll, and long lists of fields take several requests a page. One walk moves
//     what is held of it by little, so that an import does not.
//   - A change a second is all that counts, since nothing is polled more often than that. So an import of
//     10,000 rows in a second weighs as much as the seconds since the last poll.
//   - At most ten polls a change: a change waits for a twentieth of the time between two on average, and more
//     polls would find nothing. What an object costs above its rest is bounded by what it changes. With less
//     than one change in ten minutes it rests, at a minute.
//   - An object that is silent changes no more, whatever it did before. If it changed r times a second,
//     a silence of 5/r would come once in 150 times; so it is taken to change at most five times in the
//     silence so far, and rests after 50 minutes. Its pace is kept for the moment at which it changes
//     again: it is forgotten by half in four hours in which the object is in use, and in ten days of rest,
//     so that mornings and Mondays begin as the days before.
//   - A new object is taken to change every 200 s, which is polled every 20 s, and that weighs as much
//     as ten minutes of learning.
//   - A poll out of turn is an ordinary poll, at another time. It finds what a doorbell rang for where Coupa
//     shows that already, and so there is a second one when nothing can come any more of the second in which
//     it rang. However often it rings, a poll that begins after a ring has answered it.
//   - Turns go on as if nothing rang, since who rings may lie. What polls out of turn find counts as found by
//     the next one in its turn, over the time of all; what they cost is not learned. They have a budget of
//     their own, of the size of that of the polls, so that a storm of doorbells takes no more than that from
//     what else is read; walks by lines are left to the polls in their turn.
//   - What is learned stands in the stream's position, which is written with each commit anyway; it changes
//     there every ten minutes at most, in three digits. What is read from there counts an hour's learning.
package polls
