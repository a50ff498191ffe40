package stream

import (
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/polls"
)

// markPersistence is how long the mark of an idle stream may live in memory alone.
// A poll that published nothing changes nothing but the mark; writing each of those
// to Kafka would cost a transaction per object and poll for no promise: after a
// crash the next poll starts from the older mark and drops what the ledger knows.
const markPersistence = time.Minute

// clockSlack is how far Coupa's clock may seem to go back before it is taken to have run ahead until then.
const clockSlack = 5 * time.Second

// windowEnd is where a walk that begins now ends, and where the mark goes by a poll: in whole
// seconds as Coupa stamps rows, settle behind now, a lower bound of Coupa's clock.
func windowEnd(now time.Time, o *config.Object) time.Time {
	return now.Add(-o.Settle).Truncate(time.Second).UTC()
}

// running is how far behind a lower bound of Coupa's clock, cut to the second, the second ends that runs by
// it: Date is cut to the second, so that the bound is up to one less.
const running = 2 * time.Second

// reach is how far behind [windowEnd] a poll ends that reads ahead of the mark: with the
// second that runs. One with an end has to be, or a walk would not end where rows keep coming.
func reach(o *config.Object) time.Duration {
	return running + (o.Settle + time.Second - 1).Truncate(time.Second)
}

// markInterval is how often a walk that finds rows moves its mark, at most: for that it has to read up to an
// empty page, which is a request more. interval is the time between two polls.
func markInterval(interval time.Duration) time.Duration {
	return min(10*time.Second, max(3*time.Second, 3*interval))
}

// lead is how far a poll looks back beyond its overlap where Coupa's clock is ahead of this machine's.
// If it is Coupa's that is wrong, windows end that far in the future; further ahead, they end by this
// machine's clock.
func lead(ahead time.Duration) time.Duration {
	if ahead > time.Minute {
		return 0
	}
	return max(0, ahead)
}

// firstPosition is where a stream without one begins: the polls at to, and
// beside them the backfill of everything from initial.from up to there.
func firstPosition(to time.Time, o *config.Object) checkpoint.Position {
	if o.IsWhole() {
		return checkpoint.Position{} // the first walk gives it a mark
	}
	pos := checkpoint.Position{Mark: to, Lines: to, Floor: to.Add(-retention(o))}
	for range LookBackDepths(o) {
		pos.Looked = append(pos.Looked, to) // what is read first needs no second look
	}
	from := o.InitialFrom.At.Truncate(time.Second).UTC()
	switch {
	case o.InitialFrom.Latest:
		pos.Floor = to
		return pos
	case o.InitialFrom.At.IsZero():
		from = time.Time{}
	default:
		pos.Floor = clock.Later(pos.Floor, from)
	}
	if from.Before(to) {
		pos.Backfill = &checkpoint.Walk{Kind: checkpoint.Snapshot, From: from, To: to, Ranges: everything()}
	}
	return pos
}

// everything is the one range that holds all ids.
func everything() []checkpoint.Range { return []checkpoint.Range{{}} }

// isUnbegun tells whether the stream has still to get its first position: it is new, or it was reset.
func isUnbegun(pos checkpoint.Position, o *config.Object) bool {
	if o.IsWhole() {
		return pos.Seq == 0
	}
	return pos.Mark.IsZero()
}

// lookbackShare is how much of its own depth passes between two look-backs
// of one depth: an hour's every ten minutes, a week's every 28 hours.
const lookbackShare = 6

// LookBackDepths are how far the look-backs of an object go behind
// its mark, shortest first, the longest as far as lookback.ms says.
func LookBackDepths(o *config.Object) []time.Duration {
	if o.KeepsAll() && o.Lookback > 0 {
		return []time.Duration{forever}
	}
	var depths []time.Duration
	for _, d := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		if d > o.Overlap && d < o.Lookback {
			depths = append(depths, d)
		}
	}
	if o.Lookback > o.Overlap {
		depths = append(depths, o.Lookback)
	}
	return depths
}

// LookBackEvery is how long it takes from one look-back of a depth to the next.
func LookBackEvery(o *config.Object, depth time.Duration) time.Duration {
	if o.KeepsAll() {
		return o.Reread
	}
	return depth / lookbackShare
}

// nextPoll decides the window of the next poll: [mark − overlap, to + ahead), and nothing below floor; to is
// where the mark goes. It returns nil when the window would end at the mark: no whole second has passed.
//
// A mark in the future is one that a clock which ran ahead has left behind: rows that are stamped
// now would lie before it, so the window is laid behind the clock as it is, and the mark goes back.
func nextPoll(mark, floor, to time.Time, ahead, overlap time.Duration) *checkpoint.Walk {
	if ranAhead(mark, to) {
		mark = to
	} else if !to.Add(ahead).After(mark) {
		return nil
	}
	w := &checkpoint.Walk{Kind: checkpoint.Poll, From: clock.Later(mark.Add(-overlap).Truncate(time.Second), floor), To: to.Add(ahead), Ranges: everything()}
	if !w.From.Before(w.To) {
		return nil
	}
	return w
}

// ranAhead tells whether a mark is that of a clock which ran
// ahead: by the clock as it is, it would be at to.
func ranAhead(mark, to time.Time) bool { return to.Before(mark.Add(-clockSlack)) }

// nextLines decides the walk by lines' stamps that follows a poll: lines stamped since the last such
// walk, less the overlap. A mark in the future goes back as that of the polls does.
func nextLines(lines, floor, to time.Time, overlap time.Duration) *checkpoint.Walk {
	if ranAhead(lines, to) {
		lines = to
	} else if !to.After(lines) {
		return nil
	}
	from := clock.Later(lines.Add(-overlap).Truncate(time.Second), floor)
	if !from.Before(to) {
		return nil
	}
	return &checkpoint.Walk{Kind: checkpoint.Lines, From: from, To: to, Ranges: everything()}
}

// closing is the walk that ends a backfill: the overlap before its end once
// more, for rows that became visible after it had passed their ids. Polls do
// not read there while the backfill runs. Nil when there is nothing to read.
func closing(backfill checkpoint.Walk, floor time.Time, overlap time.Duration) *checkpoint.Walk {
	from := clock.Later(clock.Later(backfill.To.Add(-overlap), backfill.From), floor)
	if !from.Before(backfill.To) {
		return nil
	}
	return &checkpoint.Walk{Kind: checkpoint.Closing, From: from, To: backfill.To, Ranges: everything()}
}

// forever is the retention of ledgers that nothing is dropped from.
const forever = 200 * 365 * 24 * time.Hour

// retention is how far behind the mark the ledger remembers: the look-back, and never less than what the
// next poll can read again after a crash that lost an unpersisted mark, with an overlap that was stretched.
func retention(o *config.Object) time.Duration {
	if o.KeepsAll() {
		return forever
	}
	return max(o.Lookback, o.Overlap+10*markPersistence)
}

// horizon is the stamp from which on the ledger has to know what a walk publishes, because later walks may
// read it again: retention behind the newest row known, which a clock that runs ahead does not move, and
// never less than the next walk by lines goes back; lines is its committed mark, zero where there is none.
func horizon(newest, lines time.Time, o *config.Object) time.Time {
	h := newest.Add(-retention(o))
	if reach := lines.Add(-max(o.Overlap, min(polls.MostStretch*o.Overlap, o.Lookback))); !lines.IsZero() && reach.Before(h) {
		return reach
	}
	return h
}

// pageRows is how many rows a page of Coupa holds at most.
const pageRows = listing.PageRows

// span is one range of ids of a walk while it is being walked.
type span struct {
	checkpoint.Range
	busy  bool // a request for its next page is under way
	empty int  // pages in a row that were empty
}

// minSplitRows is the least number of rows that is worth a range of its own.
// Each range costs about a request more: its last page runs into the next range.
const minSplitRows = 400

// split cuts what is left of r in up to n equal ranges of ids, as many as seem to have enough rows. maxID
// bounds a range without an upper end; density is rows per id as seen so far in this walk. The
// last one keeps r's end, so ids above maxID stay covered.
func split(r checkpoint.Range, n int, maxID int64, density float64) []checkpoint.Range {
	end := r.Through
	if end == 0 {
		end = maxID
	}
	n = min(n, int(float64(end-r.After)*density/minSplitRows*2))
	if n < 2 {
		return []checkpoint.Range{r}
	}
	parts := make([]checkpoint.Range, n)
	step := (end - r.After) / int64(n)
	for i := range parts {
		parts[i] = checkpoint.Range{After: r.After + int64(i)*step, Through: r.After + int64(i+1)*step}
	}
	parts[n-1].Through = r.Through
	return parts
}
