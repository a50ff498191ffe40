package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/exported"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/polls"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/sample"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/connector/sweep"
	"github.com/coupastream/coupastream/coupa"
)

// Poller reads one stream (tenant × object) for as long as its shard is owned.
type Poller struct {
	stream   checkpoint.Stream
	object   *config.Object
	source   Source
	shard    Shard
	polls    polls.Budget
	bell     *polls.Bell
	maker    *record.Maker
	rate     float64
	below    bool // the rows are below those of another collection
	task     *status.Task
	clocks   *sync.Once
	turns    *chores.InstanceTurns
	memory   *shard.Memory
	rowBytes prometheus.Observer
	slice    int
	tracer   trace.Tracer
	log      *slog.Logger

	sampler *sample.Sampler
	stopped status.Complaint // owned by Run

	looksBack atomic.Bool // the last poll read what the shortest look-back would

	trouble status.Outage
	doubt   doubt
	owners  owners
	gaps    sync.Once // whether ids that show nothing were told of
	backs   sync.Once // whether a row was told of whose updated-at went back

	marker *exported.Marker // of rows that are published; nil: none is marked
	topics sweep.Topics
	swept  atomic.Pointer[chores.Chore] // finds deletes

	asked atomic.Pointer[chores.Chore] // works on the requests in the position; nil: nothing does yet
	ask   asking
}

// Config is what a poller is made of.
type Config struct {
	Stream   checkpoint.Stream
	Object   *config.Object
	Source   Source
	Shard    Shard
	Polls    polls.Budget // of the instance
	Bell     *polls.Bell  // asks for polls out of turn
	Maker    *record.Maker
	Topics   sweep.Topics
	Rate     float64 // the most requests a second, for the number of them side by side; 0: unlimited
	Task     *status.Task
	Clocks   *sync.Once // of the connector: whether its clock was complained of
	Turns    *chores.InstanceTurns
	Memory   *shard.Memory
	RowBytes prometheus.Observer // bytes of rows
	Slice    int                 // ledger entries that a look-back holds in memory at a time
	Tracer   trace.Tracer
	Log      *slog.Logger
}

// Shard is what a poller may do with the shard that its stream belongs to, within an ownership.
type Shard interface {
	// Submissions takes a part of the stream's progress. What was received is answered exactly once.
	Submissions() chan<- *shard.Submission
	// StartReading and StopReading bracket the time in which the poller may submit;
	// StopReading is called after the last submission was received.
	StartReading()
	StopReading()
	// Position is the stream's committed one; the zero Position when it has none.
	Position(checkpoint.Stream) checkpoint.Position
	Ledger() shard.Ledger
	// GiveUp ends the ownership for a reason that the poller found; the shard is rebuilt.
	GiveUp(error)
}

// New makes a poller that does not run yet.
func New(c Config) *Poller {
	resource, _ := coupa.LookupResource(c.Object.Path)
	p := &Poller{
		below:   resource.Parent != "",
		sampler: &sample.Sampler{Object: c.Object, Source: c.Source, Maker: c.Maker, Task: c.Task, Log: c.Log},
		stream:  c.Stream, object: c.Object, source: c.Source, shard: c.Shard, polls: c.Polls, bell: c.Bell, maker: c.Maker, topics: c.Topics, rate: c.Rate, task: c.Task,
		clocks: c.Clocks, turns: c.Turns, memory: c.Memory, rowBytes: c.RowBytes, slice: c.Slice, tracer: c.Tracer, log: c.Log,
	}
	if p.object.ExportedMode == config.ExportedMark {
		p.marker = exported.New(exported.Config{Stream: p.stream, Source: p.source, Shard: p.shard, Task: p.task, Keep: retention(p.object), Log: p.log})
	}
	return p
}

// Stream is what it reads.
func (p *Poller) Stream() checkpoint.Stream { return p.stream }

// Forget lets the next attempt ask for the ids of the stream's schemas again. It must not run then.
func (p *Poller) Forget() { p.maker.Forget() }

// Task is where it tells how it does.
func (p *Poller) Task() *status.Task { return p.task }

// How long a failed object waits before it is tried again: soon where time heals, seldom where a person has
// to act. A task that failed CircuitOpensAt times in a row for what a person has to act on, without one poll
// in between, opens its circuit: it is tried about hourly, until it works or somebody restarts it.
//
// What passes is tried again within wellAgain once Coupa has answered well for another object.
var (
	temporaryBackoff = clock.Backoff{Base: time.Second, Max: wellAgain}
	passingBackoff   = clock.Backoff{Base: wellAgain, Max: 2 * time.Minute}
	lastingBackoff   = clock.Backoff{Base: 2 * time.Minute, Max: 15 * time.Minute}
	circuitJitter    = clock.Backoff{Base: 30 * time.Minute, Max: 30 * time.Minute}
)

const (
	CircuitOpensAt = 6
	circuitPause   = 45 * time.Minute
	wellAgain      = 30 * time.Second
)

// Run polls until ctx ends. A failure stops this object alone:
// it is FAILED with the reason, and is tried again by itself.
func (p *Poller) Run(ctx context.Context) {
	p.task.Take()
	p.task.Update(func(s *status.TaskStatus) {
		if s.State == status.Unassigned {
			s.State = status.Running
		}
	})
	var temporary, passing, lasting int // failures in a row
	for {
		polls := p.task.Polls()
		err := p.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, shard.ErrReleased) {
			<-ctx.Done() // the shard is being rebuilt and ends this ownership
			return
		}
		if p.task.Polls() > polls {
			temporary, passing, lasting = 0, 0, 0
		}
		if record.Blames(err) { // what is known of the topic may be why
			p.maker.ForgetTopics()
		}
		var goesOn bool
		switch {
		case status.IsTemporary(err):
			delay := temporaryBackoff.Delay(temporary, coupa.RetryAfter(err))
			temporary++
			p.heldUp(err, delay)
			goesOn = clock.Sleep(ctx, delay)
		case status.Passes(err):
			delay := passingBackoff.Delay(passing, 0)
			passing++
			p.failed(err, delay, false)
			goesOn = p.waitForOthers(ctx, delay)
		default:
			delay := lastingDelay(lasting)
			lasting++
			p.failed(err, delay, lasting >= CircuitOpensAt)
			goesOn = clock.Sleep(ctx, delay)
		}
		if !goesOn {
			return
		}
		p.noteRetry(status.IsTemporary(err))
	}
}

// waitForOthers waits for a time, or until Coupa has answered well for another object,
// but not less than most of wellAgain. It returns false when ctx ends first.
func (p *Poller) waitForOthers(ctx context.Context, most time.Duration) bool {
	const step = wellAgain * 2 / 3
	for began := time.Now(); most > 0 && !p.task.AnswersOthers(began); most -= step {
		if !clock.Sleep(ctx, min(most, step)) {
			return false
		}
	}
	return ctx.Err() == nil
}

// lastingDelay is how long a task that FAILED n times before,
// one after the other, waits until it restarts itself.
func lastingDelay(n int) time.Duration {
	if n+1 >= CircuitOpensAt {
		return circuitPause + circuitJitter.Delay(0, 0)
	}
	return lastingBackoff.Delay(n, 0)
}

// failed says why the task does not run, and when it restarts itself.
func (p *Poller) failed(err error, again time.Duration, open bool) {
	next := time.Now().Add(again)
	p.task.Update(func(s *status.TaskStatus) {
		s.State, s.Trace, s.NextTry, s.CircuitOpen = status.Failed, err.Error(), next, open
	})
	p.task.Failed(err)
	if p.stopped.IsNews(err) {
		p.log.Error("the object has stopped", "error", err, "again_in", again.Round(time.Second), "circuit_open", open)
	}
}

// noteRetry is called before another attempt.
func (p *Poller) noteRetry(heldUp bool) {
	p.task.Update(func(s *status.TaskStatus) {
		s.NextTry = time.Time{}
		if !heldUp {
			s.Restarts++
			s.Restarted++
		}
	})
}

// attempt works from the committed position until something fails: polls, and beside them
// first the backfill, then look-backs. Rows without updated-at are read whole instead.
func (p *Poller) attempt(ctx context.Context) error {
	done, err := p.turns.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := chores.Apart(func() error { return p.prepare(ctx) }); err != nil {
		return err
	}
	c := chores.New(ctx)
	c.Add(sample.Every, p.sampler.Again)
	c.Add(topicsCheck, p.lookAtTopics)
	turns := make(chan turn)
	if sweep.Wanted(p.object) {
		p.swept.Store(c.Add(0, p.turns.InTurn(p.sweeper(turns).Turn)))
	}
	if p.object.IsWhole() {
		done()
		return c.End(p.readWhole(c.Context(), turns))
	}
	if p.marker != nil {
		c.Add(0, p.marker.Turn)
	}
	c.Once(func(ctx context.Context) error {
		if err := p.backfill(ctx); err != nil {
			return err
		}
		done()
		p.asked.Store(c.Add(0, p.snapshots))
		c.Add(0, p.turns.InTurn(func(ctx context.Context) (time.Duration, error) { return p.searchUndated(ctx, turns) }))
		c.Add(p.object.Reread, func(ctx context.Context) (time.Duration, error) { return p.rereadUndated(ctx, turns) })
		if depths := LookBackDepths(p.object); len(depths) > 0 {
			c.Add(0, p.turns.InTurn(p.lookBack(depths, turns)))
		}
		return nil
	})
	return c.End(p.follow(c.Context(), turns))
}

// prepare makes sure of all that polls need.
func (p *Poller) prepare(ctx context.Context) error {
	if err := p.maker.Prepare(ctx); err != nil {
		return err
	}
	if isUnbegun(p.shard.Position(p.stream), p.object) {
		if err := p.begin(ctx); err != nil {
			return err
		}
	}
	if err := p.noteTopics(ctx, topicsFresh); err != nil {
		return err
	}
	if err := p.noteLines(ctx); err != nil {
		return err
	}
	if err := p.noteDeletes(ctx); err != nil {
		return err
	}
	if err := p.sampler.First(ctx); err != nil {
		return err
	}
	if p.object.ReadsUnexported() {
		if err := exported.Heeds(ctx, p.source, p.stream.Object); err != nil {
			return err
		}
	}
	p.sampler.NoteRequests()
	return nil
}

// begin gives a new stream its first position. It is committed before anything is read,
// so that backfill and polls keep their common border whatever happens to either.
func (p *Poller) begin(ctx context.Context) error {
	now, err := p.source.Now(ctx)
	if err != nil {
		return err
	}
	topics, err := p.currentTopics(ctx, topicsFresh)
	if err != nil {
		return err
	}
	first := firstPosition(windowEnd(now, p.object), p.object)
	return p.record(ctx, func(pos *checkpoint.Position) {
		was := *pos
		*pos = first.Clone()
		pos.Seq, pos.LineTopics, pos.LineEpoch, pos.Topics, pos.Again = was.Seq, p.maker.HasLines(), was.LineEpoch, topics, was.Again
	})
}

// compareClocks warns, once per connector, when the two clocks are further apart than the overlap, or a
// minute. That is harmless if this machine's clock is wrong. If Coupa's Date header runs ahead of the stamps
// on its rows, though, windows end before the rows of their time are there, and nothing but another clock
// shows it.
func (p *Poller) compareClocks() {
	ahead := p.source.Ahead()
	if apart := ahead.Abs(); apart > min(p.object.Overlap, time.Minute) {
		p.clocks.Do(func() {
			p.log.Warn("Coupa's clock and this machine's differ; windows end by the earlier one if Coupa's is more than a minute ahead, else by Coupa's. "+
				"If Coupa stamps rows by another clock than its Date header shows, raise overlap.ms above the difference",
				"coupa", time.Now().Add(ahead).UTC(), "here", time.Now().UTC(), "apart", apart.Round(time.Second), "overlap", p.object.Overlap)
		})
	}
}

// isAhead tells whether a walk that ends at to, by Coupa's clock, ends in the future. It was planned
// by a clock that ran ahead and is back; waited for until then, it would leave what is stamped meanwhile
// behind the mark.
func (p *Poller) isAhead(ctx context.Context, to time.Time) bool {
	now, err := p.source.Now(ctx)
	return err == nil && windowEnd(now, p.object).Add(clockSlack).Before(to)
}

// wasSetBack tells, once, of a row that is published with an older stamp than it was before.
func (p *Poller) wasSetBack(row coupa.Row, published int64) {
	p.backs.Do(func() {
		p.log.Warn("Coupa shows a row with an older updated-at than before: clocks of its servers differ, or the instance was restored; "+
			"the row is published as it is, behind its newer stamp", "id", row.ID, "updated_at", row.UpdatedAt, "published", time.Unix(published, 0).UTC())
	})
}

// record commits a change of the position without records.
func (p *Poller) record(ctx context.Context, move func(*checkpoint.Position)) error {
	return p.submitAlone(ctx, &shard.Submission{Move: move})
}

// submit hands a submission over that stands alone.
func (p *Poller) submit(ctx context.Context, sub *shard.Submission) error {
	p.shard.StartReading()
	defer p.shard.StopReading()
	select {
	case p.shard.Submissions() <- sub:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heldUp says what is being waited for, in the log and in the status.
func (p *Poller) heldUp(err error, again time.Duration) {
	p.trouble.Report(p.log, err, again)
	p.task.Failed(err)
	p.task.Update(func(s *status.TaskStatus) { s.Trace = "held up, goes on by itself: " + err.Error() })
}

// going records that Coupa has answered as it should.
func (p *Poller) going() {
	p.trouble.Over(p.log)
	p.task.Answered()
	var was status.State
	p.task.Update(func(s *status.TaskStatus) {
		was = s.State
		s.State, s.Trace, s.CircuitOpen, s.NextTry = status.Running, "", false, time.Time{}
	})
	if was == status.Failed {
		p.log.Info("the object is running again")
	}
}

// timetable says when the stream is polled, by what was learned before of how often it changes.
func (p *Poller) timetable() *polls.Timetable {
	name := p.stream.Tenant + "\x00" + p.stream.Object
	if p.object.PollAuto {
		return p.polls.Auto(name, polls.Learned(p.shard.Position(p.stream).Learned))
	}
	return p.polls.Every(p.object.PollInterval, name)
}

// query is what every page of the stream is asked for with, but for those that have a filter of their own.
func (p *Poller) query(priority coupa.Priority, w coupa.Window) coupa.Query {
	return coupa.Query{Path: p.stream.Object, Window: w, Priority: priority, Fields: p.maker.Fields(), Filter: p.unexported()}
}

// unexported is the condition that rows are not exported, where exported.mode is not off.
func (p *Poller) unexported() url.Values {
	if !p.object.ReadsUnexported() {
		return nil
	}
	return exported.Unset()
}

// published loads a part of the ledger. A ledger that can't be
// read ends the ownership: the store is made anew from the topic.
func (p *Poller) published(from, to time.Time, of ...int64) (seen, error) {
	s, err := loadSeen(p.shard.Ledger(), p.stream, from, to, of...)
	if err != nil {
		return seen{}, p.unreadable(err)
	}
	return s, nil
}

func (p *Poller) unreadable(err error) error {
	p.shard.GiveUp(fmt.Errorf("reading the ledger of %v: %w", p.stream, err))
	return fmt.Errorf("%w: %w", shard.ErrReleased, err)
}

// Preflight makes sure of topic and schemas. It asks nothing of Coupa, and must not run beside Run.
func (p *Poller) Preflight(ctx context.Context) error {
	if err := p.maker.Prepare(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.stream.Object, err)
	}
	return nil
}

// fitting is how many of the ids, counted from the first, are best asked for at once.
func (p *Poller) fitting(ids []int64) int {
	q := p.query(coupa.PriorityPoll, coupa.Window{})
	q.IDs = ids
	return p.source.Fits(q)
}
