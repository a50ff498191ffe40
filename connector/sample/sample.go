// Package sample reads some rows of a stream in full, now and then, to learn its custom fields before the
// records that need them, and tells how many requests a page takes. It publishes nothing and keeps nothing
// that would have to outlast the process. A [Sampler] belongs to one stream, and has no goroutine.
package sample

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

const (
	// Every is how often rows are read in full, for
	// custom fields that requests with `fields` do not show.
	Every = time.Hour
	// sampleRows are read with the schema's fields, those with the highest
	// ids, and fullRows of them in full: a full row can take megabytes.
	sampleRows = 50
	fullRows   = 3
	// sampleParents are asked for what is below them, where rows are below others: each takes a request.
	sampleParents = 10
)

// Sampler learns custom fields of one stream.
type Sampler struct {
	Object *config.Object
	Source Source
	Maker  *record.Maker // learns them
	Task   *status.Task
	Log    *slog.Logger

	sampled time.Time // by First
}

// Source is what of Coupa it asks.
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
	MaxID(ctx context.Context, q coupa.Query) (int64, error)
	Requests(q coupa.Query) int
}

// sample reads some rows, and a few of them in full, to know custom fields before the
// records that need them. What it can't read, the polls can't either, and they say so.
func (s *Sampler) sample(ctx context.Context, priority coupa.Priority) error {
	if s.Object.CustomFields == "off" {
		return nil
	}
	d, err := schemas.NewDiscovery(s.Object.Path)
	if err != nil {
		return err
	}
	mapper := s.Object.Rewriter()
	observe := func(ids *[]int64) func(coupa.Row) error {
		return func(r coupa.Row) error {
			if id := cmp.Or(r.Parent, r.ID); !slices.Contains(*ids, id) {
				*ids = append(*ids, id)
			}
			row := r.JSON
			if mapper != nil {
				var err error
				if row, err = mapper.Guarded(row); err != nil {
					return nil // nothing of it may be learned; the polls tell why
				}
			}
			return d.Observe(row)
		}
	}
	highest, err := s.Source.MaxID(ctx, coupa.Query{Path: s.Object.Path, Priority: priority})
	if err != nil || highest == 0 {
		return err
	}
	many := int64(sampleRows)
	if r, _ := coupa.LookupResource(s.Object.Path); r.Parent != "" {
		many = sampleParents
	}
	var ids, full []int64
	q := coupa.Query{Path: s.Object.Path, After: max(0, highest-many), Fields: s.Maker.Fields(), Priority: priority}
	if err := s.fetchSome(ctx, q, observe(&ids)); err != nil {
		return err
	}
	if s.Object.Fields != "all" && len(ids) > 0 {
		q = coupa.Query{Path: s.Object.Path, IDs: ids[max(0, len(ids)-fullRows):], Priority: priority}
		if err := s.fetchSome(ctx, q, observe(&full)); err != nil {
			return err
		}
	}
	return s.Maker.Study(ctx, d)
}

// errUnsampled says that Coupa fails to send even a small sample.
var errUnsampled = errors.New("Coupa fails to send a sample of rows")

// fetchSome reads a page, a smaller one where Coupa fails to send it:
// a gateway may wait too long for fifty rows, or one of them be bad.
func (s *Sampler) fetchSome(ctx context.Context, q coupa.Query, each func(coupa.Row) error) error {
	var err error
	for _, q.Limit = range []int{0, 10, 3, 1} {
		if _, err = s.Source.Fetch(ctx, q, each); !coupa.Overtaxed(err) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errUnsampled, err)
}

// NoteRequests says, when it changes, that a page takes more than one request. What Coupa is asked for is
// measured with the longest conditions that polls have.
func (s *Sampler) NoteRequests() {
	resource, _ := coupa.LookupResource(s.Object.Path)
	now := time.Now().UTC().Truncate(time.Second)
	q := coupa.Query{Path: s.Object.Path, Fields: s.Maker.Fields(), After: coupa.LongestID, Through: coupa.LongestID}
	if resource.UpdatedAt {
		q.Window.From, q.Window.To = now, now
	}
	if q.Lines = resource.Lines; q.Lines != "" {
		q.Window.From, q.LinesFrom = time.Time{}, now
	}
	n := s.Source.Requests(q)
	if n == s.Task.Status().PageRequests {
		return
	}
	s.Task.Update(func(t *status.TaskStatus) { t.PageRequests = n })
	if n > 1 {
		s.Log.Warn("the address of a request for all fields would be longer than servers take, so each page with rows takes several requests; "+
			"a mapping with choose or leave-out, custom.fields = off or fields = all makes it one", "requests", n)
	}
}

// First samples before anything is read, unless that was done lately. A
// sample that fails for good is not waited for: whatever it is, polls and records
// tell, and a field that it would have shown is learned from the row that has it.
func (s *Sampler) First(ctx context.Context) error {
	if !s.sampled.IsZero() && time.Since(s.sampled) < Every {
		return nil
	}
	err := s.sample(ctx, coupa.PriorityPoll)
	switch {
	case err == nil:
		s.sampled = time.Now()
		return nil
	case !errors.Is(err, errUnsampled) && !slices.Contains([]coupa.Kind{coupa.BadRow, coupa.Misconfigured}, coupa.KindOf(err)):
		return err
	}
	s.Log.Warn("no rows could be read to learn custom fields from; they are learned as rows come", "error", err)
	return nil
}

// Again samples now and then.
func (s *Sampler) Again(ctx context.Context) (time.Duration, error) {
	if err := s.sample(ctx, coupa.PrioritySweep); err != nil && ctx.Err() == nil {
		s.Log.Debug("no rows could be read to learn custom fields from", "error", err)
	}
	s.NoteRequests()
	return Every, nil
}
