package stream

import (
	"context"
	"time"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/coupa"
)

// Source is one Coupa instance as a poller sees it. Calls may
// run side by side; each observes ctx. Retrying is the caller's.
type Source interface {
	// Fetch reads one page and yields its rows in order of id as they arrive.
	// Rows up to Page.LastID were yielded even when an error is returned.
	Fetch(ctx context.Context, q coupa.Query, yield func(coupa.Row) error) (coupa.Page, error)
	// MaxID is the highest id that fits the query, 0 when nothing does.
	MaxID(ctx context.Context, q coupa.Query) (int64, error)
	// MinID is the lowest one; of rows that can't be sent otherwise, too.
	MinID(ctx context.Context, q coupa.Query) (int64, error)
	// Fits is how many of q.IDs, counted from the first, are best asked for at once.
	Fits(q coupa.Query) int
	// Requests is how many requests a page of q takes.
	Requests(q coupa.Query) int
	// MarkExported sets the exported flag of a row; repeated, it changes nothing.
	MarkExported(ctx context.Context, path string, id int64) error
	// Now is a lower bound of Coupa's clock.
	Now(ctx context.Context) (time.Time, error)
	// Found is the rate that was last found to be the limit, in requests a second; 0: none
	// was. Remember begins with one that was found before.
	Found() float64
	Remember(rps float64)
	// Granted are the scopes of the present token.
	Granted() string
	// Ready returns when Fetch need not wait for a token, and sees to it
	// that there is a fresh one in good time, even if nothing is fetched.
	Ready(ctx context.Context) error

	status.Source
}
