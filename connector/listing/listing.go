// Package listing goes through the rows that fit a query by id, for those who publish nothing of them:
// look-backs, searches for rows without updated-at, sweeps. It has no goroutine and keeps no row.
package listing

import (
	"context"
	"time"

	"github.com/coupastream/coupastream/connector/internal/clock"
	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// PageRows is how many rows a page of Coupa holds at most.
const PageRows = 50

// surelyEmpty is how many empty pages in a row are stepped over one by one.
const surelyEmpty = 40

// Step is how many ids a walk goes on by after the n-th empty page in a row, below the highest
// id there is. Fifty ids are at most fifty rows, so that nothing which Coupa shows can lie in a step.
// Where thousands of ids show nothing, the steps double: a range that has never been used has no end else.
func Step(n int) int64 {
	if n <= surelyEmpty {
		return PageRows
	}
	return PageRows << min(n-surelyEmpty, 40)
}

// backoff is how long trouble that passes is waited out.
var backoff = clock.Backoff{Base: time.Second, Max: 30 * time.Second}

// Source is what of Coupa it asks.
type Source interface {
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
	MaxID(ctx context.Context, q coupa.Query) (int64, error)
}

// List is a walk of which nothing is kept but what its caller makes of its rows.
type List struct {
	coupa.Query // After is how far it is
	Source      Source
	Gap         func(after, through int64) // hears of ids that were not asked for, see Step
	Done        bool

	size  int   // of sizes: how many rows are asked for at once
	good  int   // pages in a row that Coupa sent of that size
	empty int   // pages in a row that were empty
	maxID int64 // the highest id that fits the query, once it was asked for
}

// sizes are how many rows are asked for at once, 0 being a page: fewer where Coupa, or a gateway before it,
// fails to send that many.
var sizes = []int{0, 20, 5, 1}

// growAfter is how many pages are read of a size until a larger one is tried.
const growAfter = 50

// Page reads the next page, or a part of it. Trouble that passes is waited out. A
// page that fails on the way may give some of its rows and go on behind them.
func (l *List) Page(ctx context.Context, row func(coupa.Row)) error {
	for tries := 0; ; tries++ {
		err := l.page(ctx, row)
		if coupa.Overtaxed(err) && l.size < len(sizes)-1 {
			l.size, l.good = l.size+1, 0
			continue
		}
		if err == nil || ctx.Err() != nil || !status.IsTemporary(err) {
			return err
		}
		if !clock.Sleep(ctx, backoff.Delay(tries, coupa.RetryAfter(err))) {
			return ctx.Err()
		}
	}
}

// page reads one. An empty one below the highest id is stepped over.
func (l *List) page(ctx context.Context, row func(coupa.Row)) error {
	ask := l.Query
	ask.Limit = sizes[l.size]
	page, err := l.Source.Fetch(ctx, ask, func(r coupa.Row) error {
		if r.StampErr == nil {
			row(r)
		}
		l.After = r.ID
		return nil
	})
	switch {
	case err != nil:
		return err
	case l.size > 0: // an empty answer to a request for fewer rows than a page shows no end
		if l.good++; page.Empty || l.good >= growAfter {
			l.size, l.good = l.size-1, 0
		}
		return nil
	case !page.Empty:
		l.empty = 0
		return nil
	case l.maxID == 0:
		q := l.Query
		q.After = 0
		if l.maxID, err = l.Source.MaxID(ctx, q); err != nil {
			return err
		}
	}
	l.empty++
	step := Step(l.empty)
	if step > PageRows && l.After+PageRows < l.maxID {
		l.Gap(l.After+PageRows, min(l.After+step, l.maxID))
	}
	l.After += step
	l.Done = l.After >= l.maxID
	return nil
}
