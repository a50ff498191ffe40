package coupatest

import (
	"cmp"
	"compress/gzip"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	jsonType = "application/json; charset=utf-8"
	xmlType  = "application/xml; charset=utf-8"
	htmlType = "text/html; charset=utf-8"
)

// answer is what is sent back.
type answer struct {
	status      int
	contentType string
	body        []byte
	rows        int
	fault       Fault
}

// ServeHTTP serves Coupa's API and the control paths.
func (t *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/_tenant/"):
		t.control.ServeHTTP(w, r)
	case r.URL.Path == "/oauth2/token":
		a := answer{fault: t.faults.next(TokenRequests)}
		if t.faulty(&a); a.status == 0 {
			t.answerToken(&a, r)
		}
		t.deliver(w, r, a)
	case strings.HasPrefix(r.URL.Path, "/api/"):
		t.serveAPI(w, r)
	default:
		t.deliver(w, r, answer{status: http.StatusNotFound, contentType: jsonType, body: []byte(`{"error":"not_found"}`)})
	}
}

// serveAPI answers one request to /api, in the order in which Coupa's layers get
// to see it: limit, token, scope, query.
func (t *Tenant) serveAPI(w http.ResponseWriter, r *http.Request) {
	path, id := t.route(strings.TrimPrefix(r.URL.Path, "/api/"))
	req := Request{
		Time: time.Now(), Method: r.Method, Path: r.URL.Path, Object: path, Query: r.URL.Query(),
		Line: len(r.Method) + len(r.URL.RequestURI()) + len("  HTTP/1.1"),
	}
	if !passes(r.Context(), t.cfg.Latency) {
		return
	}
	a := t.answerAPI(r, path, id, req)
	req.Status, req.Rows, req.Fault = a.status, a.rows, a.fault.Kind
	t.note(req)
	t.deliver(w, r, a)
}

// passes waits for d; false: the request's end came first.
func passes(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// route parts a path below /api into a collection's and the id
// in it: of a row of it, or of the one that its rows are below.
func (t *Tenant) route(path string) (collection, rest string) {
	if tb := t.tables[path]; tb != nil && tb.Parent == "" {
		return path, ""
	}
	for child, tb := range t.tables {
		above, isAbove := strings.CutPrefix(path, tb.Parent+"/")
		if id, is := strings.CutSuffix(above, strings.TrimPrefix(child, tb.Parent)); isAbove && is && tb.Parent != "" {
			return child, id
		}
	}
	if at := strings.LastIndexByte(path, '/'); at > 0 && t.tables[path[:at]] != nil {
		return path[:at], path[at+1:]
	}
	collection, rest, _ = strings.Cut(path, "/")
	return collection, rest
}

func (t *Tenant) answerAPI(r *http.Request, path, id string, req Request) answer {
	if t.cfg.MaxLine > 0 && req.Line > t.cfg.MaxLine {
		return answer{status: http.StatusRequestURITooLong, contentType: htmlType, body: webPage("414 Request-URI Too Large")}
	}
	switch queued, granted := t.limit.take(); {
	case !granted:
		return answer{status: http.StatusTooManyRequests, contentType: "text/plain", body: []byte("Retry later\n")}
	case !passes(r.Context(), queued):
		return answer{fault: Fault{Kind: Hang}} // nobody is there to have one
	}
	tb := t.tables[path]
	if tb == nil {
		return problem(http.StatusNotFound, "no resource "+path)
	}
	scope := tb.Scope
	if r.Method == http.MethodPut {
		scope = writeScope(scope)
	}
	switch t.authorize(r, scope) {
	case http.StatusUnauthorized:
		return problem(http.StatusUnauthorized, "The access token is missing, unknown, expired, or not valid yet")
	case http.StatusForbidden:
		return problem(http.StatusForbidden, "Insufficient scope: "+scope)
	}
	a := answer{fault: t.faults.next(path)}
	if t.faulty(&a); a.status != 0 || a.fault.Kind == Hang || a.fault.Kind == Reset {
		return a
	}
	asJSON := strings.Contains(r.Header.Get("Accept"), "json") || req.Query.Get("format") == "json"
	switch {
	case tb.Parent != "" && r.Method == http.MethodGet:
		t.answerBelow(&a, tb, id, req)
	case id != "":
		t.answerRow(&a, r, tb, id, req)
	case r.Method == http.MethodGet:
		t.answerPage(&a, tb, 0, req)
	default:
		return problem(http.StatusMethodNotAllowed, "this tenant is read only")
	}
	if !asJSON && a.contentType == jsonType {
		a.toXML(tb.resource)
	}
	return a
}

// writeScope is the scope that marking rows needs beside reading them.
func writeScope(read string) string { return strings.TrimSuffix(read, ".read") + ".write" }

// fail makes an answer that of a fault.
func (t *Tenant) fail(a *answer, kind FaultKind) {
	failed := answer{fault: Fault{Kind: kind}}
	t.faulty(&failed)
	a.status, a.contentType, a.body = failed.status, failed.contentType, failed.body
}

// faulty fills in the answers of the faults that need no page.
func (t *Tenant) faulty(a *answer) {
	set := func(status int, contentType, body string) {
		a.status, a.contentType, a.body = status, contentType, []byte(body)
	}
	switch a.fault.Kind {
	case Throttle429:
		set(http.StatusTooManyRequests, "text/plain", "Retry later\n")
	case Unavailable503:
		set(http.StatusServiceUnavailable, jsonType, `{"error":"Service Unavailable"}`)
	case HTML503:
		set(http.StatusServiceUnavailable, htmlType, string(webPage("Scheduled maintenance")))
	case ServerError500:
		set(http.StatusInternalServerError, jsonType, `{"error":"Internal Server Error"}`)
	case LoginPage:
		set(http.StatusOK, htmlType, string(webPage("Sign in")))
	case RedirectAway:
		set(http.StatusFound, htmlType, "")
	case Unauthorized401:
		set(http.StatusUnauthorized, jsonType, `{"error":"invalid_token"}`)
	case WebPage403:
		set(http.StatusForbidden, htmlType, string(webPage("Request blocked")))
	case WebPage404:
		set(http.StatusNotFound, htmlType, string(webPage("404 Not Found")))
	case WebPage504:
		set(http.StatusGatewayTimeout, htmlType, string(webPage("504 Gateway Time-out")))
	case Canned:
		set(cmp.Or(a.fault.Status, http.StatusOK), cmp.Or(a.fault.Type, jsonType), a.fault.Body)
	case Forbidden403:
		set(http.StatusForbidden, jsonType, `{"error":"insufficient_scope"}`)
	}
}

// webPage is an answer for people.
func webPage(title string) []byte {
	return []byte("<!DOCTYPE html><html><head><title>Coupa</title></head><body><h1>" + title + "</h1></body></html>\n")
}

// problem is an error in the form in which Coupa reports those of validation.
func problem(status int, message string) answer {
	return answer{status: status, contentType: jsonType, body: []byte(`{"errors":{"base":[` + strconv.Quote(message) + `]}}`)}
}

// answerBelow reads and renders a page of the rows that are below the one of an id.
func (t *Tenant) answerBelow(a *answer, tb *table, id string, req Request) {
	parents := t.tables[tb.Parent]
	n, err := strconv.ParseInt(id, 10, 64)
	t.mu.Lock()
	there := err == nil && parents.row(n) != nil
	t.mu.Unlock()
	if !there {
		*a = problem(http.StatusNotFound, "no such "+parents.Singular)
		return
	}
	t.answerPage(a, tb, n, req)
}

// answerPage reads and renders a page; of rows below another one, of those of this parent.
func (t *Tenant) answerPage(a *answer, tb *table, parent int64, req Request) {
	q, err := t.parseQuery(tb, req.Query)
	if err != nil {
		*a = problem(http.StatusBadRequest, err.Error())
		return
	}
	q.parent = parent
	switch a.fault.Kind {
	case IgnoreFilter:
		q.groups, q.above, q.through, q.from, q.before, q.lineFrom, q.lineTo = nil, never, always, never, always, never, always
	case LongPage:
		q.limit = t.cfg.PageCap + 1
	}
	rows, fails := t.collect(tb, q)
	switch {
	case fails:
		t.fail(a, ServerError500)
		return
	case t.cfg.MaxRows > 0 && len(rows) > t.cfg.MaxRows:
		t.fail(a, WebPage504)
		return
	}
	switch {
	case len(rows) == 0:
	case a.fault.Kind == WrongOrder:
		slices.Reverse(rows)
	case a.fault.Kind == RepeatRow:
		rows = slices.Insert(rows, 1, rows[0])
	}
	a.status, a.contentType, a.rows = http.StatusOK, jsonType, len(rows)
	parts := make([][]byte, len(rows))
	total := 2
	for i, v := range rows {
		parts[i] = t.rowJSON(tb, v, q.plan)
		total += len(parts[i]) + 1
	}
	a.body = append(make([]byte, 0, total), '[')
	for i, part := range parts {
		if i > 0 {
			a.body = append(a.body, ',')
		}
		a.body = append(a.body, part...)
	}
	a.body = append(a.body, ']')
}

// answerRow answers for a single row: GET, or PUT ?exported=true.
func (t *Tenant) answerRow(a *answer, r *http.Request, tb *table, id string, req Request) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		*a = problem(http.StatusNotFound, "no such "+tb.Singular)
		return
	}
	pl, err := t.plan(tb, req.Query.Get("fields"))
	if err != nil {
		*a = problem(http.StatusBadRequest, err.Error())
		return
	}
	if r.Method == http.MethodPut {
		if req.Query.Get("exported") != "true" {
			*a = problem(http.StatusBadRequest, "only exported=true can be put")
			return
		}
		t.MarkExported(tb.Path, n)
	} else if r.Method != http.MethodGet {
		*a = problem(http.StatusMethodNotAllowed, "only GET and PUT")
		return
	}
	t.mu.Lock()
	var v *version
	if row := tb.row(n); row != nil {
		v = row.at(time.Now().UnixNano())
	}
	t.mu.Unlock()
	if v == nil {
		*a = problem(http.StatusNotFound, "no such "+tb.Singular)
		return
	}
	a.status, a.contentType, a.rows, a.body = http.StatusOK, jsonType, 1, t.rowJSON(tb, v, pl)
}

// deliver sends an answer, or as much of it as its fault lets through. It panics
// with http.ErrAbortHandler to cut the connection, as net/http wants it.
func (t *Tenant) deliver(w http.ResponseWriter, r *http.Request, a answer) {
	switch a.fault.Kind {
	case Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Reset:
		panic(http.ErrAbortHandler)
	}
	header, now := w.Header(), time.Now().UTC().Add(t.clock(t.turn.Add(1)))
	switch a.fault.Kind {
	case ClockBack:
		now = now.Add(-time.Hour)
	case ClockAhead:
		now = now.Add(time.Hour)
	case ByteOrderMark:
		a.body = append([]byte("\ufeff"), a.body...)
	}
	header.Set("Date", now.Format(http.TimeFormat))
	header.Set("Content-Type", a.contentType)
	if a.fault.RetryAfter > 0 && a.status >= http.StatusTooManyRequests {
		header.Set("Retry-After", strconv.Itoa(int(a.fault.RetryAfter.Seconds())))
	}
	if a.fault.Kind == RedirectAway {
		header.Set("Location", "https://login.example.com/sso?return="+r.URL.Path)
	}
	if k := a.fault.Kind; (k == EndlessRow || k == Blanks || k == Drip) && a.status == http.StatusOK {
		if !t.stream(w, r, a) {
			panic(http.ErrAbortHandler)
		}
		return
	}
	if t.cfg.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		a.body = t.compress(a.body)
	}
	header.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	if a.fault.Kind != Truncate && a.fault.Kind != HangBody {
		w.Write(a.body)
		return
	}
	w.Write(a.body[:len(a.body)/2])
	http.NewResponseController(w).Flush()
	if a.fault.Kind == HangBody {
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// appender is an io.Writer to a slice.
type appender []byte

func (b *appender) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func (t *Tenant) compress(body []byte) []byte {
	out := make(appender, 0, len(body)/4)
	z, _ := t.gzips.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	}
	z.Reset(&out)
	z.Write(body)
	z.Close()
	t.gzips.Put(z)
	return out
}
