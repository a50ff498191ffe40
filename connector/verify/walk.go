package verify

import (
	"context"
	"slices"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/coupa"
)

// Source is one Coupa instance as it is compared, see [coupa.Client].
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
	MaxID(ctx context.Context, q coupa.Query) (int64, error)
	Now(ctx context.Context) (time.Time, error)
	Fits(q coupa.Query) int
}

const (
	// idsPerPage is how many rows a page has at most. So many ids hold no more rows than
	// a page, so that behind an empty answer nothing is shown of as many ids.
	idsPerPage = 50
	// provenSteps is how many empty answers in a row are gone past
	// without leaving out an id; from there on, steps double.
	provenSteps = 40
	// longestStep is the most doublings of a step.
	longestStep = 40
)

// walk reads all rows of a collection. How it goes on is decided here and not taken from the
// poller's walks, so that no mistake is shared with what is compared. Only an empty answer ends it, and
// one below the highest id that is known does not: rows may be hidden, and a page full of these is empty.
func (cfg Config) walk(ctx context.Context, q coupa.Query, take func(coupa.Row), progress func()) (skipped []Range, err error) {
	highest, err := cfg.highest(ctx, q, 0)
	if err != nil {
		return nil, err
	}
	for empty := 0; ; {
		page, err := cfg.fetch(ctx, &q, take)
		if err != nil {
			return skipped, err
		}
		progress()
		if !page.Empty {
			empty = 0
			continue
		}
		if highest, err = cfg.highest(ctx, q, highest); err != nil || q.After >= highest {
			return skipped, err
		}
		proven := q.After + idsPerPage
		step := int64(idsPerPage) << min(max(0, empty-provenSteps+1), longestStep)
		q.After = max(proven, min(q.After+step, highest-1))
		if q.After > proven {
			skipped = append(skipped, Range{proven + 1, q.After})
		}
		empty++
	}
}

// highest is the highest id that is known, when known is what was known before. It is asked for when a walk
// begins, and anew once it has come to it: the row that has it may have been left out, or have come meanwhile.
func (cfg Config) highest(ctx context.Context, q coupa.Query, known int64) (int64, error) {
	if q.After < known {
		return known, nil
	}
	var id int64
	err := patiently(ctx, func() (err error) {
		id, err = cfg.Source.MaxID(ctx, coupa.Query{Path: q.Path, Priority: q.Priority})
		return err
	})
	return max(known, id), err
}

// ask reads rows by their ids, as many at once as a request has room for. What did
// not come is asked for again until nothing comes: that alone shows that it is not there.
func (cfg Config) ask(ctx context.Context, q coupa.Query, ids []int64, take func(coupa.Row)) error {
	for len(ids) > 0 {
		q.IDs = ids
		left := slices.Clone(ids[:cfg.Source.Fits(q)])
		ids = ids[len(left):]
		for came := true; came && len(left) > 0; {
			came = false
			q.IDs = slices.Clone(left)
			if _, err := cfg.fetch(ctx, &q, func(r coupa.Row) {
				came = true
				left = slices.DeleteFunc(left, func(id int64) bool { return id == r.ID })
				take(r)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch reads a page and moves q behind it. What passes by itself is waited out for some minutes.
func (cfg Config) fetch(ctx context.Context, q *coupa.Query, row func(coupa.Row)) (page coupa.Page, err error) {
	err = patiently(ctx, func() (err error) {
		page, err = cfg.Source.Fetch(ctx, *q, func(r coupa.Row) error {
			row(r)
			if q.IDs == nil {
				q.After = r.Reached()
			}
			return nil
		})
		if q.IDs == nil {
			q.After = max(q.After, page.LastID)
		}
		return err
	})
	return page, err
}

// backoff is between tries of what failed for a cause that passes.
var backoff = clock.Backoff{Base: time.Second, Max: 30 * time.Second}

// tries is how often something is tried in turn.
const tries = 8

// patiently tries what Coupa fails to do for a cause that passes.
func patiently(ctx context.Context, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		kind := coupa.KindOf(err)
		if err == nil || try == tries || kind != coupa.Retry && kind != coupa.Throttled {
			return err
		}
		if !clock.Sleep(ctx, backoff.Delay(try, 0)) {
			return ctx.Err()
		}
	}
}
