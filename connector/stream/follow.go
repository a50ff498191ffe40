package stream

import (
	"context"
	"slices"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/polls"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// follower polls one stream: everything that publishes changes, one after the other, so that what
// one walk compares with is what the walk before has committed. Owned by the goroutine of Poller.follow.
type follower struct {
	*Poller
	times      *polls.Timetable
	collection string    // of lines, as Coupa's filters spell it; "": the object has none
	mark       time.Time // as drained; the position in Kafka may be a little behind, see markPersistence
	lines      time.Time // the same of lines' stamps
	polled     time.Time // where the window of the last poll began: walks by lines are over rows before that
	read       time.Time // where it ended, ahead of the mark
	marked     time.Time // when a poll last moved the mark
	linesRead  time.Time // where the window of the last walk by lines ended
	lined      time.Time // when such a walk last moved the mark of the lines
	persisted  time.Time // when the position last went to Kafka
	probe      time.Time // when to ask again whether Coupa can be asked by lines; zero: it can
	// the newest stamp of a row known; at the start, that which the ledger's floor follows from
	newest  time.Time
	stretch polls.Stretch
	sight   polls.Sight
	reread  time.Time // when rows that Coupa failed to send were last asked for
	missing bool      // of the last walk over changes: it read no row where some were published before
	rows    int64     // that it read
	idle    bool      // the last poll read no row

	interval time.Duration // between two polls, at present; 0: before the first
}

func newFollower(p *Poller) *follower {
	pos := p.shard.Position(p.stream)
	p.looksBack.Store(false)
	return &follower{Poller: p, times: p.timetable(), newest: pos.Floor.Add(retention(p.object)), mark: pos.Mark, lines: pos.Lines, persisted: time.Now()}
}

// turn is something that publishes changes, or must not run beside what does: it is done
// between two polls. The follower is nil where rows are read whole.
type turn func(context.Context, *follower) error

// take hands a turn over: it will be done, or ctx has ended.
func take(ctx context.Context, turns chan<- turn, t turn) error {
	select {
	case turns <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// follow polls until ctx ends or something fails, and between polls lets others have their turns.
func (p *Poller) follow(ctx context.Context, turns <-chan turn) error {
	var f *follower
	err := chores.Apart(func() error {
		f = newFollower(p)
		return f.resume(ctx)
	})
	defer f.times.Leave()
	if err == nil {
		err = p.turns.Poll(ctx, func() error { return f.poll(ctx) })
	}
	for err == nil {
		var wait time.Duration
		f.interval, wait = f.times.Wait(time.Now())
		f.task.Paced(f.interval)
		work, due := f.poll, time.NewTimer(wait)
		select {
		case <-due.C:
		case do := <-turns:
			work = func(ctx context.Context) error { return do(ctx, f) }
		case <-p.bell.Rung():
			work = f.hear
		case <-ctx.Done():
			work = func(ctx context.Context) error { return ctx.Err() }
		}
		due.Stop()
		err = p.turns.Poll(ctx, func() error { return work(ctx) })
	}
	return err
}

// hear takes in that a doorbell rang. Where polls read ahead of the mark, one out of turn may find what it
// rang for at once; there as elsewhere, one finds it that begins when the second is over and settled.
func (f *follower) hear(context.Context) error {
	f.times.Ring(time.Now(), reach(f.object), f.readsAhead())
	return nil
}

// resume carries out what is left of a walk that was under way.
func (f *follower) resume(ctx context.Context) error {
	if err := f.probeLines(ctx); err != nil {
		return err
	}
	unfinished := f.shard.Position(f.stream).Walk
	if unfinished == nil || unfinished.Kind != checkpoint.Poll && f.collection == "" {
		return nil
	}
	rules, to := linesRules, unfinished.To
	if f.polled = f.mark; f.mark.Before(to) {
		to = f.mark
	}
	if unfinished.Kind == checkpoint.Poll {
		// It may not have been one that reads ahead: then it is for the next poll to move the mark.
		rules, to = aheadRules, clock.Later(f.mark, unfinished.To.Add(-reach(f.object)))
	}
	if f.isAhead(ctx, to) {
		return nil
	}
	return f.walk(ctx, *unfinished, rules, to)
}

// linesProbes is how often Coupa must ignore the condition on lines in turn
// before it is taken not to know it, and linesAgain when it is asked again.
const (
	linesProbes = 3
	linesAgain  = time.Hour
)

// probeLines finds out whether this instance can be asked for rows by their lines'
// stamps: nothing is stamped tomorrow. While one refuses the question, or ignores
// the condition, changes of lines alone are published with their row's next change.
func (f *follower) probeLines(ctx context.Context) error {
	resource, _ := coupa.LookupResource(f.stream.Object)
	f.collection, f.probe = resource.Lines, time.Time{}
	if f.collection == "" {
		return nil
	}
	now, err := f.source.Now(ctx)
	if err != nil {
		return err
	}
	q := f.query(coupa.PriorityPoll, coupa.Window{To: windowEnd(now, f.object)})
	q.Filter = nil // with no row that is not exported, a condition that is ignored would not show
	q.Lines, q.LinesFrom = f.collection, now.Add(24*time.Hour).Truncate(time.Second).UTC()
	for range linesProbes {
		var highest int64
		if highest, err = f.source.MaxID(ctx, q); err == nil && highest == 0 {
			return nil
		}
		if err != nil {
			break
		}
	}
	if err != nil && coupa.KindOf(err) != coupa.Misconfigured {
		return err
	}
	f.log.Warn("Coupa can't be asked for rows by the updated-at of their lines; a change of a line alone is published with its row's next change",
		"lines", f.collection, "error", err, "again_in", linesAgain)
	f.collection, f.probe = "", time.Now().Add(linesAgain)
	return nil
}

// poll reads what has changed since the last one, and proves
// by that that all is published that was changed before.
func (f *follower) poll(ctx context.Context) error {
	began, published := time.Now(), f.task.Published()
	f.rows, f.missing = 0, false
	if f.times.Begin(began) {
		f.task.PolledEarly()
	}
	if err := f.pollChanges(ctx); err != nil {
		return err
	}
	if err := f.rereadMoved(ctx); err != nil {
		return err
	}
	if err := f.rereadPassed(ctx); err != nil {
		return err
	}
	vanished, err := f.look(ctx)
	if err != nil {
		return err
	}
	f.task.Proved(began, published, f.proven(), vanished)
	return nil
}

// look asks Coupa whether the object has any row, where polls that find none should have found
// some or have found none for long. An error that passes leaves the question to the next poll.
func (f *follower) look(ctx context.Context) (vanished bool, err error) {
	known := f.task.IsBlind()
	if !f.sight.Note(time.Now(), f.rows, f.missing || known) {
		return known && f.rows == 0, nil
	}
	highest, err := f.source.MaxID(ctx, coupa.Query{Path: f.stream.Object})
	switch {
	case status.IsTemporary(err):
		return known, nil
	case err != nil:
		return known, err
	case highest > 0:
		f.sight.Has(time.Now())
		return false, nil
	}
	return f.hadRows()
}

// hadRows tells whether the ledger knows any row of the stream.
func (f *follower) hadRows() (had bool, err error) {
	err = f.shard.Ledger().Range(f.stream, 0, 0, func(checkpoint.Entry) bool {
		had = true
		return false
	})
	if err != nil {
		return false, f.unreadable(err)
	}
	return had || f.task.Status().Rows > 0, nil
}

// pollChanges reads rows by their own stamp, then rows of which only lines have changed.
func (f *follower) pollChanges(ctx context.Context) error {
	if err := f.maker.Refresh(ctx); err != nil {
		return err
	}
	now, err := f.source.Now(ctx)
	if err != nil {
		return err
	}
	f.compareClocks()
	to, overlap := windowEnd(now, f.object), f.stretch.Overlap(f.object.Overlap, now)+lead(f.source.Ahead())
	pos := f.shard.Position(f.stream)
	wide, err := f.widens(overlap)
	if err != nil {
		return err
	}
	if wide {
		overlap = LookBackDepths(f.object)[0]
	}
	lower := pos.Floor
	if pos.Backfill != nil && pos.Backfill.Kind != checkpoint.Split {
		lower = clock.Later(lower, pos.Backfill.To) // what lies before is the backfill's
	}
	rules, ahead := pollRules, time.Duration(0)
	if f.readsAhead() {
		rules, ahead = aheadRules, reach(f.object)
	}
	w := nextPoll(f.mark, lower, to, ahead, overlap)
	if w == nil && ranAhead(f.mark, to) {
		// A clock that is this far back is only put right by an answer, and nothing else asks.
		_, err := f.source.MaxID(ctx, coupa.Query{Path: f.stream.Object})
		return err
	}
	if w != nil {
		if ranAhead(f.mark, to) {
			f.log.Warn("Coupa's clock has run ahead and is back; the mark goes back with it", "mark", f.mark, "to", to)
			w.From = f.reachBack(w.From, lower, overlap+ahead)
		}
		if err := f.walk(ctx, *w, rules, to); err != nil {
			return err
		}
		f.looksBack.Store(wide && f.idle)
	}
	if !f.probe.IsZero() && time.Now().After(f.probe) {
		if err := f.probeLines(ctx); err != nil {
			return err
		}
	}
	if !f.walksByLines() {
		return nil
	}
	if f.lines.IsZero() {
		f.lines = f.mark
	}
	if w == nil || !f.times.ByLines() {
		return nil
	}
	lines := nextLines(f.lines, pos.Floor, to, overlap)
	if lines == nil {
		return nil
	}
	if lines.To.Before(f.lines) {
		lines.From = f.reachBack(lines.From, pos.Floor, overlap)
	}
	f.polled = w.From
	return f.walk(ctx, *lines, linesRules, f.mark)
}

// widens tells whether the next poll looks back as far as the shortest look-back: nothing was published with
// a stamp of that time. So it takes no more requests than with its overlap, and makes the look-back needless.
func (f *follower) widens(overlap time.Duration) (bool, error) {
	depths := LookBackDepths(f.object)
	if !f.idle || f.object.KeepsAll() || len(depths) == 0 || depths[0] <= overlap {
		return false, nil
	}
	empty := true
	err := f.shard.Ledger().Range(f.stream, f.mark.Add(-depths[0]).Unix(), undatedFrom, func(checkpoint.Entry) bool {
		empty = false
		return false
	})
	if err != nil {
		return false, f.unreadable(err)
	}
	return empty, nil
}

// readsAhead tells whether polls read ahead of the mark. A save in two steps, of the row and then of its
// lines, would show as tombstones of lines and then the lines again, and a row that is read in parts could
// be put together of two versions that have one stamp.
func (f *follower) readsAhead() bool {
	q := f.query(aheadRules.priority, coupa.Window{From: f.mark, To: f.mark})
	q.After = coupa.LongestID
	return !f.maker.HasLines() && f.source.Requests(q) == 1
}

// walksByLines tells whether changes of lines are asked for by their own stamps now.
func (f *follower) walksByLines() bool {
	beside := f.shard.Position(f.stream).Backfill
	return f.collection != "" && (beside == nil || beside.Kind == checkpoint.Split)
}

// proven is the instant before which every change is published: not each poll asks for those of lines.
func (f *follower) proven() time.Time {
	if f.walksByLines() && f.lines.Before(f.mark) {
		return f.lines
	}
	return f.mark
}

// reachBack is where a window begins whose mark goes back: at the newest row known, less the overlap,
// if that is earlier. As long as the clock ran ahead windows lay in the future, and nothing that was
// stamped then was read; so what is newer than the newest row known may all have been missed.
func (f *follower) reachBack(from, floor time.Time, overlap time.Duration) time.Time {
	if newest := f.newest.Add(-overlap).Truncate(time.Second); newest.Before(from) {
		return clock.Later(newest, floor)
	}
	return from
}

// walk carries out a poll or a walk by lines' stamps and takes over
// where it ended: to is where its mark goes.
func (f *follower) walk(ctx context.Context, w checkpoint.Walk, rules walkRules, to time.Time) error {
	ps := &pass{
		p: f.Poller, rules: rules, walk: w, mark: f.mark, horizon: f.horizon(w.To), persisted: &f.persisted,
		place: func(pos *checkpoint.Position) **checkpoint.Walk { return &pos.Walk },
	}
	wasMark, wasLines := f.mark, f.lines
	mark, lines, since := wasMark, wasLines, wasMark
	var err error
	if w.Kind == checkpoint.Lines {
		lines, since = to, wasLines
		ps.ask = f.query(ps.rules.priority, coupa.Window{To: f.polled})
		ps.ask.Lines, ps.ask.LinesFrom = f.collection, w.From
		ps.short = !lines.Before(wasLines) && time.Since(f.lined) < markInterval(f.interval)
		ps.seen, err = f.published(w.From.Add(-linesSlack), time.Time{})
	} else {
		if to.After(mark) || ranAhead(mark, to) {
			mark = to
		}
		if f.collection == "" {
			lines = mark
		}
		ps.ask = f.query(ps.rules.priority, coupa.Window{From: w.From, To: w.To})
		ps.seen, err = f.published(w.From, time.Time{}) // behind the mark too: it may have gone back
		ps.seen.ofPoll(to, f.object.Overlap, rules.ahead)
		if rules.ahead {
			ps.ask.Over, ps.short = to, !mark.Before(wasMark) && time.Since(f.marked) < markInterval(f.interval)
		}
	}
	if err != nil {
		return err
	}
	if again := f.shard.Position(f.stream).Again; since.Before(again) {
		ps.again = again
	}
	learned := checkpoint.Learned(f.times.Learned(time.Now()))
	ps.finish = func(pos *checkpoint.Position) {
		if pos.Mark, pos.Lines, pos.Learned = mark, lines, learned; ps.cut {
			pos.Mark, pos.Lines = wasMark, wasLines
		}
	}
	if err := ps.carryOut(ctx); err != nil {
		return err
	}
	if w.Kind == checkpoint.Lines {
		f.times.Note(true, ps.published, ps.asked(), w.To.Sub(clock.Later(f.linesRead, f.lines)))
		if f.linesRead = w.To; !ps.cut {
			f.lined = time.Now()
		}
	} else {
		f.times.Note(false, ps.published, ps.asked(), w.To.Sub(clock.Later(f.read, f.mark)))
		f.read = w.To
	}
	if !ps.cut {
		f.mark, f.lines = mark, lines
	}
	if ps.newest.After(f.newest) && ps.newest.Before(w.To) {
		f.newest = ps.newest
	}
	f.stretch.Note(ps.latest, f.object.Overlap, f.object.Lookback, w.To)
	if w.Kind == checkpoint.Poll {
		if !ps.cut {
			f.marked = time.Now()
		}
		f.rows, f.missing, f.idle = ps.rows, ps.rows == 0 && len(ps.seen.latest) > 0 && !f.object.ReadsUnexported(), ps.rows == 0
		f.task.Update(func(s *status.TaskStatus) {
			s.Mark = f.mark
			s.Polls++
			s.Restarts = 0
		})
	}
	return nil
}

// rereadMoved reads rows between which lines have moved once more, for their lines. Pages are read side
// by side, by one walk and by those beside it: of two rows that were read while a line went from one
// to the other, nothing tells which was read first, and the row that comes last may be the one that
// had it. What is read after that was committed tells who has it; should it move again, so do they.
func (f *follower) rereadMoved(ctx context.Context) error {
	for {
		ids := f.shard.Position(f.stream).Moved
		if len(ids) == 0 || f.maker.Refuses() {
			return nil
		}
		ids = ids[:f.fitting(ids)]
		ps := &pass{
			p: f.Poller, rules: movedRules, ask: f.query(movedRules.priority, coupa.Window{}),
			walk: checkpoint.Walk{Kind: checkpoint.Lines, To: f.mark, Ranges: everything()},
			mark: f.mark, horizon: f.horizon(f.mark), persisted: &f.persisted, finishes: true,
			finish: func(pos *checkpoint.Position) {
				pos.Moved = slices.DeleteFunc(slices.Clone(pos.Moved), func(id int64) bool { return slices.Contains(ids, id) })
			},
		}
		ps.ask.IDs, ps.ask.Filter = ids, nil // they were published, and may be exported since
		if err := ps.carryOut(ctx); err != nil {
			return err
		}
	}
}

// passedAgain is how often rows that Coupa failed to send are asked for again.
const passedAgain = 10 * time.Minute

// rereadPassed asks again for rows that Coupa failed to send, one by one, and publishes those that it sends
// now. What it still fails to send is asked for another time; what is gone is no matter any more.
func (f *follower) rereadPassed(ctx context.Context) error {
	ids := f.shard.Position(f.stream).Passed
	if len(ids) == 0 || time.Since(f.reread) < passedAgain {
		return nil
	}
	f.reread = time.Now()
	var sent []int64
	for _, id := range ids {
		q := f.query(repairRules.priority, coupa.Window{})
		q.IDs, q.Limit = []int64{id}, 1
		if _, err := f.source.Fetch(ctx, q, func(coupa.Row) error { return nil }); err == nil {
			sent = append(sent, id)
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for ids := range slices.Chunk(sent, pageRows) {
		published, err := f.published(time.Time{}, time.Time{}, ids...)
		if err != nil {
			return err
		}
		if err := f.readAgain(ctx, ids, published, func(pos *checkpoint.Position) { pos.Passed = passedOver(pos.Passed, nil, ids) }); err != nil {
			return err
		}
	}
	return nil
}

// readAgain reads rows by their ids, whenever they were stamped, and publishes those that were not.
func (f *follower) readAgain(ctx context.Context, ids []int64, published seen, finish func(*checkpoint.Position)) error {
	ps := &pass{
		p: f.Poller, rules: repairRules, seen: published, ask: f.query(repairRules.priority, coupa.Window{}),
		walk: checkpoint.Walk{Kind: checkpoint.Poll, To: f.mark, Ranges: everything()},
		mark: f.mark, horizon: f.horizon(f.mark), persisted: &f.persisted, finishes: true, finish: finish,
	}
	ps.ask.IDs = ids
	return ps.carryOut(ctx)
}

// repairUndated publishes what has changed of rows without updated-at, and those that are new. Where the
// stream began with what changes from then on, those that were there at first are only noted.
func (f *follower) repairUndated(ctx context.Context, ids []int64) error {
	known, err := f.undated()
	if err != nil {
		return err
	}
	rules, pos := undatedRules, f.shard.Position(f.stream)
	var again time.Time
	if pos.Rounded.IsZero() { // of the first search
		if again = pos.Again; f.object.InitialFrom.Latest {
			rules = notedRules
		}
	}
	ps := &pass{
		p: f.Poller, rules: rules, seen: known, ask: f.query(rules.priority, coupa.Window{}),
		walk: checkpoint.Walk{Kind: checkpoint.Poll, To: f.mark, Ranges: everything()}, horizon: f.horizon(f.mark),
		persisted: &f.persisted, again: again, finish: func(*checkpoint.Position) {},
	}
	ps.ask.IDs = ids
	return ps.carryOut(ctx)
}

// horizon is that of a walk that ends at to. It goes by the
// committed mark of the lines: after a crash they begin from there.
func (f *follower) horizon(to time.Time) int64 {
	lines := f.shard.Position(f.stream).Lines
	if f.collection == "" {
		lines = time.Time{}
	}
	newest := f.newest
	if to.Before(newest) {
		newest = to
	}
	return horizon(newest, lines, f.object).Unix()
}

// repair reads suspects whole and publishes those that the ledger still does not know.
func (f *follower) repair(ctx context.Context, s suspects) error {
	// What the ledger has forgotten since the look-back began can't be told from what it never knew.
	if s.window.From = clock.Later(s.window.From, f.shard.Position(f.stream).Floor); !s.window.From.Before(s.window.To) {
		return nil
	}
	published, err := f.published(s.window.From, s.window.To)
	if err != nil {
		return err
	}
	ps := &pass{
		p: f.Poller, rules: repairRules, seen: published, ask: f.query(repairRules.priority, s.window),
		walk: checkpoint.Walk{Kind: checkpoint.Poll, To: f.mark, Ranges: everything()},
		mark: f.mark, horizon: f.horizon(f.mark), persisted: &f.persisted,
		finish: func(*checkpoint.Position) {},
	}
	ps.ask.IDs = s.ids
	if err := ps.carryOut(ctx); err != nil {
		return err
	}
	f.stretch.Note(ps.latest, f.object.Overlap, f.object.Lookback, f.mark)
	return nil
}
