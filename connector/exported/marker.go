package exported

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/internal/failpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

const (
	// atOnce is how many rows' stamps are read by one request, and stampsFresh how long they
	// are good for: the fewer and shorter, the fewer changes fall between them and a mark.
	atOnce      = 20
	stampsFresh = time.Second
	// besides is how many marks are under way at once.
	besides = 4
	// lookAgain is how long a marker rests that has nothing to mark now.
	lookAgain = 10 * time.Second
	// countAgain is how often what waits is counted in a turn that is long.
	countAgain = time.Minute
)

// Source is one Coupa instance as a marker sees it. *coupa.Client is one.
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
	// MarkExported sets the flag of a row; repeated, it changes nothing.
	MarkExported(ctx context.Context, path string, id int64) error
}

// Shard is what a marker may do with its stream's shard, within an ownership.
type Shard interface {
	Submissions() chan<- *shard.Submission
	StartReading()
	StopReading()
	Position(checkpoint.Stream) checkpoint.Position
	Ledger() shard.Ledger
	GiveUp(error)
}

// Config is what a marker is made of.
type Config struct {
	Stream checkpoint.Stream
	Source Source
	Shard  Shard
	Task   *status.Task
	Keep   time.Duration // retention of the stream's ledger
	Log    *slog.Logger
}

// Marker marks the rows of one stream. One turn ends before the next one begins.
type Marker struct {
	Config
	lines string // collection of lines, as a filter spells it; "": there is none
	trouble
	counted time.Time
}

// New makes a marker.
func New(c Config) *Marker {
	resource, _ := coupa.LookupResource(c.Stream.Object)
	return &Marker{Config: c, lines: resource.Lines, trouble: trouble{held: map[int64]hold{}, unseen: map[int64]time.Time{}}}
}

// Turn marks what can be marked now, and tells how long to rest. An error is that of the shard,
// or of the context; what Coupa refuses is told in the status and is no error.
func (m *Marker) Turn(ctx context.Context) (time.Duration, error) {
	m.turn++
	m.counted = time.Time{}
	for after := int64(-1); ; {
		if err := m.count(); err != nil {
			return 0, err
		}
		batch, err := m.next(after)
		if err != nil {
			return 0, err
		}
		if len(batch) == 0 {
			m.over()
			m.tell()
			return lookAgain, nil
		}
		done, through, failed := m.mark(ctx, batch)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := m.handOver(ctx, done); err != nil {
			return 0, err
		}
		if failed != nil {
			rest := m.pause(failed)
			m.tell()
			return rest, nil
		}
		m.tell()
		after = through
	}
}

// next are the first rows behind an id whose turn it is: their stamps are settled, and nothing holds them.
func (m *Marker) next(after int64) (batch []record.Stamps, err error) {
	settled, now := m.settled(), time.Now()
	err = m.Shard.Ledger().Listed(m.Stream, record.Unmarked, after, func(row checkpoint.RowState) bool {
		stamps, _ := record.StampsIn(row)
		if stamps.Before(settled) && !m.holds(stamps, now) {
			batch = append(batch, stamps)
		}
		return len(batch) < atOnce
	})
	return batch, m.unreadable(err)
}

// settled is the instant before which every change is published that Coupa shows. While a backfill
// is read no walk looks for lines, and rows are settled by their own stamps.
func (m *Marker) settled() time.Time {
	pos := m.Shard.Position(m.Stream)
	if pos.Backfill == nil && pos.Lines.Before(pos.Mark) {
		return pos.Lines
	}
	return pos.Mark
}

// mark marks rows that are as they were published. done are those that need no mark any more; what lies
// behind the id through is left for the next batch. An error says that the turn is over.
func (m *Marker) mark(ctx context.Context, batch []record.Stamps) (done []record.Stamps, through int64, err error) {
	same, done, err := m.look(ctx, batch)
	if err != nil {
		return nil, 0, err
	}
	read, marked := time.Now(), 0
	for part := range slices.Chunk(same, besides) {
		if time.Since(read) > stampsFresh {
			return done, part[0].ID - 1, nil
		}
		var passing, lasting error
		for i, err := range m.export(ctx, part) {
			switch {
			case err == nil:
				marked++
				done = append(done, part[i])
			case status.IsTemporary(err):
				passing = err
			case ctx.Err() == nil:
				lasting, m.why = err, err
				m.hold(part[i], refusedAgain, true)
			}
		}
		switch {
		case passing != nil:
			return done, 0, passing
		case lasting != nil && marked == 0:
			return done, 0, lasting
		}
		m.works()
	}
	return done, batch[len(batch)-1].ID, nil
}

// look asks for the stamps of rows among those that do not have the flag. same are those that are
// as they were published, in order of id; done those that have it, whoever set it, or are gone.
func (m *Marker) look(ctx context.Context, batch []record.Stamps) (same, done []record.Stamps, err error) {
	q := coupa.Query{Path: m.Stream.Object, Filter: Unset(), Fields: `["id","updated_at"]`, Priority: coupa.PriorityBackfill}
	if m.lines != "" {
		q.Fields = fmt.Sprintf(`["id","updated_at",{%q:["updated_at"]}]`, m.lines)
	}
	shown := map[int64]record.Stamps{}
	if err := m.read(ctx, q, batch, func(r coupa.Row) { shown[r.ID] = record.StampsOf(r) }); err != nil {
		return nil, nil, err
	}
	var unseen []record.Stamps
	for _, stamps := range batch {
		switch now, seen := shown[stamps.ID]; {
		case !seen:
			unseen = append(unseen, stamps)
		case isAs(now, stamps):
			same = append(same, stamps)
		default:
			m.hold(stamps, movedAgain, false)
		}
	}
	if len(unseen) == 0 {
		return same, nil, nil
	}
	flags := map[int64]bool{}
	q.Filter, q.Fields = nil, `["id","updated_at","exported"]`
	if err := m.read(ctx, q, unseen, func(r coupa.Row) { flags[r.ID] = r.IsExported() }); err != nil {
		return nil, nil, err
	}
	for _, stamps := range unseen {
		switch flag, seen := flags[stamps.ID]; {
		case flag, !seen && m.isGone(stamps.ID):
			done = append(done, stamps)
		case !seen:
			m.hold(stamps, unseenAgain, false)
		}
	}
	return same, done, nil
}

// isAs tells whether a row is as it was published, by its stamps. The line that was stamped last may have
// been removed since. Where the row was published without stamps of lines, as by a mapping, they tell
// nothing.
func isAs(now, published record.Stamps) bool {
	return now.UpdatedAt == published.UpdatedAt && (published.LinesAt == 0 || now.LinesAt <= published.LinesAt)
}

// read asks for rows by their ids, until an answer without any shows that there are no more of them.
func (m *Marker) read(ctx context.Context, q coupa.Query, rows []record.Stamps, take func(coupa.Row)) error {
	for _, stamps := range rows {
		q.IDs = append(q.IDs, stamps.ID)
	}
	for len(q.IDs) > 0 {
		if err := failpoint.Before(failpoint.Stamps); err != nil {
			return err
		}
		left := slices.Clone(q.IDs)
		page, err := m.Source.Fetch(ctx, q, func(r coupa.Row) error {
			left = slices.DeleteFunc(left, func(id int64) bool { return id == r.ID })
			take(r)
			return nil
		})
		if err := errors.Join(err, failpoint.After(failpoint.Stamps)); err != nil || page.Empty {
			return err
		}
		q.IDs = left
	}
	return nil
}

// export marks rows side by side, and gives what came of each.
func (m *Marker) export(ctx context.Context, rows []record.Stamps) []error {
	outcomes := make([]error, len(rows))
	var marks sync.WaitGroup
	for i, stamps := range rows {
		marks.Go(func() {
			if outcomes[i] = failpoint.Before(failpoint.Export); outcomes[i] == nil {
				outcomes[i] = errors.Join(m.Source.MarkExported(ctx, m.Stream.Object, stamps.ID), failpoint.After(failpoint.Export))
			}
		})
	}
	marks.Wait()
	m.Task.Update(func(s *status.TaskStatus) {
		for _, err := range outcomes {
			if err != nil && ctx.Err() == nil {
				s.Marking.Failed++
			}
		}
	})
	return outcomes
}

// handOver commits that rows need no mark any more.
func (m *Marker) handOver(ctx context.Context, marked []record.Stamps) error {
	if len(marked) == 0 {
		return nil
	}
	if failpoint.Before(failpoint.Marked) != nil {
		return nil // they are met again, and have the flag
	}
	done := make(chan error, 1)
	sub := &shard.Submission{
		Stream: m.Stream, Task: m.Task, Marked: marked, Move: func(*checkpoint.Position) {}, Keep: m.Keep,
		Dead: new(atomic.Bool), Done: func(err error) { done <- err },
	}
	m.Shard.StartReading()
	defer m.Shard.StopReading()
	select {
	case m.Shard.Submissions() <- sub:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := errors.Join(<-done, failpoint.After(failpoint.Marked)); err != nil {
		return err
	}
	m.Task.Update(func(s *status.TaskStatus) {
		s.Marking.Marked += int64(len(marked))
		s.Marking.Waiting = max(0, s.Marking.Waiting-int64(len(marked)))
	})
	return nil
}

// count tells how many rows wait, once in a while.
func (m *Marker) count() error {
	if time.Since(m.counted) < countAgain {
		return nil
	}
	m.counted = time.Now()
	n, err := m.Shard.Ledger().CountListed(m.Stream, record.Unmarked)
	m.Task.Update(func(s *status.TaskStatus) { s.Marking.Waiting = n })
	return m.unreadable(err)
}

// unreadable ends the ownership where the local store can't be read: it is made anew from the topic.
func (m *Marker) unreadable(err error) error {
	if err == nil {
		return nil
	}
	m.Shard.GiveUp(fmt.Errorf("reading which rows of %v are to be marked: %w", m.Stream, err))
	return fmt.Errorf("%w: %w", shard.ErrReleased, err)
}
