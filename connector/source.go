package connector

import (
	"context"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
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
	// Now is a lower bound of Coupa's clock.
	Now(ctx context.Context) (time.Time, error)
	// Ready returns when Fetch need not wait for a token, and sees to it
	// that there is a fresh one in good time, even if nothing is fetched.
	Ready(ctx context.Context) error

	// Ahead, Pace, Token and Answers ask nothing of Coupa. They tell how far its clock is ahead of this machine's,
	// how the limiter stands, how the token does, and how the requests for an object were answered.
	Ahead() time.Duration
	Pace() coupa.LimiterStats
	Token() coupa.TokenStats
	Answers(object string) map[string]uint64
}

// Ledger answers what was published: entries of one stream with from ≤ updated-at < to (unix
// seconds), in order of updated-at. It shows every commit that was acknowledged before the call.
type Ledger interface {
	Range(s checkpoint.Stream, from, to int64, fn func(checkpoint.Entry) bool) error
}

// Registry turns a schema's text into the id that goes in front of each record.
type Registry interface {
	// Register adds the schema to the subject if it is not
	// there yet. Lookup only asks: the schema must be there.
	Register(ctx context.Context, subject, schema string) (int, error)
	Lookup(ctx context.Context, subject, schema string) (int, error)
	// Latest is the text of the subject's last version, "" where there is none.
	Latest(ctx context.Context, subject string) (string, error)
}
