package coupa

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Client reads one Coupa instance. It is safe for concurrent use and needs no closing.
type Client struct {
	cfg     Config
	base    *url.URL
	http    *http.Client
	apart   *http.Client // for requests that may cost their connection
	lines   lines
	limiter *Limiter
	clock   clock
	tokens  *tokens
	room    room

	collections sync.Map // path → *collection
	counters    counters
}

// counters are what [Client.Stats] shows.
type counters struct {
	requests  atomic.Uint64
	byClass   [6]atomic.Uint64
	throttled atomic.Uint64
	retries   atomic.Uint64
	tokens    atomic.Uint64
	refused   atomic.Uint64
	rows      atomic.Uint64
	bytes     atomic.Uint64
}

// Stats counts what a client did since it was made.
type Stats struct {
	Requests      uint64    // API requests, token requests not counted
	ByClass       [6]uint64 // their answers by status/100; [0]: no answer
	Throttled     uint64    // answers 429 and 503
	Retries       uint64    // requests repeated at once because of a 401
	Tokens        uint64    // tokens issued
	TokenFailures uint64    // token requests that failed
	Rows          uint64    // rows handed out
	Bytes         uint64    // bytes of their pages after decompression
	Rate          float64   // present rate of the limiter in requests a second; 0: no limit
}

// New returns a client. It sends nothing; an error names every problem of cfg at once.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:     cfg,
		base:    base,
		limiter: cfg.Limiter,
		http:    &http.Client{Transport: cfg.Transport, CheckRedirect: sameHostOnly},
		room:    room{large: cfg.LargeRows},
		apart:   &http.Client{Transport: cfg.Apart, CheckRedirect: sameHostOnly},
	}
	c.tokens = newTokens(c.minter())
	return c, nil
}

// Now returns a lower bound of Coupa's clock, UTC: the Date of an answer and the time that has passed
// since by the local monotonic clock, for whichever answer of the last minutes makes it earliest. Where
// there was no answer yet it gets a token, whose answer has a Date, so it never costs an API request.
//
// Where Coupa's clock is more than a minute ahead of this machine's, one of the two is wrong, and Now is
// this machine's: a window that ended by a Date in the future would leave out what is stamped until then.
// [Client.Ahead] says so.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	if now, ok := c.clock.bounded(); ok {
		return now, nil
	}
	if err := c.CheckToken(ctx); err != nil {
		return time.Time{}, err
	}
	if now, ok := c.clock.bounded(); ok {
		return now, nil
	}
	return time.Time{}, broken("asking for Coupa's time", "the token endpoint answered without a Date header")
}

// Ahead is how far Coupa's clock is ahead of this machine's, by the answers of the last minutes;
// below 0: behind. It is 0 before the first answer.
func (c *Client) Ahead() time.Duration { return c.clock.ahead() }

// Granted are the scopes of the present token, sorted and divided by blanks; "": there is no token.
func (c *Client) Granted() string { return c.tokens.granted() }

// CheckToken sees to it that there is a token, which may still be
// held back from use. An error says what the API client lacks.
func (c *Client) CheckToken(ctx context.Context) error {
	return c.tokens.ensure(ctx)
}

// Ready returns when there is a token that may be used; one whose
// time is up soon is renewed meanwhile. It costs no API request.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.tokens.get(ctx)
	return err
}

// MaxID returns the highest id among the rows that fit q's conditions; 0 when there is none. It is
// meant for dividing a walk into ranges: rows with a higher id may appear right after, so the last
// range must stay open above. Of rows below others it is the highest of these, which walks are over.
//
// It asks for one row. Where none comes it asks for 50: an instance may leave out a row that it has picked,
// and then only those below it show that the collection is not empty. With q.Limit it asks once, for so many.
func (c *Client) MaxID(ctx context.Context, q Query) (int64, error) {
	return c.edge(ctx, "asking for the highest id of "+q.Path, q, descending)
}

// MinID returns the lowest id, likewise. It asks for ids alone, and so
// has them of rows that Coupa fails to send with what else they hold.
func (c *Client) MinID(ctx context.Context, q Query) (int64, error) {
	return c.edge(ctx, "asking for the next id of "+q.Path, q, ascending)
}

// Values of dir.
const (
	ascending  = "asc"
	descending = "desc"
)

// edge returns the id that is first in one direction.
func (c *Client) edge(ctx context.Context, op string, q Query, dir string) (int64, error) {
	if err := q.check(op); err != nil {
		return 0, err
	}
	if parent := c.collection(q.Path).parent; parent != "" {
		q.Path = parent
	}
	sizes := []int{1, pageLimit}
	if q.Limit > 0 {
		sizes = []int{q.Limit}
	}
	for _, q.Limit = range sizes {
		if id, err := c.firstID(ctx, op, q, dir); id > 0 || err != nil {
			return id, err
		}
	}
	return 0, nil
}

// firstID returns the first id among the rows of one page.
func (c *Client) firstID(ctx context.Context, op string, q Query, dir string) (int64, error) {
	res, err := c.get(ctx, ask{op: op, object: q.Path, path: q.Path, query: q.ids(dir), priority: q.Priority})
	if err != nil {
		return 0, err
	}
	defer res.close()
	if err := res.checkDate(c, q); err != nil {
		return 0, err
	}
	rows := newRows(ctx, res, &c.room, c.collection(q.Path).most, "")
	defer rows.release()
	first, count := int64(0), 0
	err = res.each(rows, func(r row) error {
		id, ok := parseID(r.id)
		if !ok || id <= q.After || q.Through > 0 && id > q.Through {
			return broken(op, "Coupa answered with an id outside the range asked for (after %d, through %d)", q.After, q.Through)
		}
		if count++; count > q.Limit {
			return broken(op, "Coupa answered with more rows than the limit of %d that was asked for", q.Limit)
		}
		if first == 0 || (id > first) == (dir == descending) {
			first = id
		}
		return nil
	})
	nameRow(err, first)
	if err != nil {
		return 0, err
	}
	return first, nil
}

// Stats returns the counters as they are now.
func (c *Client) Stats() Stats {
	s := Stats{
		Requests:      c.counters.requests.Load(),
		Throttled:     c.counters.throttled.Load(),
		Retries:       c.counters.retries.Load(),
		Tokens:        c.counters.tokens.Load(),
		TokenFailures: c.counters.refused.Load(),
		Rows:          c.counters.rows.Load(),
		Bytes:         c.counters.bytes.Load(),
		Rate:          c.limiter.Rate(),
	}
	for i := range s.ByClass {
		s.ByClass[i] = c.counters.byClass[i].Load()
	}
	return s
}
