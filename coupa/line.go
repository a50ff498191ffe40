package coupa

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// MaxLine is the most bytes that a request line may have: method, path, query and HTTP
	// version. Servers as they come take 8,190 (nginx), 8,191 (Apache) or 8,001 (lighttpd).
	MaxLine = 8000
	// LongestID is the highest id that is taken from Coupa. What is to fit
	// through a whole walk is measured with it as [Query].After and Through.
	LongestID = 999_999_999_999_999_999

	// longLine is the length up to which a refusal is not put down to the length.
	longLine = 4000
	// typicalID is as long as ids of rows are, where these are not known.
	typicalID = 99_999_999
	// lineAround is what a request line has besides its target.
	lineAround = len("GET  HTTP/1.1")
	// mostDoubts is how many refusals in a row, which may have other reasons, are believed more than that
	// lines as long were answered before.
	mostDoubts = 3
	// mostSuspects is how many pages are remembered whose long request line was refused.
	mostSuspects = 100
)

// Line is how many bytes the request line of q has. Of rows below others it is
// the longest of the requests that q takes, whatever the ids of the parents.
func (c *Client) Line(q Query) int {
	parent := c.collection(q.Path).parent
	if parent == "" {
		return c.lineOf(q.Path, q.pageLen())
	}
	b := below{Client: c, query: q, parent: parent, id: LongestID}
	return max(c.lineOf(parent, q.parents(parent).pageLen()), c.lineOf(b.path(), b.after(LongestID).pageLen()))
}

// lineOf is the length of the request line for a path below /api and a query string of a length.
func (c *Client) lineOf(path string, query int) int {
	return lineAround + len(c.base.EscapedPath()) + len("/api/?") + len(path) + query
}

// MaxLine is how long a request line may be on the way to this instance:
// the constant of that name, or less where a refusal has shown that.
func (c *Client) MaxLine() int { return c.lines.most() }

// Requests is how many requests a page of q with rows takes: more than one where the line of one would be
// longer than [Client.MaxLine]. Its fields are then asked for in parts, by the ids of the rows.
func (c *Client) Requests(q Query) int {
	if c.Line(q) <= c.MaxLine() {
		return 1
	}
	list, ok := parseFields(q.Fields)
	if !ok {
		return 1
	}
	ids := q.IDs
	if len(ids) == 0 {
		ids = slices.Repeat([]int64{typicalID}, q.limit())
	}
	path := q.Path
	if parent := c.collection(path).parent; parent != "" {
		b := below{query: q, parent: parent, id: LongestID}
		path = b.path()
	}
	r := pageRequest{path: path, query: q, lines: c.collection(q.Path).lines}
	return c.newParts(r, list, c.MaxLine()).count(ids)
}

// Fits is how many of q.IDs, counted from the first, are best asked for at once: as many as
// [Client.MaxLine] has room for, at most the 50 that a page holds, and one where there is no room at all.
// Where the fields can be asked for in parts, it is all: that takes no more requests than parts of the list.
func (c *Client) Fits(q Query) int {
	ids := q.IDs[:min(len(q.IDs), pageLimit)]
	if len(ids) == 0 {
		return 0
	}
	q.IDs = ids[:1]
	room, n := c.MaxLine()-c.Line(q), 1
	if room < 0 {
		n = 0
	}
	for ; n > 0 && n < len(ids); n++ {
		if room -= len(",") + len(strconv.FormatInt(ids[n], 10)); room < 0 {
			break
		}
	}
	if n == len(ids) {
		return n
	}
	q.IDs = ids
	if c.Requests(q) > 1 {
		return len(ids)
	}
	return max(1, n)
}

// lines is what a client has learned of the lengths that the way to its instance takes. That
// a request failed because of its length is shown by a shorter one for the same page.
type lines struct {
	mu       sync.Mutex
	bound    int            // 0: MaxLine
	answered int            // the longest that was answered with rows
	doubts   int            // refusals since then of lines that are no longer
	suspects map[string]int // pages of which a long request was refused, with its length
	cut      bool           // one of these refusals closed a connection that others may have been using
}

func (l *lines) most() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound == 0 {
		return MaxLine
	}
	return l.bound
}

// refused takes in that a request was refused as those are that are too long, and tells whether its length
// may be the reason. Where nothing else can be, the way has changed if as long a line was answered before.
func (l *lines) refused(a *ask, cut, certain bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.of.Path == "" || a.line <= longLine {
		return false
	}
	if a.line <= l.answered {
		if l.doubts++; !certain && l.doubts < mostDoubts {
			return false
		}
		l.answered = 0
	}
	l.cut = l.cut || cut
	if l.suspects == nil || len(l.suspects) == mostSuspects {
		l.suspects = map[string]int{}
	}
	l.suspects[a.page()] = a.line
	return true
}

// took takes in that a request was answered. Where a longer one for the same page was refused, lines are
// from now on no longer than the longest that was answered, so that no second one is lost on the way down.
func (l *lines) took(a *ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.line > longLine {
		l.doubts = 0
	}
	if a.line > l.answered {
		l.answered = a.line
		if l.bound > 0 {
			l.bound = max(l.bound, a.line)
		}
	}
	if len(l.suspects) == 0 || a.of.Path == "" {
		return
	}
	page := a.page()
	refused, suspected := l.suspects[page]
	if !suspected {
		return
	}
	delete(l.suspects, page)
	if l.answered < refused {
		l.bound = max(longLine, l.answered)
	}
}

// apart tells whether a request is to have a connection of its own, since another long one has closed its.
func (l *lines) apart(length int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut && length > max(longLine, l.answered)
}

// isLengthStatus tells whether servers answer a request line that is too long with
// this status. 400 is what HAProxy and puma send; Coupa's own comes with its reasons.
func isLengthStatus(status int) bool {
	return status == http.StatusRequestURITooLong || status == http.StatusRequestHeaderFieldsTooLarge ||
		status == http.StatusBadRequest
}

// isLengthOnly tells whether a status means nothing but that something in the request's head is too long.
func isLengthOnly(status int) bool { return isLengthStatus(status) && status != http.StatusBadRequest }

// isCut tells whether an error means that the server closed an HTTP/2 connection in place of an
// answer, as nginx does for what is too long. Over HTTP/1.1 a connection that is closed is [io.EOF].
func isCut(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "GOAWAY")
}

// apartFrom returns a transport that gives each request a connection of
// its own, where next is of the kind that can be made so; else next.
func apartFrom(next http.RoundTripper) http.RoundTripper {
	t, ok := next.(*http.Transport)
	if !ok {
		return next
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}
