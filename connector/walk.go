package connector

import (
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
)

// markPersistence is how long the mark of an idle stream may live in memory alone. A poll that published nothing changes nothing but the mark;
// writing each of those to Kafka would cost a transaction per object and poll for no promise: after a crash the next poll starts from
// the older mark and drops what the ledger knows.
const markPersistence = time.Minute

// clockSlack is how far Coupa's clock may seem to go back before it is taken to have run ahead until then.
const clockSlack = 5 * time.Second

// nextWalk decides the window of the next poll: [mark − overlap, now − settle), in whole seconds as Coupa stamps rows, and nothing below the
// ledger's floor. now is a lower bound of Coupa's clock. It returns nil when no whole second has passed since the mark.
//
// A stream without a mark starts with a snapshot of everything from initial.from on. A mark in the future is one that a clock which ran ahead has left
// behind: rows that are stamped now would lie before it, so the window is laid behind the clock as it is, and the mark goes back.
func nextWalk(mark, floor, now time.Time, o config.Object) *checkpoint.Walk {
	to := now.Add(-o.Settle).Truncate(time.Second).UTC()
	if to.Before(mark.Add(-clockSlack)) {
		mark = to
	} else if !to.After(mark) {
		return nil
	}
	w := &checkpoint.Walk{To: to, Ranges: []checkpoint.Range{{}}}
	switch {
	case !mark.IsZero():
		w.From = later(mark.Add(-o.Overlap).Truncate(time.Second), floor)
	case o.InitialFrom.At.IsZero():
		w.Snapshot = true
	default:
		w.Snapshot, w.From = true, o.InitialFrom.At.Truncate(time.Second).UTC()
	}
	if !w.From.Before(to) {
		return nil
	}
	return w
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// retention is how far behind the mark the ledger remembers: the look-back, and never less than what the next poll can read again
// after a crash that lost an unpersisted mark.
func retention(o config.Object) time.Duration {
	return max(o.Lookback, o.Overlap+10*markPersistence)
}

// span is one range of ids of a walk while it is being walked.
type span struct {
	checkpoint.Range
	busy bool // a request for its next page is under way
}

// minSplitRows is the least number of rows that is worth a range of its own: each range ends in a page that is not full.
const minSplitRows = 400

// split cuts what is left of r in two equal spans of ids, if there seem to be enough rows in it. maxID bounds a range without an upper end;
// density is rows per id as seen so far in this walk. The upper part keeps r's end, so ids above maxID stay covered.
func split(r checkpoint.Range, maxID int64, density float64) (lower, upper checkpoint.Range, ok bool) {
	end := r.Through
	if end == 0 {
		end = maxID
	}
	if float64(end-r.After)*density < minSplitRows {
		return r, checkpoint.Range{}, false
	}
	mid := r.After + (end-r.After)/2
	return checkpoint.Range{After: r.After, Through: mid}, checkpoint.Range{After: mid, Through: r.Through}, true
}
