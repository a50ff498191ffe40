package verify

import (
	"cmp"
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
	// idsPerPage is how many rows a page has at most. So many ids hold no more rows than that, so
	// that behind an empty answer nothing is shown of as many ids as rows were asked for.
	idsPerPage = 50
	// provenSteps is how many empty answers in a row are gone past
	// without leaving out an id; from there on, steps double.
	provenSteps = 40
	// longestStep is the most doublings of a step.
	longestStep = 40
)

// gaps are what a walk could not look at.
type gaps struct {
	skipped []Range
	failed  []int64 // rows that Coupa fails to send
}

// walk reads all rows of a collection. How it goes on is decided here and not taken from the
// poller's walks, so that no mistake is shared with what is compared. Only an empty answer ends it, and
// one below the highest id that is known does not: rows may be hidden, and a page full of these is empty.
func (cfg Config) walk(ctx context.Context, q coupa.Query, take func(coupa.Row), progress func(reading string, done, total int64)) (left gaps, err error) {
	var first int64 // id that it came to first
	highest, err := cfg.highest(ctx, q, 0)
	if err != nil {
		return left, err
	}
	for empty := 0; ; {
		page, failed, err := cfg.fetchNext(ctx, &q, take)
		if err != nil {
			return left, err
		}
		first = cmp.Or(first, q.After)
		progress("Coupa", min(q.After, highest)-first, highest-first)
		if failed > 0 {
			left.failed = append(left.failed, failed)
		}
		if failed > 0 || !page.Empty {
			empty = 0
			continue
		}
		if highest, err = cfg.highest(ctx, q, highest); err != nil {
			return left, err
		}
		size := cmp.Or(q.Limit, idsPerPage)
		if q.After >= highest {
			if size == idsPerPage {
				return left, nil
			}
			q.Limit = idsPerPage // fewer show no end
			if page, err = cfg.fetch(ctx, &q, take, tries); err != nil || page.Empty {
				return left, err
			}
			continue
		}
		proven := q.After + int64(size)
		step := int64(size) << min(max(0, empty-provenSteps+1), longestStep)
		q.After = max(proven, min(q.After+step, highest-1))
		if q.After > proven {
			left.skipped = append(left.skipped, Range{proven + 1, q.After})
		}
		empty++
	}
}

// fetchNext reads the next page of a walk. One that Coupa fails to send is asked for with half as many
// rows, the pages behind it with more again. A single row that it fails to send, and gives the id of, is
// gone past: failed.
func (cfg Config) fetchNext(ctx context.Context, q *coupa.Query, take func(coupa.Row)) (page coupa.Page, failed int64, err error) {
	for {
		size := cmp.Or(q.Limit, idsPerPage)
		turns := 2
		if size == 1 {
			turns = tries
		}
		if page, err = cfg.fetch(ctx, q, take, turns); err == nil {
			if !page.Empty {
				q.Limit = min(2*size, idsPerPage)
			}
			return page, 0, nil
		}
		if !coupa.Overtaxed(err) {
			return page, 0, err
		}
		if size > 1 {
			q.Limit = size / 2
			continue
		}
		only, cause := *q, err
		only.Fields = `["id"]`
		if page, err = cfg.fetch(ctx, &only, func(coupa.Row) {}, 1); err != nil || only.After <= q.After {
			return page, 0, cause
		}
		q.After = only.After
		return page, only.After, nil
	}
}

// highest is the highest id that is known, when known is what was known before. It is asked for when a
// walk begins, and anew once it has come to it: the row that has it may have been left out, or have come
// meanwhile.
func (cfg Config) highest(ctx context.Context, q coupa.Query, known int64) (int64, error) {
	if q.After < known {
		return known, nil
	}
	var id int64
	err := patiently(ctx, tries, func() (err error) {
		id, err = cfg.Source.MaxID(ctx, coupa.Query{Path: q.Path, Priority: q.Priority, Window: q.Window})
		return err
	})
	return max(known, id), err
}

// ask reads rows by their ids, as many at once as a request has room for. What did not come is asked for
// again until nothing comes: that alone shows that it is not there. failed are those that Coupa fails to
// send.
func (cfg Config) ask(ctx context.Context, q coupa.Query, ids []int64, take func(coupa.Row)) (failed []int64, err error) {
	for len(ids) > 0 {
		q.IDs = ids
		list := ids[:cfg.Source.Fits(q)]
		ids = ids[len(list):]
		some, err := cfg.askList(ctx, q, list, take)
		if failed = append(failed, some...); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// askList is ask of so many ids that one request has room for them. A list whose
// answer Coupa fails to send is asked for in two halves.
func (cfg Config) askList(ctx context.Context, q coupa.Query, ids []int64, take func(coupa.Row)) (failed []int64, err error) {
	turns := 2
	if len(ids) == 1 {
		turns = tries
	}
	left := slices.Clone(ids)
	for came := true; came && len(left) > 0; {
		came = false
		q.IDs = slices.Clone(left)
		if _, err = cfg.fetch(ctx, &q, func(r coupa.Row) {
			came = true
			left = slices.DeleteFunc(left, func(id int64) bool { return id == r.ID })
			take(r)
		}, turns); err != nil {
			break
		}
	}
	switch {
	case !coupa.Overtaxed(err) || len(left) == 0:
		return nil, err
	case len(left) > 1:
		first, err := cfg.askList(ctx, q, left[:len(left)/2], take)
		if err != nil {
			return first, err
		}
		second, err := cfg.askList(ctx, q, left[len(left)/2:], take)
		return append(first, second...), err
	}
	q.IDs, q.Fields = left, `["id"]`
	page, again := cfg.fetch(ctx, &q, func(coupa.Row) {}, 1)
	switch {
	case again != nil:
		return nil, err
	case page.Empty: // it is gone meanwhile
		return nil, nil
	}
	return left, nil
}

// fetch reads a page and moves q behind it, in so many turns as patiently has them.
func (cfg Config) fetch(ctx context.Context, q *coupa.Query, row func(coupa.Row), turns int) (page coupa.Page, err error) {
	err = patiently(ctx, turns, func() (err error) {
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

// tries is how often something is tried in turn: for some minutes.
const tries = 9

// patiently tries what Coupa fails to do for a cause that passes: so many turns where
// it may have been asked for too much at once, which less would show, else tries.
func patiently(ctx context.Context, turns int, do func() error) error {
	for try := 0; ; {
		err := do()
		if try++; !passes(err) || try == tries || try >= turns && coupa.Overtaxed(err) {
			return err
		}
		if !clock.Sleep(ctx, backoff.Delay(try-1, 0)) {
			return ctx.Err()
		}
	}
}

// passes tells whether Coupa fails to do something for a cause that passes.
func passes(err error) bool {
	kind := coupa.KindOf(err)
	return err != nil && (kind == coupa.Retry || kind == coupa.Throttled)
}
