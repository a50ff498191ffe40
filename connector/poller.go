package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

// poller reads one stream (tenant × object) for as long as its shard is owned.
type poller struct {
	stream checkpoint.Stream
	object config.Object
	source Source
	shard  *shard
	rate   float64 // coupa.rate.limit, for the number of requests side by side; 0: unlimited
	task   *task
	log    *slog.Logger
	clocks *sync.Once // of the connector: whether its clock was complained of
	shared bool       // the values' subject gets rows of other tenants too
	wanted bool       // it is to run while the shard is owned; guarded by shard.mu

	// current is what rows are encoded with; nil until prepare
	// has made it. Fetches replace it, who have customs.turn.
	current atomic.Pointer[encoding]
	customs customs
	dead    *deadLetters

	trouble trouble
	doubt   doubt
	owners  owners

	asked chan struct{} // one signal: the requests in the position have changed
	ask   asking
}

// How long a failed object waits before it is tried again: soon where time heals, seldom where
// a person has to act. A task that failed circuitOpensAt times in a row, without one poll in
// between, opens its circuit: it is tried about hourly, until it works or somebody restarts it.
var (
	temporaryBackoff = coupa.Backoff{Base: time.Second, Max: time.Minute}
	lastingBackoff   = coupa.Backoff{Base: 2 * time.Minute, Max: 15 * time.Minute}
	circuitJitter    = coupa.Backoff{Base: 30 * time.Minute, Max: 30 * time.Minute}
)

const (
	circuitOpensAt = 6
	circuitPause   = 45 * time.Minute
)

// Run polls until ctx ends. A failure stops this object alone:
// it is FAILED with the reason, and is tried again by itself.
func (p *poller) Run(ctx context.Context) {
	p.task.take()
	p.task.update(func(s *TaskStatus) {
		if s.State == Unassigned {
			s.State = Running
		}
	})
	var temporary, lasting int // failures in a row
	for {
		polls := p.task.Status().Polls
		err := p.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errReleased) {
			<-ctx.Done() // the shard is being rebuilt and ends this ownership
			return
		}
		if p.task.Status().Polls > polls {
			temporary, lasting = 0, 0
		}
		if blamesRecord(err) { // what is known of the topic may be why
			p.current.Store(nil)
			p.shard.w.topics.forget(p.object.Topic)
			p.shard.w.topics.forget(p.dead.topic)
		}
		var delay time.Duration
		if isTemporary(err) {
			delay = temporaryBackoff.Delay(temporary, retryAfter(err))
			temporary++
			p.heldUp(err, delay)
		} else {
			delay = lastingDelay(lasting)
			lasting++
			p.failed(err, delay, lasting >= circuitOpensAt)
		}
		if !sleep(ctx, delay) {
			return
		}
		p.again(isTemporary(err))
	}
}

// lastingDelay is how long a task that FAILED n times before,
// one after the other, waits until it restarts itself.
func lastingDelay(n int) time.Duration {
	if n+1 >= circuitOpensAt {
		return circuitPause + circuitJitter.Delay(0, 0)
	}
	return lastingBackoff.Delay(n, 0)
}

// failed says why the task does not run, and when it restarts itself.
func (p *poller) failed(err error, again time.Duration, open bool) {
	next := time.Now().Add(again)
	p.task.update(func(s *TaskStatus) {
		s.State, s.Trace, s.NextTry, s.CircuitOpen = Failed, err.Error(), next, open
	})
	p.task.failed(err)
	p.log.Error("the object has stopped", "error", err, "again_in", again.Round(time.Second), "circuit_open", open)
}

// again is called before another attempt.
func (p *poller) again(heldUp bool) {
	p.task.update(func(s *TaskStatus) {
		s.NextTry = time.Time{}
		if !heldUp {
			s.Restarts++
			s.Restarted++
		}
	})
}

// attempt works from the committed position until something fails: polls, and beside them
// first the backfill, then look-backs. Rows without updated-at are read whole instead.
func (p *poller) attempt(ctx context.Context) error {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	if isUnbegun(p.shard.position(p.stream), p.object) {
		if err := p.begin(ctx); err != nil {
			return err
		}
	}
	if err := p.noteLines(ctx); err != nil {
		return err
	}
	if err := p.sampleFirst(ctx); err != nil {
		return err
	}
	suspects := make(chan suspects)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.sampleOn(ctx) })
	if isWhole(p.object) {
		g.Go(func() error { return p.readWhole(ctx) })
		return g.Wait()
	}
	g.Go(func() error { return newFollower(p).run(ctx, suspects) })
	g.Go(func() error {
		if err := p.backfill(ctx); err != nil {
			return err
		}
		g.Go(func() error { return p.snapshots(ctx) })
		return p.lookBack(ctx, suspects)
	})
	return g.Wait()
}

// begin gives a new stream its first position. It is committed before anything is read,
// so that backfill and polls keep their common border whatever happens to either.
func (p *poller) begin(ctx context.Context) error {
	now, err := p.source.Now(ctx)
	if err != nil {
		return err
	}
	first := firstPosition(windowEnd(now, p.object), p.object)
	return p.record(ctx, func(pos *checkpoint.Position) {
		seq, epoch := pos.Seq, pos.LineEpoch
		*pos = first.Clone()
		pos.Seq, pos.LineTopics, pos.LineEpoch = seq, p.hasLines(), epoch
	})
}

// compareClocks warns, once per connector, when the two clocks are further apart than the overlap. That is
// harmless if this machine's clock is wrong. If Coupa's Date header runs ahead of the stamps on its rows,
// though, windows end before the rows of their time are there, and nothing but another clock shows it.
func (p *poller) compareClocks() {
	ahead := p.source.Ahead()
	if apart := ahead.Abs(); apart > p.object.Overlap {
		p.clocks.Do(func() {
			p.log.Warn("Coupa's clock and this machine's differ by more than overlap.ms; if Coupa stamps rows by another clock than its Date header shows, raise overlap.ms above the difference",
				"coupa", time.Now().Add(ahead).UTC(), "here", time.Now().UTC(), "apart", apart.Round(time.Second), "overlap", p.object.Overlap)
		})
	}
}

// isAhead tells whether a walk, if it is one over changes, ends in the
// future. It was planned by a clock that ran ahead and is back; waited for
// until then, it would leave what is stamped meanwhile behind the mark.
func (p *poller) isAhead(ctx context.Context, kind checkpoint.WalkKind, to time.Time) bool {
	if kind != checkpoint.Poll && kind != checkpoint.Lines {
		return false
	}
	now, err := p.source.Now(ctx)
	return err == nil && windowEnd(now, p.object).Add(clockSlack).Before(to)
}

// record commits a change of the position without records.
func (p *poller) record(ctx context.Context, move func(*checkpoint.Position)) error {
	done := make(chan error, 1)
	sub := &submission{
		stream: p.stream, task: p.task, move: move, keep: retention(p.object), dead: new(atomic.Bool), done: func(err error) { done <- err },
	}
	if err := p.submit(ctx, sub); err != nil {
		return err
	}
	return <-done
}

// submit hands a submission over that stands alone.
func (p *poller) submit(ctx context.Context, sub *submission) error {
	p.shard.startReading()
	defer p.shard.stopReading()
	select {
	case p.shard.in <- sub:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heldUp says what is being waited for, in the log and in the status.
func (p *poller) heldUp(err error, again time.Duration) {
	p.trouble.report(p.log, err, again)
	p.task.failed(err)
	p.task.update(func(s *TaskStatus) { s.Trace = "held up, goes on by itself: " + err.Error() })
}

// going records that Coupa has answered as it should.
func (p *poller) going() {
	p.trouble.over(p.log)
	p.task.answered()
	var was State
	p.task.update(func(s *TaskStatus) {
		was = s.State
		s.State, s.Trace, s.Restarts, s.CircuitOpen, s.NextTry = Running, "", 0, false, time.Time{}
	})
	if was == Failed {
		p.log.Info("the object is running again")
	}
}

// untilNextPoll puts the polls of a stream on a grid of its own,
// shifted by its name, so that a thousand streams do not ask at once.
func (p *poller) untilNextPoll(now time.Time) time.Duration {
	every := p.object.PollInterval
	shift := time.Duration(xxhash.Sum64String(p.stream.Tenant+"\x00"+p.stream.Object) % uint64(every))
	since := (time.Duration(now.UnixNano()) - shift) % every
	return every - since
}

// query is what every page of the stream is asked for with.
func (p *poller) query(priority coupa.Priority, w coupa.Window) coupa.Query {
	return coupa.Query{Path: p.stream.Object, Window: w, Priority: priority, Fields: p.fields()}
}

// published loads a part of the ledger. A ledger that can't be
// read ends the ownership: the store is made anew from the topic.
func (p *poller) published(from, to time.Time) (seen, error) {
	s, err := loadSeen(p.shard.store, p.stream, from, to)
	if err != nil {
		return seen{}, p.unreadable(err)
	}
	return s, nil
}

func (p *poller) unreadable(err error) error {
	p.shard.giveUp(fmt.Errorf("reading the ledger of %v: %w", p.stream, err))
	return fmt.Errorf("%w: %w", errReleased, err)
}

// trouble says once that something is wrong, again at most every 30 s, and once that it is over.
type trouble struct {
	mu    sync.Mutex
	since time.Time
	said  time.Time
	tries int
}

func (t *trouble) report(log *slog.Logger, err error, again time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.tries == 0 {
		t.since = now
	}
	t.tries++
	if t.said.IsZero() || now.Sub(t.said) >= 30*time.Second {
		t.said = now
		log.Warn("reading is held up; it goes on by itself", "error", err, "tries", t.tries, "again_in", again.Round(time.Millisecond))
	}
}

func (t *trouble) over(log *slog.Logger) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tries > 0 {
		log.Info("reading goes on", "after_tries", t.tries, "held_up", time.Since(t.since).Round(time.Second))
	}
	t.tries, t.said = 0, time.Time{}
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
