package stream

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// maxRequests is the most requests that one walk has under way.
const maxRequests = 4

// pass is one walk being carried out. Its own goroutine (run) holds the
// state; fetches run beside it, one page each, and send it what they read.
//
// Ranges of ids are read side by side because one request after the other can't use
// the rate that Coupa grants: at 100 ms a page, one reader makes 10 requests a
// second. Ranges are disjoint, so a row is read once and its versions stay in order.
type pass struct {
	p     *Poller
	rules walkRules
	seen  seen
	ask   coupa.Query // but for the range of ids
	// of the stream when the walk began: a row stamped before it that is fresh has become visible late
	mark    time.Time
	horizon int64     // rows stamped before it are never read again: the ledger need not know them
	stamp   time.Time // of all rows, where they have none of their own; else zero
	// place is where the walk stands in a position; nil: it
	// leaves no trace there, and begins anew after a crash.
	place func(*checkpoint.Position) **checkpoint.Walk
	// finish changes the position when everything that the walk found is published.
	finish    func(*checkpoint.Position)
	again     time.Time               // rows stamped before it go out again, as positions were moved
	passed    map[int64]bool          // rows that Coupa failed to send before, as the walk begins
	finishes  bool                    // finish is written also where the walk found nothing
	short     bool                    // a short page may end it, see cut
	progress  func(rows, total int64) // hears how far it is; nil: nobody asks
	persisted *time.Time              // when the position last went to Kafka

	// Owned by run.
	walk        checkpoint.Walk // Ranges is derived from spans; fetches read Kind, From and To, which stay
	spans       []*span
	busy        int
	maxID       int64 // 0: not known
	covered     int64 // ids walked over, for the density of rows
	rows        int64
	published   int // rows
	pages       int
	newest      time.Time     // of the stamps of the rows, their lines' included
	latest      time.Duration // how far behind the mark a row was that became visible late, at most
	latency     time.Duration
	cut         bool // it ended with a short page: nothing shows that there are no more rows
	pending     []*shard.Submission
	outstanding int // accepted by the shard and not answered
	reading     bool
	err         error // why nothing more is read; what was read until then still goes out
	broken      bool  // nothing more goes out either: a submission failed, or the shard is being released

	dead   atomic.Bool
	events chan event
	acks   chan error
}

// event is what a fetch tells run.
type event struct {
	span    *span
	chunk   *record.Chunk
	after   int64 // rows of the span up to this id are in chunk or in an earlier one
	page    coupa.Page
	pageEnd bool // the fetch is over
	short   bool // fewer rows came than a page may have
	rewound bool // after lies before what was handed over already: that was not to be trusted
	maxID   int64
	err     error
}

// carryOut reads every range of a walk. It returns when all
// is drained and everything that it found is committed.
func (ps *pass) carryOut(ctx context.Context) error {
	ps.events, ps.acks = make(chan event, 2*maxRequests), make(chan error, 1)
	for _, r := range ps.walk.Ranges {
		ps.spans = append(ps.spans, &span{Range: r})
	}
	if ps.rules.estimates && ps.maxID == 0 {
		// For the estimate of how long it takes, and to split ranges by. Both can do without.
		ps.maxID, _ = ps.p.source.MaxID(ctx, ps.ask)
	}
	pos := ps.p.shard.Position(ps.p.stream)
	// what was there before is read once, and once more after a move; lines alone go out for the first time
	if !ps.rules.changes && !ps.rules.linesAlone {
		ps.again = pos.Again
	}
	ps.passed = map[int64]bool{}
	for _, id := range pos.Passed {
		ps.passed[id] = true
	}
	ps.p.shard.StartReading()
	ps.reading = true
	return ps.run(ctx)
}

// run is the pass's loop. It ends when nothing is left to read, to submit
// or to be answered; after an error, when nothing is under way any more.
func (ps *pass) run(ctx context.Context) error {
	fetchCtx, stop := context.WithCancel(ctx)
	defer stop()
	var fetches sync.WaitGroup
	defer fetches.Wait()
	done := ctx.Done()
	for {
		if ps.err == nil {
			ps.dispatch(fetchCtx, &fetches)
		} else {
			stop()
		}
		if ps.broken {
			ps.drop()
		}
		if ps.busy == 0 && len(ps.pending) == 0 {
			ps.doneReading()
			if ps.outstanding == 0 {
				return ps.err
			}
		}
		var in chan<- *shard.Submission
		var head *shard.Submission
		if len(ps.pending) > 0 {
			in, head = ps.p.shard.Submissions(), ps.pending[0]
		}
		select {
		case in <- head:
			ps.pending = slices.Delete(ps.pending, 0, 1) // and so let go of it
			ps.outstanding++
		case ev := <-ps.events:
			ps.handle(ev)
		case err := <-ps.acks:
			ps.outstanding--
			if err != nil {
				ps.broken = true
				ps.fail(err)
			}
		case <-done:
			done = nil
			ps.broken = true
			ps.fail(ctx.Err())
		}
	}
}

// fail keeps the first error. Those after it are its consequences.
func (ps *pass) fail(err error) {
	if ps.err == nil {
		ps.err = err
	}
}

func (ps *pass) doneReading() {
	if ps.reading {
		ps.reading = false
		ps.p.shard.StopReading()
	}
}

// drop gives back what was not submitted yet.
func (ps *pass) drop() {
	for _, sub := range ps.pending {
		ps.p.memory.Release(sub.Bytes)
	}
	ps.pending = nil
}

// dispatch starts the next page of each idle span, splitting a
// span where more requests can be used than there are spans.
func (ps *pass) dispatch(ctx context.Context, fetches *sync.WaitGroup) {
	for i := 0; i < len(ps.spans) && ps.busy < maxRequests; i++ {
		sp := ps.spans[i]
		if sp.busy {
			continue
		}
		more := len(ps.spans) < ps.wanted() && ps.rows >= 2*pageRows
		if more {
			ps.trySplit(sp)
		}
		sp.busy = true
		ps.busy++
		r, unknown := sp.Range, ps.maxID == 0
		askMax := unknown && more && sp.Through == 0
		fetches.Go(func() { ps.fetch(ctx, sp, r, askMax, unknown && ps.rules.thorough) })
	}
}

// wanted is how many requests must be under way to use the rate
// that is granted, by the time that Coupa takes to answer.
func (ps *pass) wanted() int {
	if ps.p.rate == 0 {
		return maxRequests
	}
	return min(maxRequests, max(1, int(math.Ceil(1.2*ps.p.rate*ps.latency.Seconds()))))
}

// trySplit cuts a span in as many as can be read beside those that there are.
func (ps *pass) trySplit(sp *span) {
	if sp.Through == 0 && ps.maxID == 0 {
		return
	}
	parts := split(sp.Range, ps.wanted()-len(ps.spans)+1, ps.maxID, float64(ps.rows)/float64(max(1, ps.covered)))
	sp.Range = parts[0]
	for _, part := range parts[1:] {
		ps.spans = append(ps.spans, &span{Range: part})
	}
}

// handle takes in what a fetch read.
func (ps *pass) handle(ev event) {
	sp := ev.span
	if ps.broken {
		ps.p.memory.Release(ev.chunk.Bytes)
	} else {
		ps.covered += ev.after - sp.After
		ps.rows += int64(ev.chunk.Rows)
		ps.walk.Rows += int64(ev.chunk.Rows)
		ps.published += len(ev.chunk.Published)
		sp.After = ev.after
		if ev.maxID > 0 {
			ps.maxID = ev.maxID
		}
	}
	if ev.pageEnd {
		sp.busy = false
		ps.busy--
		ps.pages++
		if ev.page.Latency > 0 {
			ps.latency = ev.page.Latency
		}
		if ev.err == nil {
			ps.p.task.Page(ev.page, ps.rules.changes)
		}
		if ev.err == nil {
			if ev.page.Empty {
				sp.empty++
			} else {
				sp.empty = 0
			}
		}
		ended := ev.err == nil && ev.page.Empty && !ps.stepOn(sp) || ps.isThrough(sp)
		// Only what is left last may be cut: what others have read is in no position any more then.
		ps.cut = !ended && ev.err == nil && ev.short && ps.short && len(ps.spans) == 1
		if ended || ps.cut {
			ps.spans = slices.DeleteFunc(ps.spans, func(s *span) bool { return s == sp })
		}
	}
	if !ps.broken {
		ps.submit(ev.chunk, ev.rewound)
	}
	ps.fail(ev.err)
	ps.newest = clock.Later(ps.newest, ev.chunk.Newest)
	for _, by := range ev.chunk.Late {
		ps.latest = max(ps.latest, by)
	}
	ps.p.task.Update(func(s *status.TaskStatus) {
		s.Rows += int64(ev.chunk.Rows)
		s.Dropped += int64(ev.chunk.Dropped)
	})
	if ps.progress != nil {
		ps.progress(ps.walk.Rows, status.Estimate(ps.walk.Rows, ps.left(), ps.maxID))
	}
}

// stepOn moves a span on behind ids of which Coupa shows nothing although there are higher ones: it
// may apply the limit first, and leave out what the API client may not see then. False: nothing is left.
func (ps *pass) stepOn(sp *span) bool {
	end := ps.maxID
	if sp.Through > 0 {
		end = min(end, sp.Through)
	}
	if !ps.rules.thorough || len(ps.ask.IDs) > 0 || sp.After >= end {
		return false
	}
	step := listing.Step(sp.empty)
	if step > pageRows {
		ps.p.steppedOver(sp.After+pageRows, min(sp.After+step, end))
	}
	sp.After += step
	return sp.After < end
}

// asked is how many requests the walk took. A page with
// rows may take several, and the last one has none.
func (ps *pass) asked() int {
	if ps.rows == 0 {
		return ps.pages
	}
	return ps.pages + (ps.pages-1)*(ps.p.source.Requests(ps.ask)-1)
}

// isThrough tells whether the last id that a span asks for was reached.
func (ps *pass) isThrough(sp *span) bool {
	if len(ps.ask.IDs) > 0 {
		return sp.After >= slices.Max(ps.ask.IDs)
	}
	return sp.Through > 0 && sp.After >= sp.Through
}

// over is what must be over by Coupa's clock: the window, or where
// the walk reads ahead of the mark that it sets, all before that.
func (ps *pass) over() time.Time {
	if ps.ask.Over.IsZero() {
		return ps.walk.To
	}
	return ps.ask.Over
}

// left is what is still to be read.
func (ps *pass) left() []checkpoint.Range {
	ranges := make([]checkpoint.Range, len(ps.spans))
	for i, sp := range ps.spans {
		ranges[i] = sp.Range
	}
	return ranges
}

// submit queues a chunk with what changes of the position once it is committed. A chunk without
// records and entries changes only the position, which may stay in memory unless it is a while ago
// that one was written, or the committed position is in the middle of this walk, or must is set.
func (ps *pass) submit(c *record.Chunk, must bool) {
	p := ps.p
	finished := len(ps.spans) == 0
	if len(c.Records) == 0 && len(c.Lines) == 0 && len(c.Entries) == 0 && len(c.Passed) == 0 && len(c.Read) == 0 && !must {
		due := time.Since(*ps.persisted) >= markPersistence
		midWalk := len(ps.pending) > 0 || ps.outstanding > 0 || ps.isRecorded()
		if !due && !(finished && (midWalk || ps.finishes)) {
			return
		}
	}
	*ps.persisted = time.Now()
	sub := &shard.Submission{
		Stream: p.stream, Task: p.task, Records: c.Records, Rows: c.Published, Lines: c.Lines, Entries: c.Entries, Unmarked: c.Unmarked, Bytes: c.Bytes, Tally: c.Tally,
		Backfill: !ps.rules.changes, Repeats: ps.rules.repeats, Move: ps.move(finished, c.Passed, c.Read), Keep: retention(p.object), Dead: &ps.dead,
	}
	sub.Done = func(err error) {
		p.memory.Release(sub.Bytes)
		ps.acks <- err
	}
	if finished && ps.rules.prunes {
		sub.Expired = p.expired(ps.horizon)
	}
	ps.pending = append(ps.pending, sub)
}

// isRecorded tells whether the committed position is in the middle of a walk at this one's place.
func (ps *pass) isRecorded() bool {
	if ps.place == nil {
		return false
	}
	pos := ps.p.shard.Position(ps.p.stream)
	return *ps.place(&pos) != nil
}

// move is what becomes of the position once all that was handed over is committed.
func (ps *pass) move(finished bool, passed, read []int64) func(*checkpoint.Position) {
	floor := time.Unix(ps.horizon, 0).UTC()
	var at *checkpoint.Walk
	if !finished {
		w := ps.walk
		w.Ranges = ps.left()
		at = &w
	}
	return func(pos *checkpoint.Position) {
		pos.Floor = clock.Later(pos.Floor, floor)
		pos.Passed = passedOver(pos.Passed, passed, read)
		if ps.place != nil {
			*ps.place(pos) = at
		}
		if finished {
			ps.finish(pos)
		}
	}
}

// maxPassed bounds how many rows a position holds that Coupa failed to send.
const maxPassed = 10_000

// passedOver are the rows that Coupa failed to send: those
// before and those that are new, but for those read.
func passedOver(before, more, read []int64) []int64 {
	if len(more) == 0 && len(read) == 0 {
		return before
	}
	all := slices.Concat(before, more)
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(id int64) bool { return slices.Contains(read, id) })
	return all[max(0, len(all)-maxPassed):]
}

// expired lists ledger records that lie behind the horizon, some at a
// time; they are tombstoned in the transaction of the walk's last page.
func (p *Poller) expired(horizon int64) []checkpoint.ChunkKey {
	const atOnce = 200
	keys, err := p.shard.Ledger().ExpiredChunks(p.stream, horizon-int64(linesSlack/time.Second), atOnce)
	if err != nil {
		p.log.Warn("the ledger could not be pruned", "error", err)
	}
	return keys
}

// steppedOver says, once in a while, that of ids between two nothing was asked for.
func (p *Poller) steppedOver(after, through int64) {
	p.gaps.Do(func() {
		p.log.Warn("Coupa shows nothing of thousands of ids although there are higher ones; they are passed over in steps that grow, and what is hidden between rows there may be missed",
			"after_id", after, "through_id", through)
	})
}
