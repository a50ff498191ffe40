package stream

import (
	"time"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa"
)

// walkRules are what one kind of walk does otherwise than another: one value for each row of the table of
// walks in package connector's doc.go.
type walkRules struct {
	// changes: it publishes changes as they come, and begins when the walk before it is committed.
	// Else it reads what was there before, or is asked for, beside those that do.
	changes  bool
	priority coupa.Priority
	// clocked: its window ends by Coupa's clock, which may turn out to have run ahead.
	clocked bool
	// ahead: its window ends behind the second that runs, and the mark follows it settle.ms behind Coupa's
	// clock. Of a stamp that is not settled it publishes one version of a row, see [seen.decide].
	ahead bool
	// byLines: it asks for rows by their lines' stamps, and drops those that show no such line.
	byLines bool
	// repeats: what it reads was published before; a version that changes publish beside it takes out
	// one of the same stamp too.
	repeats bool
	// linesAlone: of the rows' lines it publishes what is new, and nothing of the rows; the ledger learns
	// nothing.
	linesAlone bool
	// requested: somebody asked for the rows. Lines go out with their row, changed or not.
	requested bool
	// unpublished: rows are noted in the ledger and not published.
	unpublished bool
	// estimates: it begins with a look at the highest id, to
	// say how long it takes and to split its range by.
	estimates bool
	// thorough: an empty page below the highest id there is does not end it, see [pass.stepOn].
	thorough bool
	// border: it asks for no window, and leaves rows stamped at or after its end to the polls.
	border bool
	// undated: it is for rows without updated-at, in an object that has one; others are the polls'.
	undated bool
	// prunes: its last page takes entries out of the ledger that no walk can meet again.
	prunes bool
}

var (
	pollRules    = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, prunes: true}
	aheadRules   = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, prunes: true, ahead: true}
	linesRules   = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, byLines: true}
	repairRules  = pollRules
	movedRules   = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, linesAlone: true}
	undatedRules = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, undated: true}
	notedRules   = walkRules{changes: true, priority: coupa.PriorityPoll, clocked: true, undated: true, unpublished: true}

	earliestRules = walkRules{priority: coupa.PriorityBackfill, estimates: true, thorough: true, border: true}
	backfillRules = walkRules{priority: coupa.PriorityBackfill, estimates: true, thorough: true}
	closingRules  = walkRules{priority: coupa.PriorityBackfill, thorough: true}
	splitRules    = walkRules{priority: coupa.PriorityBackfill, estimates: true, thorough: true, repeats: true, linesAlone: true}
	snapshotRules = walkRules{priority: coupa.PrioritySnapshot, estimates: true, thorough: true, repeats: true, requested: true}
	idsRules      = walkRules{priority: coupa.PrioritySnapshot, repeats: true, requested: true, border: true}

	wholeRules = walkRules{changes: true, priority: coupa.PriorityBackfill, clocked: true, thorough: true, prunes: true}
	// The first reading of all rows; latestRules, where the stream begins with what changes from now on.
	firstRules  = walkRules{priority: coupa.PriorityBackfill, clocked: true, estimates: true, thorough: true, prunes: true}
	latestRules = walkRules{priority: coupa.PriorityBackfill, clocked: true, estimates: true, thorough: true, prunes: true, unpublished: true}
)

// how is what becomes of the rows' records. Rows stamped before again go out because positions were moved.
func (r walkRules) how(again time.Time) record.How {
	op := record.OpSnapshot
	if r.changes {
		op = record.OpUpsert
	}
	return record.How{Op: op, LinesAlone: r.linesAlone, Requested: r.requested, Again: again}
}
