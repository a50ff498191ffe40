package coupa

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	longestPause   = time.Hour // of a Retry-After that is believed
	longestMessage = 300       // characters of a message of Coupa's in an error
	mostErrorBody  = 8 << 10   // bytes of an error's body that are read
)

// judge passes an answer with status 200 and JSON, tells the limiter, and makes an [*Error] of any other.
func (c *Client) judge(r *response, a *ask, sent time.Time) (*response, error) {
	path := a.object
	if r.StatusCode == http.StatusOK {
		c.limiter.succeeded(sent, a.kind(), r.latency)
		if err := r.checkType(); err != nil {
			r.close()
			return nil, err
		}
		c.lines.took(a)
		return r, nil
	}
	defer r.discard()
	e := &Error{Op: r.op, Kind: kindOfStatus(r.StatusCode), Status: r.StatusCode, RetryAfter: retryAfter(r.Header)}
	switch e.Kind {
	case Throttled:
		c.counters.throttled.Add(1)
		c.limiter.throttled(sent)
	case Scope:
		e.Hint, e.Err = c.missingScope(path)
		if isWebPage(r.Header, r.start()) {
			e.passes()
		}
	case Misconfigured:
		body := r.start()
		e.Err = message(body)
		e.Hint = "see whether this instance takes the fields and filters configured for " + path
		if r.StatusCode == http.StatusNotFound {
			e.Hint = "see whether coupa.url is the instance's own address and the instance has /api/" + path
		}
		switch {
		case isLengthOnly(r.StatusCode):
			e.Hint = lineHint(a.line)
		case e.Err == nil && isForeign(r.Header, body):
			e.passes()
		}
	case Broken:
		e.Err = errors.New("Coupa answered a query with a status that holds no rows")
	}
	if isLengthStatus(r.StatusCode) && (e.Err == nil || errors.Is(e.Err, errForeign)) {
		e.suspect(c.lines.refused(a, false, isLengthOnly(r.StatusCode)), a.line)
	}
	return nil, e
}

// kindOfStatus classes a status other than 200 and 401. Coupa documents 200, 201, 400
// and 404; the rest is what instances and the machines before them are seen to send.
func kindOfStatus(status int) Kind {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Throttled
	case status == http.StatusForbidden:
		return Scope
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500, status >= 300 && status < 400:
		return Retry
	case status >= 400:
		return Misconfigured
	default:
		return Broken
	}
}

// checkType refuses a body that is not JSON. HTML is what maintenance and login pages are made of.
func (r *response) checkType() error {
	contentType := r.Header.Get("Content-Type")
	switch {
	case isType(contentType, "application/json"):
		return nil
	case isHTML(contentType), isText(contentType):
		return r.notJSON()
	default:
		return broken(r.op, "Coupa sent %q although JSON was asked for", oneLine(contentType, 60))
	}
}

// notJSON is the error of a page of which something else came, as from what stands in for Coupa.
func (r *response) notJSON() *Error {
	return &Error{Op: r.op, Kind: Retry, Status: r.StatusCode, RetryAfter: retryAfter(r.Header), Err: errors.New("Coupa sent a web page instead of JSON"),
		Hint: "maintenance does that; if it goes on, open coupa.url in a browser"}
}

// errForeign is said of an answer with an error's status that is not Coupa's own: those come in
// JSON or XML. A gateway, a firewall or a page of maintenance gave it, and it passes as they do.
var errForeign = errors.New("something before Coupa's API answered in its place")

const foreignHint = "a gateway, a firewall, an allow list of addresses or maintenance does that; if it goes on, open coupa.url in a browser from this machine's network"

// passes makes an error that passes by itself of one that something before Coupa gave.
func (e *Error) passes() { e.Kind, e.Err, e.Hint = Retry, errForeign, foreignHint }

// isHTML and isText tell of a Content-Type.
func isHTML(contentType string) bool {
	return isType(contentType, "text/html", "application/xhtml+xml")
}
func isText(contentType string) bool { return isType(contentType, "text/plain") }

// isForeign tells whether an answer, by its type and the start of its body, is as gateways make them and
// Coupa does not. Without a body it may be Coupa's own: Rails gives such an answer the type of HTML.
func isForeign(h http.Header, body []byte) bool {
	return isWebPage(h, body) || isText(h.Get("Content-Type")) && len(bytes.TrimSpace(body)) > 0
}

// isWebPage tells likewise whether an answer is HTML.
func isWebPage(h http.Header, body []byte) bool {
	return isHTML(h.Get("Content-Type")) && len(bytes.TrimSpace(body)) > 0
}

// checkDate takes over the Date of the answer, and refuses one by which what must
// be over of the window is not: rows could still come into it.
func (r *response) checkDate(c *Client, q Query) error {
	date, ok := dateOf(r.Header)
	if !ok {
		return broken(r.op, "Coupa answered without a Date header, so nothing shows that the window %s is over", q.Window)
	}
	c.clock.set(date)
	over := Window{From: q.Window.From, To: q.Over}
	if q.Over.IsZero() {
		over = q.Window
	}
	if date.Before(over.To) {
		return &Error{Op: r.op, Kind: Retry, Err: fmt.Errorf("by Coupa's clock it is %s, and the window %s is not over", bound(date), over),
			Hint: "its clock was set back, or its servers disagree; a window that ends earlier will do"}
	}
	return nil
}

// missingScope names what to grant for a path.
func (c *Client) missingScope(path string) (hint string, err error) {
	if resource, ok := LookupResource(path); ok {
		scopes := strings.Join(resource.Scopes, " ")
		return fmt.Sprintf("grant %s at %s, or take %s out of coupa.objects", scopes, c.clientsPage(), path),
			fmt.Errorf("the API client may not read %s: scope %s is missing", path, scopes)
	}
	return "grant the scope that covers it at " + c.clientsPage(), fmt.Errorf("the API client may not read %s", path)
}

// retryAfter reads how long Coupa asks to wait: seconds, or a
// time by the answer's own Date. Absurd ones are cut to an hour.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestPause)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, ok := dateOf(h)
	if !ok {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), longestPause)
}

// message returns what Coupa says is wrong, {"errors":{"object":["message"]}}
// (API "Errors"), or nil where it says nothing that can be read.
func message(body []byte) error {
	body = bytes.TrimPrefix(body, byteOrderMark)
	var answer struct {
		Errors json.RawMessage `json:"errors"`
		Error  json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	said := append(sentences("", answer.Errors), sentences("", answer.Error)...)
	if len(said) == 0 {
		return nil
	}
	return fmt.Errorf("Coupa says: %s", oneLine(strings.Join(said, "; "), longestMessage))
}

// sentences collects the texts of a message, each with the name that it stands under.
func sentences(name string, raw json.RawMessage) []string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		if name != "" {
			text = name + ": " + text
		}
		return []string{text}
	}
	var list []json.RawMessage
	var object map[string]json.RawMessage
	var said []string
	if json.Unmarshal(raw, &list) == nil {
		for _, element := range list {
			said = append(said, sentences(name, element)...)
		}
	} else if json.Unmarshal(raw, &object) == nil {
		for _, key := range slices.Sorted(maps.Keys(object)) {
			said = append(said, sentences(key, object[key])...)
		}
	}
	return said
}
