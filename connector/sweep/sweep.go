package sweep

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/listing"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Sweeper finds deletes in one stream.
type Sweeper struct {
	Config
	known, gone window // of a sweep that reads
}

// Config is what a sweeper is made of.
type Config struct {
	Stream checkpoint.Stream
	Object *config.Object
	Source Source
	Ledger Ledger
	Host   Host
	Topics Topics
	Task   *status.Task
	Log    *slog.Logger
	Gap    func(after, through int64) // hears of ids that were not asked for, see package listing
}

// Source is what of Coupa it asks.
type Source interface {
	listing.Source
	// Now is a lower bound of Coupa's clock.
	Now(ctx context.Context) (time.Time, error)
	// Ready returns when there is a token that may be used.
	Ready(ctx context.Context) error
	// Granted are the scopes of the present token.
	Granted() string
}

// Host is the stream's poller as the sweeper sees it.
type Host interface {
	// SweepPosition is the stream's committed position.
	SweepPosition() checkpoint.Position
	// Unreadable ends the ownership for a ledger that can't be read, and gives the error to end with.
	Unreadable(error) error
	// Note commits a change of the position and of sets of ids.
	Note(ctx context.Context, ids []checkpoint.IDChange, move func(*checkpoint.Position)) error
	// Bury publishes that rows are gone, between two polls, but for those that are there again.
	Bury(ctx context.Context, ids []int64) error
	// Revive reads rows that were gone and publishes them, between two polls.
	Revive(ctx context.Context, ids []int64) error
}

// Ledger is what the shard's local store knows, see package checkpoint.
type Ledger interface {
	IDs(st checkpoint.Stream, set checkpoint.IDSet, after int64, limit int) ([]int64, error)
	Range(st checkpoint.Stream, from, to int64, fn func(checkpoint.Entry) bool) error
}

const (
	atOnce     = 4096             // ids of a set that are held at a time
	soMany     = 2000             // ids that are missing, for a commit
	placeEvery = time.Minute      // how often the place of a sweep is written down
	buriedOnce = 50               // rows confirmed and deleted together: what one request asks for
	idleAgain  = 10 * time.Second // how soon it is looked whether a backfill is done
	// Examples is how many of the missing ids are told.
	Examples = 10
)

// Wanted tells whether deletes in an object are to be found. Rows below others can't be listed by id.
func Wanted(o *config.Object) bool {
	resource, _ := coupa.LookupResource(o.Path)
	return o.Deletes == "sweep" && resource.Parent == ""
}

// Begin is the state of a stream of which deletes were not looked for until now.
func Begin() (*checkpoint.Sweep, []checkpoint.IDChange) {
	var clear []checkpoint.IDChange
	for _, set := range []checkpoint.IDSet{checkpoint.Known, checkpoint.Missing, checkpoint.Gone} {
		clear = append(clear, checkpoint.IDChange{Set: set, Clear: true})
	}
	return &checkpoint.Sweep{Stage: checkpoint.SweepLearning}, clear
}

// Turn does what is due, and tells how long to wait for what is next. It is a chore.
func (s *Sweeper) Turn(ctx context.Context) (wait time.Duration, err error) {
	pos := s.Host.SweepPosition()
	if pos.Sweep == nil { // the position was moved, and the next attempt begins anew
		return s.Object.DeletesInterval, nil
	}
	s.tell(*pos.Sweep)
	switch sw := *pos.Sweep; sw.Stage {
	case checkpoint.SweepLearning:
		return 0, s.learn(ctx)
	case checkpoint.SweepReading:
		return 0, s.read(ctx, sw)
	case checkpoint.SweepConfirming:
		if wait, err := s.until(ctx, sw.Ended.Add(s.Object.Overlap)); wait > 0 || err != nil {
			return wait, err
		}
		return 0, s.confirm(ctx, sw)
	default:
		if sw.After > 0 || sw.Again { // it looks at what waits once more
			return 0, s.read(ctx, sw)
		}
		if pos.Backfill != nil && pos.Backfill.Kind != checkpoint.Split || pos.Mark.IsZero() {
			return idleAgain, nil
		}
		if wait, err := s.until(ctx, sw.Began.Add(s.Object.DeletesInterval)); wait > 0 || err != nil {
			return wait, err
		}
		return 0, s.begin(ctx, sw.Stage)
	}
}

// until is how long it takes until a time of Coupa's clock, but not longer than an interval, should
// that clock have run ahead.
func (s *Sweeper) until(ctx context.Context, at time.Time) (time.Duration, error) {
	now, err := s.Source.Now(ctx)
	return max(0, min(at.Sub(now), s.Object.DeletesInterval)), err
}

// begin begins a sweep, or another look at what waits.
func (s *Sweeper) begin(ctx context.Context, stage checkpoint.SweepStage) error {
	now, err := s.Source.Now(ctx)
	if err != nil {
		return err
	}
	top, err := s.highest()
	if err != nil {
		return err
	}
	if sw := s.Host.SweepPosition().Sweep; sw != nil && sw.Purged {
		shown, err := s.Source.MaxID(ctx, coupa.Query{Path: s.Object.Path, Priority: coupa.PrioritySweep})
		if err != nil {
			return err
		}
		top = max(top, shown)
	}
	return s.note(ctx, nil, func(sw *checkpoint.Sweep) {
		if sw.Stage != stage {
			return
		}
		sw.Began, sw.After, sw.Top, sw.Again = now, 0, top, stage == checkpoint.SweepWaiting
		if sw.Again {
			return // its counts stay those of what waits
		}
		sw.Stage, sw.Why, sw.Known, sw.Lost = checkpoint.SweepReading, "", 0, 0
		sw.Seen = checkpoint.Sight{}
	})
}

// highest is the highest id that is known.
func (s *Sweeper) highest() (top int64, err error) {
	for after := int64(-1); ; {
		ids, err := s.ids(checkpoint.Known, after, atOnce)
		if err != nil || len(ids) == 0 {
			return top, err
		}
		top = ids[len(ids)-1]
		after = top
	}
}

// note commits a change of the sweep's state, and tells of it.
func (s *Sweeper) note(ctx context.Context, ids []checkpoint.IDChange, change func(*checkpoint.Sweep)) error {
	err := s.Host.Note(ctx, ids, func(pos *checkpoint.Position) {
		if pos.Sweep != nil {
			change(pos.Sweep)
		}
	})
	if sw := s.Host.SweepPosition().Sweep; err == nil && sw != nil {
		s.tell(*sw)
	}
	return err
}

// reading is a sweep that reads, since its place was last written down.
type reading struct {
	checkpoint.Sweep
	lost, found []int64 // missing; known from now on, or of another look not missing any more
	back        []int64
	placed      time.Time
}

// read goes through Coupa's ids from where the sweep is, beside those that are known.
func (s *Sweeper) read(ctx context.Context, sw checkpoint.Sweep) error {
	r := &reading{Sweep: sw, placed: time.Now()}
	r.Seen.Oldest = slices.Clone(sw.Seen.Oldest)
	s.known = window{of: s, set: checkpoint.Known, after: sw.After}
	s.gone = window{of: s, set: checkpoint.Gone, after: sw.After}
	at := &listing.List{
		Query:  coupa.Query{Path: s.Object.Path, After: sw.After, Fields: `["id"]`, Priority: coupa.PrioritySweep},
		Source: s.Source, Gap: s.Gap,
	}
	var page []int64
	for !at.Done {
		// before the page: what is published meanwhile is in the page, and not missing
		if err := errors.Join(s.known.fill(), s.gone.fill()); err != nil {
			return err
		}
		page = page[:0]
		if err := at.Page(ctx, func(row coupa.Row) { page = append(page, row.ID) }); err != nil {
			return err
		}
		through := at.After
		if at.Done {
			through = 1<<63 - 1
		}
		if err := s.compare(ctx, r, page, through); err != nil {
			return err
		}
		if len(r.lost)+len(r.found) >= soMany || time.Since(r.placed) >= placeEvery {
			if err := s.place(ctx, r, at.After); err != nil {
				return err
			}
			if now := s.Host.SweepPosition().Sweep; now == nil || now.Stage != sw.Stage {
				return nil // approved meanwhile
			}
		}
	}
	if r.Again {
		return s.lookedAgain(ctx, r)
	}
	return s.end(ctx, r)
}

// compare takes in a page: all that Coupa shows of the ids above the last one, up to through.
func (s *Sweeper) compare(ctx context.Context, r *reading, page []int64, through int64) error {
	for _, id := range page {
		known, err := s.pass(ctx, r, id)
		if err != nil {
			return err
		}
		if !r.Again {
			if r.Seen.Rows++; len(r.Seen.Oldest) < oldestKept {
				r.Seen.Oldest = append(r.Seen.Oldest, id)
			}
			r.Seen.Highest = id
		}
		if back, err := s.gone.through(id, nil); err != nil {
			return err
		} else if back {
			r.back = append(r.back, id)
		}
		switch {
		case r.Again && known:
			r.found = append(r.found, id)
		case !r.Again && !known && r.Purged && id <= r.Top:
			r.found = append(r.found, id)
		}
	}
	if _, err := s.pass(ctx, r, through); err != nil {
		return err
	}
	if _, err := s.gone.through(through, nil); err != nil {
		return err
	}
	back := r.back
	if r.back = nil; len(back) == 0 {
		return nil
	}
	return s.Host.Revive(ctx, back)
}

// pass goes through the known ids up to one, those before it being missing, and tells whether it is known.
func (s *Sweeper) pass(ctx context.Context, r *reading, id int64) (known bool, err error) {
	return s.known.through(id, func(one int64) error {
		if one > r.Top || r.Again {
			return nil
		}
		if r.Known++; one != id {
			r.Lost++
			r.lost = append(r.lost, one)
		}
		if len(r.lost) >= atOnce { // Coupa shows nothing of many
			return s.place(ctx, r, one)
		}
		return nil
	})
}

// place commits how far a sweep is.
func (s *Sweeper) place(ctx context.Context, r *reading, after int64) error {
	ids := r.changes()
	now := r.Sweep
	now.Seen.Oldest = slices.Clone(r.Seen.Oldest)
	err := s.note(ctx, ids, func(sw *checkpoint.Sweep) {
		switch {
		case sw.Stage != r.Stage: // it was approved meanwhile
		case r.Again:
			sw.After = after
		default:
			sw.After, sw.Known, sw.Lost, sw.Seen = after, now.Known, now.Lost, now.Seen
		}
	})
	r.lost, r.found, r.placed = nil, nil, time.Now()
	return err
}

func (r *reading) changes() []checkpoint.IDChange {
	switch {
	case r.Again && len(r.found) > 0:
		return []checkpoint.IDChange{{Set: checkpoint.Missing, Remove: r.found}}
	case len(r.lost)+len(r.found) > 0:
		return []checkpoint.IDChange{{Set: checkpoint.Missing, Add: r.lost}, {Set: checkpoint.Known, Add: r.found}}
	}
	return nil
}

// end decides what becomes of what a sweep did not find.
func (s *Sweeper) end(ctx context.Context, r *reading) error {
	if err := s.Source.Ready(ctx); err != nil {
		return err
	}
	now, err := s.Source.Now(ctx)
	if err != nil {
		return err
	}
	r.Seen.Scopes, r.Seen.Blind = s.Source.Granted(), s.Task.IsBlind()
	f, err := s.facts(ctx, r)
	if err != nil {
		return err
	}
	why := strings.Join(reasons(f), "; ")
	if why != "" {
		s.Log.Warn("a sweep waits for approval: nothing is deleted until somebody approves it", "missing", r.Lost, "of", r.Known, "why", why)
	}
	return s.note(ctx, r.changes(), func(sw *checkpoint.Sweep) {
		sw.After, sw.Ended, sw.Known, sw.Lost, sw.Seen = 0, now, r.Known, r.Lost, r.Seen
		if sw.Purged {
			sw.Purged, sw.Since = false, now
		}
		switch {
		case why != "":
			sw.Stage, sw.Why = checkpoint.SweepWaiting, why
		case r.Lost > 0:
			sw.Stage = checkpoint.SweepConfirming
		default:
			sw.Stage, sw.Last = checkpoint.SweepResting, sw.Seen
		}
	})
}

// facts are what reasons go by.
func (s *Sweeper) facts(ctx context.Context, r *reading) (facts, error) {
	resource, _ := coupa.LookupResource(s.Object.Path)
	f := facts{Sweep: r.Sweep, ratio: s.Object.DeletesRatio, audit: !resource.Deletes, instant: true}
	if r.Lost == 0 {
		return f, nil
	}
	above, err := s.ids(checkpoint.Known, r.Seen.Highest, few+1)
	if err != nil {
		return f, err
	}
	f.above = len(above)
	if f.newest, err = s.newest(few + 1); err != nil || f.newest.IsZero() {
		return f, err
	}
	at, err := s.Source.MaxID(ctx, coupa.Query{Path: s.Object.Path, Window: coupa.Window{From: f.newest}, Priority: coupa.PrioritySweep})
	f.instant = at > 0
	return f, err
}

// lookedAgain ends another look at what waits: what has come back waits no more, and if nothing is left that
// a person has to look at, the rest goes on by itself.
func (s *Sweeper) lookedAgain(ctx context.Context, r *reading) error {
	if err := errors.Join(s.Source.Ready(ctx), s.note(ctx, r.changes(), func(*checkpoint.Sweep) {})); err != nil {
		return err
	}
	left := int64(0)
	for after := int64(-1); ; {
		ids, err := s.ids(checkpoint.Missing, after, atOnce)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		left, after = left+int64(len(ids)), ids[len(ids)-1]
	}
	return s.note(ctx, nil, func(sw *checkpoint.Sweep) {
		if sw.Stage != checkpoint.SweepWaiting {
			return
		}
		sw.Again, sw.After, sw.Lost = false, 0, left
		if left == 0 {
			sw.Stage, sw.Why = checkpoint.SweepResting, ""
			sw.Last.Scopes, sw.Last.Blind = s.Source.Granted(), s.Task.IsBlind()
		}
	})
}

// ErrNothing says that nothing waits for approval.
var ErrNothing = errors.New("no sweep waits for approval")

// Approve lets what waits be deleted: the rows that were missing when it was called, no others.
func (s *Sweeper) Approve(ctx context.Context) error {
	waited := false
	now := time.Now().UTC().Truncate(time.Second)
	err := s.note(ctx, nil, func(sw *checkpoint.Sweep) {
		if waited = sw.Stage == checkpoint.SweepWaiting; !waited {
			return
		}
		sw.Stage, sw.Approved, sw.Again, sw.After = checkpoint.SweepConfirming, now, false, 0
	})
	if err == nil && !waited {
		return ErrNothing
	}
	return err
}

// confirm asks for each row that is missing, and has those deleted that are not there.
func (s *Sweeper) confirm(ctx context.Context, sw checkpoint.Sweep) error {
	if err := s.Source.Ready(ctx); err != nil {
		return err
	}
	if !s.sameRights(sw) {
		return s.note(ctx, nil, func(sw *checkpoint.Sweep) {
			sw.Stage, sw.Why = checkpoint.SweepWaiting, "what the API client may see has changed since the sweep"
			sw.Seen.Scopes, sw.Seen.Blind = s.Source.Granted(), s.Task.IsBlind()
		})
	}
	ids, err := s.ids(checkpoint.Missing, -1, buriedOnce)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return s.note(ctx, nil, func(sw *checkpoint.Sweep) {
			sw.Stage, sw.Last, sw.Why, sw.Approved, sw.Lost = checkpoint.SweepResting, sw.Seen, "", time.Time{}, 0
		})
	}
	var lost, there []int64
	for _, id := range ids {
		missing, err := s.isMissing(ctx, id)
		switch {
		case err != nil:
			return err
		case missing:
			lost = append(lost, id)
		default:
			there = append(there, id)
		}
	}
	if len(there) > 0 {
		if err := s.note(ctx, []checkpoint.IDChange{{Set: checkpoint.Missing, Remove: there}}, func(*checkpoint.Sweep) {}); err != nil {
			return err
		}
	}
	if len(lost) == 0 {
		return nil
	}
	if err := s.Host.Bury(ctx, lost); err != nil {
		return err
	}
	if sw := s.Host.SweepPosition().Sweep; sw != nil {
		s.tell(*sw)
	}
	return nil
}

// sameRights tells whether a sweep is to be confirmed with the rights that it read with.
func (s *Sweeper) sameRights(sw checkpoint.Sweep) bool {
	return s.Source.Granted() == sw.Seen.Scopes && s.Task.IsBlind() == sw.Seen.Blind
}

// isMissing asks for a single row. Only an empty answer shows that it is not there: one that can't be
// sent is.
func (s *Sweeper) isMissing(ctx context.Context, id int64) (bool, error) {
	q := coupa.Query{Path: s.Object.Path, IDs: []int64{id}, Fields: `["id"]`, Priority: coupa.PrioritySweep}
	for tries := 0; ; tries++ {
		page, err := s.Source.Fetch(ctx, q, func(coupa.Row) error { return nil })
		switch {
		case err == nil:
			return page.Empty, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case coupa.KindOf(err) == coupa.BadRow:
			return false, nil
		case !status.IsTemporary(err):
			return false, err
		}
		if !clock.Sleep(ctx, backoff.Delay(tries, coupa.RetryAfter(err))) {
			return false, ctx.Err()
		}
	}
}

var backoff = clock.Backoff{Base: time.Second, Max: 30 * time.Second}

// ids gives the ids of a set above one (-1: all), in order, at most limit of them.
func (s *Sweeper) ids(set checkpoint.IDSet, after int64, limit int) ([]int64, error) {
	ids, err := s.Ledger.IDs(s.Stream, set, after, limit)
	if err != nil {
		return nil, s.Host.Unreadable(err)
	}
	return ids, nil
}

// stampedLate is the end of the times at which rows can be stamped: entries of others stand behind it.
var stampedLate = time.Date(5000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// newest is a stamp at or after which so many of the rows are stamped that the ledger
// knows, looking back from the mark, each time further; zero: it does not know as many.
func (s *Sweeper) newest(rows int) (time.Time, error) {
	pos := s.Host.SweepPosition()
	if s.Object.IsWhole() {
		return time.Time{}, nil
	}
	for back := time.Hour; ; back *= 4 {
		from, latest := pos.Mark.Add(-back), map[int64]int64{}
		err := s.Ledger.Range(s.Stream, max(0, from.Unix()), stampedLate, func(e checkpoint.Entry) bool {
			latest[e.ID] = max(latest[e.ID], e.UpdatedAt)
			return true
		})
		if err != nil {
			return time.Time{}, s.Host.Unreadable(err)
		}
		if stamps := slices.Sorted(maps.Values(latest)); len(stamps) >= rows {
			return time.Unix(stamps[len(stamps)-rows], 0).UTC(), nil
		}
		if from.Before(pos.Floor) || from.Unix() <= 0 { // that was all of it
			return time.Time{}, nil
		}
	}
}

// progressOf is how far a sweep is that reads, by the ids up to the highest that was known when it began, and
// at the speed that it had so far.
func progressOf(sw checkpoint.Sweep, now time.Time) status.Progress {
	p := status.Progress{Done: sw.Known, Total: status.Estimate(sw.Known, []checkpoint.Range{{After: sw.After, Through: sw.Top}}, sw.Top)}
	if missing := p.Total - p.Done; missing > 0 {
		p.Left = time.Duration(float64(now.Sub(sw.Began)) / float64(p.Done) * float64(missing)).Round(time.Second)
	}
	return p
}

// tell puts what is known into the status.
func (s *Sweeper) tell(sw checkpoint.Sweep) {
	d := status.Deletes{
		Stage: sw.Stage, Since: sw.Since, Began: sw.Began, Ended: sw.Ended, Known: sw.Known, Shown: sw.Seen.Rows, Missing: sw.Lost, Why: sw.Why,
		Approved: sw.Approved, Deleted: sw.Deleted,
	}
	if resource, _ := coupa.LookupResource(s.Object.Path); !resource.Deletes {
		d.Audit = true
	}
	if sw.Stage == checkpoint.SweepReading {
		d.Progress = progressOf(sw, time.Now())
	}
	if sw.Stage == checkpoint.SweepWaiting || sw.Stage == checkpoint.SweepConfirming {
		d.Examples, _ = s.ids(checkpoint.Missing, -1, Examples)
	}
	s.Task.Update(func(t *status.TaskStatus) { t.Deletes = &d })
}

// window goes through a set of ids, holding a few thousand of them.
type window struct {
	of    *Sweeper
	set   checkpoint.IDSet
	after int64 // ids up to it are gone through
	ids   []int64
	ended bool // there were no more than ids
}

// fill reads ahead where nothing is held.
func (w *window) fill() (err error) {
	if len(w.ids) > 0 || w.ended {
		return nil
	}
	w.ids, err = w.of.ids(w.set, w.after, atOnce)
	w.ended = len(w.ids) < atOnce
	return err
}

// through goes on up to an id, gives those on the way to each, and tells whether the id itself is there.
func (w *window) through(id int64, each func(int64) error) (there bool, err error) {
	for {
		if err := w.fill(); err != nil {
			return there, err
		}
		n, had := slices.BinarySearch(w.ids, id)
		if had {
			n++
		}
		there = there || had
		passed := w.ids[:n]
		w.ids = w.ids[n:]
		for _, one := range passed {
			w.after = one
			if each != nil {
				if err := each(one); err != nil {
					return there, err
				}
			}
		}
		if len(w.ids) > 0 || w.ended {
			w.after = max(w.after, min(id, 1<<62))
			return there, nil
		}
	}
}
