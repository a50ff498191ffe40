package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

const (
	// SampleEvery is how often rows are read in full, for
	// custom fields that requests with `fields` do not show.
	SampleEvery = time.Hour
	// sampleRows are read with the schema's fields, those with the highest
	// ids, and fullRows of them in full: a full row can take megabytes.
	sampleRows = 50
	fullRows   = 3
	// sampleParents are asked for what is below them, where rows are below others: each takes a request.
	sampleParents = 10
)

// sample reads some rows, and a few of them in full, to know custom fields before the
// records that need them. What it can't read, the polls can't either, and they say so.
func (p *Poller) sample(ctx context.Context, priority coupa.Priority) error {
	if p.object.CustomFields == "off" {
		return nil
	}
	d, err := schemas.NewDiscovery(p.stream.Object)
	if err != nil {
		return err
	}
	mapper := p.object.Rewriter()
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
	highest, err := p.source.MaxID(ctx, coupa.Query{Path: p.stream.Object, Priority: priority})
	if err != nil || highest == 0 {
		return err
	}
	many := int64(sampleRows)
	if r, _ := coupa.LookupResource(p.stream.Object); r.Parent != "" {
		many = sampleParents
	}
	var ids, full []int64
	q := coupa.Query{Path: p.stream.Object, After: max(0, highest-many), Fields: p.maker.Fields(), Priority: priority}
	if err := p.fetchSome(ctx, q, observe(&ids)); err != nil {
		return err
	}
	if p.object.Fields != "all" && len(ids) > 0 {
		q = coupa.Query{Path: p.stream.Object, IDs: ids[max(0, len(ids)-fullRows):], Priority: priority}
		if err := p.fetchSome(ctx, q, observe(&full)); err != nil {
			return err
		}
	}
	return p.maker.Study(ctx, d)
}

// errUnsampled says that Coupa fails to send even a small sample.
var errUnsampled = errors.New("Coupa fails to send a sample of rows")

// fetchSome reads a page, a smaller one where Coupa fails to send it:
// a gateway may wait too long for fifty rows, or one of them be bad.
func (p *Poller) fetchSome(ctx context.Context, q coupa.Query, each func(coupa.Row) error) error {
	var err error
	for _, q.Limit = range []int{0, 10, 3, 1} {
		if _, err = p.source.Fetch(ctx, q, each); !coupa.Overtaxed(err) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", errUnsampled, err)
}

// noteRequests says, when it changes, that a page takes more than one request. What Coupa is asked for is
// measured with the longest conditions that polls have.
func (p *Poller) noteRequests() {
	resource, _ := coupa.LookupResource(p.stream.Object)
	now := time.Now().UTC().Truncate(time.Second)
	q := coupa.Query{Path: p.stream.Object, Fields: p.maker.Fields(), After: coupa.LongestID, Through: coupa.LongestID}
	if resource.UpdatedAt {
		q.Window.From, q.Window.To = now, now
	}
	if q.Lines = resource.Lines; q.Lines != "" {
		q.Window.From, q.LinesFrom = time.Time{}, now
	}
	n := p.source.Requests(q)
	if n == p.task.Status().PageRequests {
		return
	}
	p.task.Update(func(s *status.TaskStatus) { s.PageRequests = n })
	if n > 1 {
		p.log.Warn("the address of a request for all fields would be longer than servers take, so each page with rows takes several requests; "+
			"a mapping with choose or leave-out, custom.fields = off or fields = all makes it one", "requests", n)
	}
}

// sampleFirst samples before anything is read, unless that was done lately. A
// sample that fails for good is not waited for: whatever it is, polls and records
// tell, and a field that it would have shown is learned from the row that has it.
func (p *Poller) sampleFirst(ctx context.Context) error {
	if !p.sampled.IsZero() && time.Since(p.sampled) < SampleEvery {
		return nil
	}
	err := p.sample(ctx, coupa.PriorityPoll)
	switch {
	case err == nil:
		p.sampled = time.Now()
		return nil
	case !errors.Is(err, errUnsampled) && !slices.Contains([]coupa.Kind{coupa.BadRow, coupa.Misconfigured}, coupa.KindOf(err)):
		return err
	}
	p.log.Warn("no rows could be read to learn custom fields from; they are learned as rows come", "error", err)
	return nil
}

// sampleAgain samples now and then.
func (p *Poller) sampleAgain(ctx context.Context) (time.Duration, error) {
	if err := p.sample(ctx, coupa.PrioritySweep); err != nil && ctx.Err() == nil {
		p.log.Debug("no rows could be read to learn custom fields from", "error", err)
	}
	p.noteRequests()
	return SampleEvery, nil
}

// fitting is how many of the ids, counted from the first, are best asked for at once.
func (p *Poller) fitting(ids []int64) int {
	q := p.query(coupa.PriorityPoll, coupa.Window{})
	q.IDs = ids
	return p.source.Fits(q)
}
