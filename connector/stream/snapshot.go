package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/chores"
	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// A snapshot that somebody asks for reads rows as they are and publishes them, whether or not they
// were published before. Its window ends behind what the polls have published, and of what is ahead of the
// mark it publishes what the ledger knows, so that it publishes no version before the polls do. What the
// polls publish meanwhile of a row takes out what it has read of it before (Shard.receive). Requests stand
// in the position with what is left of them: they survive whatever the stream survives, and each row goes
// out once for each request.

const (
	// openRequests may wait for their turn at once.
	openRequests = 20
	// MaxFilter is how many bytes of further conditions a request may have. They
	// go into Coupa's URL, and into every position until the request is forgotten.
	MaxFilter = 4096
)

// asking is the request that is being worked on.
type asking struct {
	mu    sync.Mutex
	id    string
	stop  context.CancelFunc
	total int64
	speed status.Speed
}

func (a *asking) begin(id string, stop context.CancelFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id != id {
		a.total, a.speed = 0, status.Speed{}
	}
	a.id, a.stop = id, stop
}

// end stops the work on a request, if it is that one.
func (a *asking) end(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id == id && a.stop != nil {
		a.stop()
	}
}

func (a *asking) progress(done, total int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total = total
	a.speed.Note(time.Now(), done)
}

// left is what is known of a request's end.
func (a *asking) left(r checkpoint.Request) (total int64, left time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.id != r.ID || r.State != checkpoint.RequestRunning || r.Walk == nil || r.IDs != nil || a.total == 0 {
		return 0, 0
	}
	return a.total, a.speed.Left(a.total - r.Walk.Rows)
}

// snapshots works on the requests in the position, one after the other.
func (p *Poller) snapshots(ctx context.Context) (time.Duration, error) {
	persisted := time.Now()
	for {
		pos := p.shard.Position(p.stream)
		i := slices.IndexFunc(pos.Requests, func(r checkpoint.Request) bool { return r.State == checkpoint.RequestRunning })
		if i < 0 {
			return chores.Never, nil
		}
		working, stop := context.WithCancel(ctx)
		p.ask.begin(pos.Requests[i].ID, stop)
		err := p.snapshot(working, pos.Requests[i], pos, &persisted)
		stopped := working.Err() != nil
		stop()
		switch {
		case ctx.Err() != nil:
			return chores.Never, ctx.Err()
		case err == nil || stopped: // paused, cancelled or at the end of a part
		case errors.Is(err, shard.ErrReleased) || errors.Is(err, shard.ErrOvertaken) || status.IsTemporary(err):
			return chores.Never, err
		default:
			if err := p.giveUpSnapshot(ctx, pos.Requests[i], err); err != nil {
				return chores.Never, err
			}
		}
	}
}

// snapshot carries out a request: all of it, or the next ids of those that were asked for.
func (p *Poller) snapshot(ctx context.Context, r checkpoint.Request, pos checkpoint.Position, persisted *time.Time) error {
	filter, err := url.ParseQuery(r.Filter)
	if err != nil {
		return err
	}
	walk := checkpoint.Walk{Kind: checkpoint.Asked, From: r.From, To: r.To, Ranges: everything()}
	if r.Walk != nil {
		walk = *r.Walk
	}
	ask := p.query(snapshotRules.priority, coupa.Window{From: walk.From, To: walk.To})
	ask.Filter, ask.IDs = filter, r.IDs
	part := p.source.Fits(ask)
	for part > 0 && part < len(r.IDs) && r.IDs[part-1] < walk.Ranges[0].After {
		part++ // more had room before
	}
	ids := r.IDs[:part]
	ask.IDs = ids
	finish := func(rows int64) func(pos *checkpoint.Position) {
		return func(pos *checkpoint.Position) {
			at := pos.Request(r.ID)
			if at == nil || at.Over() {
				return
			}
			at.Walk = nil
			at.Rows += rows
			if at.IDs = slices.Clone(at.IDs[len(ids):]); len(at.IDs) == 0 {
				at.State, at.Ended, at.IDs = checkpoint.RequestDone, time.Now().UTC(), nil
				if at.All && p.task.Status().Undated == 0 { // rows without updated-at are in no window
					pos.Topics = checkpoint.Filled(pos.Topics, at.Asked)
				}
			}
		}
	}
	// all of them were handed over before a crash
	if len(ids) > 0 && ids[len(ids)-1] <= walk.Ranges[0].After {
		return p.record(ctx, finish(walk.Rows))
	}
	published, err := p.published(pos.Mark, time.Time{})
	if err != nil {
		return err
	}
	ask.Over = pos.Mark
	ps := &pass{
		p: p, rules: snapshotRules, seen: published, mark: pos.Mark, walk: walk, ask: ask,
		progress: p.ask.progress, horizon: pos.Mark.Add(-retention(p.object)).Unix(), persisted: persisted,
		place: func(pos *checkpoint.Position) **checkpoint.Walk {
			if at := pos.Request(r.ID); at != nil && !at.Over() {
				return &at.Walk
			}
			return new(*checkpoint.Walk) // it was cancelled meanwhile
		},
	}
	if len(ids) > 0 && walk.From.IsZero() { // some may have no updated-at
		ps.rules, ps.ask.Window, ps.ask.Over = idsRules, coupa.Window{}, time.Time{}
	}
	ps.finish = func(pos *checkpoint.Position) { finish(ps.walk.Rows)(pos) }
	p.log.Info("a snapshot is read", "snapshot", r.ID)
	return ps.carryOut(ctx)
}

// giveUpSnapshot ends a request that can't be carried out; the object goes on.
func (p *Poller) giveUpSnapshot(ctx context.Context, r checkpoint.Request, why error) error {
	p.log.Error("the snapshot has failed", "snapshot", r.ID, "error", why)
	return p.record(ctx, func(pos *checkpoint.Position) {
		if at := pos.Request(r.ID); at != nil && !at.Over() {
			at.End(checkpoint.RequestFailed)
			at.Why = why.Error()
		}
	})
}

// poke tells the poller that its requests have changed.
func (p *Poller) poke() {
	if c := p.asked.Load(); c != nil {
		c.Soon()
	}
}

// AskFor takes a request for rows of the stream. It is kept when it returns, and worked on
// while the stream is read, after those before it. config.Problems if it can't be carried out.
func (p *Poller) AskFor(ctx context.Context, r status.SnapshotRequest) (status.Snapshot, error) {
	if err := p.checkSnapshot(r); err != nil {
		return status.Snapshot{}, err
	}
	pos := p.shard.Position(p.stream)
	if isUnbegun(pos, p.object) {
		return status.Snapshot{}, fmt.Errorf("%w: %s has not begun yet, and its first walk publishes all rows", shard.ErrBusy, r.Object)
	}
	if n := len(slices.DeleteFunc(slices.Clone(pos.Requests), checkpoint.Request.Over)); n >= openRequests {
		return status.Snapshot{}, fmt.Errorf("%w: %d snapshots of %s wait already", shard.ErrBusy, n, r.Object)
	}
	asked := checkpoint.Request{
		ID: rand.Text(), State: checkpoint.RequestRunning, Asked: time.Now().UTC().Truncate(time.Millisecond), Filter: r.Filter.Encode(),
		IDs: slices.Compact(slices.Sorted(slices.Values(r.IDs))), From: r.From.UTC().Truncate(time.Second),
		All: r.From.IsZero() && r.To.IsZero() && len(r.IDs) == 0 && len(r.Filter) == 0,
	}
	end, err := p.publishedEnd(pos)
	if err != nil {
		return status.Snapshot{}, err
	}
	err = p.record(ctx, func(pos *checkpoint.Position) {
		if asked.To = clock.Later(end, pos.Mark); !r.To.IsZero() && r.To.Before(asked.To) {
			asked.To = r.To.UTC().Truncate(time.Second)
		}
		pos.AddRequest(asked)
	})
	if err != nil {
		return status.Snapshot{}, err
	}
	p.poke()
	return p.told(asked), nil
}

// publishedEnd is behind all that polls have published: the mark, or where they have read ahead of it.
func (p *Poller) publishedEnd(pos checkpoint.Position) (time.Time, error) {
	published, err := p.published(pos.Mark, time.Time{})
	end := pos.Mark
	for _, at := range published.latest {
		end = clock.Later(end, time.Unix(at+1, 0).UTC())
	}
	return end, err
}

// checkSnapshot tells what is wrong with a request for rows of the stream.
func (p *Poller) checkSnapshot(r status.SnapshotRequest) error {
	problem := func(key, value, message, remedy string) error {
		return config.Problems{{Key: key, Value: value, Message: message, Remedy: remedy}}
	}
	switch {
	case p.object.IsWhole():
		return problem("object", r.Object, "has no updated-at and is read whole", "reset its offset: all its rows are published again")
	case !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To):
		return problem("to", r.To.UTC().Format(time.RFC3339), "is not after from", "give a window that holds something")
	case len(r.IDs) > status.MaxSnapshotIDs:
		return problem("ids", "", fmt.Sprintf("%d ids are too many", len(r.IDs)), fmt.Sprintf("ask for at most %d at a time", status.MaxSnapshotIDs))
	case len(r.Filter.Encode()) > MaxFilter:
		return problem("filter", "", fmt.Sprintf("%d bytes are too many", len(r.Filter.Encode())), fmt.Sprintf("give conditions of at most %d bytes; ids have a key of their own", MaxFilter))
	case len(r.IDs) > 0 && slices.Min(r.IDs) <= 0:
		return problem("ids", fmt.Sprint(slices.Min(r.IDs)), "ids are above 0", "give ids of rows")
	}
	q := coupa.Query{Path: r.Object, Filter: r.Filter, IDs: r.IDs[:min(len(r.IDs), pageRows)]}
	if err := q.Check(); err != nil {
		return problem("filter", "", err.Error(), "give conditions as Coupa spells them, e.g. status=approved")
	}
	return nil
}

// ListSnapshots are the snapshots that wait, are worked on, or have ended not long ago.
func (p *Poller) ListSnapshots() []status.Snapshot {
	var all []status.Snapshot
	for _, r := range p.shard.Position(p.stream).Requests {
		all = append(all, p.told(r))
	}
	return all
}

func (p *Poller) told(r checkpoint.Request) status.Snapshot {
	s := status.Snapshot{
		ID: r.ID, Object: p.stream.Object, State: r.State, Asked: r.Asked, Ended: r.Ended, From: r.From, To: r.To, Filter: r.Filter, Rows: r.Rows, Why: r.Why,
	}
	if r.Walk != nil {
		s.Rows += r.Walk.Rows
	}
	s.Total, s.Left = p.ask.left(r)
	if r.IDs != nil {
		s.Total = s.Rows + int64(len(r.IDs))
	}
	return s
}

// HasSnapshot tells whether there is one of the id that has not ended.
func (p *Poller) HasSnapshot(id string) bool {
	pos := p.shard.Position(p.stream)
	at := pos.Request(id)
	return at != nil && !at.Over()
}

// SetSnapshot pauses a snapshot, resumes or cancels it.
func (p *Poller) SetSnapshot(ctx context.Context, id string, state checkpoint.RequestState) error {
	err := p.record(ctx, func(pos *checkpoint.Position) {
		switch at := pos.Request(id); {
		case at == nil || at.Over():
		case state == checkpoint.RequestCancelled:
			at.End(state)
		default:
			at.State = state
		}
	})
	if err != nil {
		return err
	}
	if state != checkpoint.RequestRunning {
		p.ask.end(id)
	}
	p.poke()
	return nil
}
