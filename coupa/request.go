package coupa

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// youngToken is the age below which a 401 is put down to the token not having spread yet: the same
// token is tried again, since a new one would be younger still (OAuth "Design Considerations").
const youngToken = 10 * time.Second

// errSilent ends a request during which nothing arrived for the request timeout.
var errSilent = errors.New("no answer")

// A body is given up when less than leastRate bytes a second have come in a span of waiting
// for it that is dripSpan request timeouts long. One in which nothing comes ends at once.
const (
	leastRate = 1 << 10
	dripSpan  = 2
)

// errDripping ends a request whose body hardly moves.
var errDripping = errors.New("the answer drips")

// response is an answer with status 200 and a JSON body. Reading it is bounded by its progress, not by its
// length: every Read has the request timeout, and many of them that bring little are too little. The time
// between Reads belongs to the caller.
type response struct {
	*http.Response
	op     string
	caller context.Context // whose end is passed on as it is
	cancel context.CancelCauseFunc
	ctx    context.Context
	silent *time.Timer
	limit  time.Duration

	waited time.Duration // for the body, since the progress was last looked at
	came   int64         // bytes of it since then

	latency  time.Duration // until the header came
	exchange *exchange
	underway *underway // has exchange
}

// ask is one API request.
type ask struct {
	op       string // what it is for, in errors
	method   string // "": GET
	object   string // path of the collection
	path     string // below /api; of rows below another one, behind that one
	query    string
	priority Priority
	line     int   // length of the request line
	of       Query // of which this asks for a page; without a path: for none
}

// page tells the page from others, as [Query.name] does.
func (a *ask) page() string { return a.path + "?" + a.of.name() }

// kind is what the time that an answer takes depends on, as far as it is known beforehand.
func (a *ask) kind() kind {
	k := kind{object: a.object, fields: len(a.of.Fields)}
	switch {
	case a.method != "":
		k.rows = -1
	case a.of.Path != "":
		k.rows = a.of.limit()
	}
	return k
}

// ask is the request for a page of q's rows at a path below /api.
func (c *Client) ask(op, path string, q Query) ask {
	a := ask{op: op, object: q.Path, path: path, query: q.page(), priority: q.Priority, of: q}
	a.line = c.lineOf(path, len(a.query))
	return a
}

// get sends one API request, with a token and at the limiter's pace, and returns the answer if it is
// 200 with JSON. A 401 is repeated: once with the same token where that is young, once with a new one.
func (c *Client) get(ctx context.Context, a ask) (*response, error) {
	for reminted := false; ; c.counters.retries.Add(1) {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.op, err)
		}
		sent, err := c.turn(ctx, a)
		if err != nil {
			return nil, err
		}
		res, err := c.send(ctx, &a, token.value)
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusUnauthorized {
			return c.judge(res, &a, sent)
		}
		foreign := isForeign(res.Header, res.start())
		res.discard()
		switch age := time.Since(token.minted); {
		case age < youngToken:
			if err := sleep(ctx, youngToken-age); err != nil {
				return nil, fmt.Errorf("%s: %w", a.op, err)
			}
		case !reminted:
			reminted = true
			c.tokens.drop(token)
		default:
			e := &Error{Op: a.op, Kind: Reauthenticate, Status: res.StatusCode, Err: errors.New("Coupa refuses a token that it has just issued"),
				Hint: "see whether the API client is active at " + c.clientsPage()}
			if foreign {
				e.passes()
			}
			return nil, e
		}
	}
}

// turn waits for the limiter and tells when the request goes out.
func (c *Client) turn(ctx context.Context, a ask) (time.Time, error) {
	if err := c.limiter.Wait(ctx, a.priority); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", a.op, err)
	}
	return time.Now(), nil
}

// send sends the request and returns the answer whatever its status.
func (c *Client) send(ctx context.Context, a *ask, token string) (*response, error) {
	c.counters.requests.Add(1)
	r := &response{op: a.op, caller: ctx, limit: c.cfg.RequestTimeout, underway: &c.collection(a.object).underway}
	r.exchange = r.underway.add(a.op)
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.silent = time.AfterFunc(r.limit, func() { r.cancel(errSilent) })
	target := *c.base
	target.Path += "/api/" + a.path
	target.RawQuery = a.query
	req := (&http.Request{
		Method: cmp.Or(a.method, http.MethodGet),
		URL:    &target,
		Host:   target.Host,
		Header: http.Header{
			// Both types are to be set to the same (API "Getting
			// Started"); without them Coupa answers in XML.
			"Accept":        {"application/json"},
			"Content-Type":  {"application/json"},
			"Authorization": {"Bearer " + token},
			"User-Agent":    {c.cfg.UserAgent},
		},
	}).WithContext(r.ctx)
	began := time.Now()
	way := c.http
	if c.lines.apart(a.line) {
		way = c.apart
	}
	res, err := way.Do(req)
	r.latency = time.Since(began)
	r.silent.Stop()
	r.exchange.answered.Store(err == nil)
	if err != nil {
		r.cancel(err)
		r.underway.remove(r.exchange)
		c.counters.byClass[0].Add(1)
		c.collection(a.object).answers.count(0)
		err = withoutURL(err)
		failed := r.failed(err)
		if e, ok := errors.AsType[*Error](failed); ok && e.Kind == Retry && isCut(err) {
			e.suspect(c.lines.refused(a, true, false), a.line)
		}
		return nil, failed
	}
	r.Response = res
	c.counters.byClass[min(res.StatusCode/100, len(c.counters.byClass)-1)].Add(1)
	c.collection(a.object).answers.count(res.StatusCode)
	return r, nil
}

// Read implements [io.Reader] on the body.
func (r *response) Read(p []byte) (int, error) {
	r.silent.Reset(r.limit)
	began := time.Now()
	n, err := r.Body.Read(p)
	r.waited += time.Since(began)
	r.silent.Stop()
	r.came += int64(n)
	r.exchange.bytes.Add(int64(n))
	if span := dripSpan * r.limit; r.waited >= span {
		if err == nil && float64(r.came) < leastRate*span.Seconds() {
			err = fmt.Errorf("%w: %d bytes of it in %s", errDripping, r.came, r.waited.Round(time.Second))
		}
		r.waited, r.came = 0, 0
	}
	return n, err
}

// close ends the exchange. A body that was read to its end leaves its connection for the next request.
func (r *response) close() {
	r.silent.Stop()
	r.underway.remove(r.exchange)
	_ = r.Body.Close()
	r.cancel(nil)
}

// start reads as much of the body as an error's may have. What cannot be read is not needed.
func (r *response) start() []byte {
	body, _ := io.ReadAll(io.LimitReader(r, mostErrorBody))
	return body
}

// discard ends an exchange whose body says nothing, and keeps the connection where the body is short.
func (r *response) discard() {
	_, _ = io.CopyN(io.Discard, r, mostErrorBody)
	r.close()
}

// each calls yield with every row of the body. An error of yield is
// returned as it is; any other is an [*Error], or the caller's context's.
func (r *response) each(rows *rows, yield func(row) error) error {
	err := rows.open()
	for err == nil {
		var one row
		if one, err = rows.next(); err == nil {
			if err := yield(one); err != nil {
				return err
			}
		}
	}
	switch {
	case err == io.EOF:
		return nil
	case err == errMarkup:
		return r.notJSON()
	case errors.Is(err, errNoArray), errors.Is(err, errNoObject):
		return &Error{Op: r.op, Kind: Broken, Err: fmt.Errorf("Coupa sent something else than an array of objects: %w", err)}
	default:
		return r.failed(err)
	}
}

// failed classes an error of the network or of the body's text.
func (r *response) failed(err error) error {
	if r.caller.Err() != nil {
		return fmt.Errorf("%s: %w", r.op, r.caller.Err())
	}
	e := &Error{Op: r.op, Kind: Retry, Err: err}
	switch {
	case errors.Is(context.Cause(r.ctx), errSilent):
		e.Err = fmt.Errorf("%w from Coupa for %s", errSilent, r.limit)
		e.Hint = "if it goes on, raise coupa.request.timeout.ms or ask for fewer fields"
	case errors.Is(err, errDripping):
		e.Hint = "see whether something on the way to Coupa holds answers back; if it goes on, raise coupa.request.timeout.ms"
	case errors.Is(err, errRedirect):
		e.Hint = "maintenance does that; if it goes on, set coupa.url to the address that a browser ends at"
	case misconfigured(err):
		e.Kind = Misconfigured
	case errors.Is(err, errSyntax):
		e.Kind = BadRow
	case errors.Is(err, errTooMuch):
		e.Kind = BadRow
		e.Hint = "see what answers in Coupa's place; if the row is as it should be, raise row.max.bytes"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Err = fmt.Errorf("the body was cut off: %w", err)
	}
	return e
}

// clientsPage is where an administrator looks after API clients and their scopes.
func (c *Client) clientsPage() string { return c.base.String() + "/oauth2/clients" }

// isType tells whether a Content-Type names a media type, whatever its parameters.
func isType(contentType string, names ...string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	for _, name := range names {
		if strings.EqualFold(media, name) {
			return true
		}
	}
	return false
}
