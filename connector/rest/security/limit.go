package security

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// What requests may take of a worker.
const (
	mostBody     = 1 << 20 // bytes
	mostRequests = 128     // at one time
	mostOpen     = 32      // of these that need no account where others do
	mostStreams  = 64      // of events at one time; they last
	mostBells    = 32      // of doorbells at one time, whatever is sent with them
	mostAgents   = 32      // of /mcp at one time, each of which may send usual ones
	mostHeader   = 64 << 10

	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	answerTimeout = 2 * time.Minute
	idleTimeout   = time.Minute
)

// streamPath is where answers last as long as somebody listens.
const streamPath = "/ui/events"

// kind is what a request may take of the worker.
type kind uint8

const (
	usual  kind = iota
	open        // it needs no account, and who has none is not to be in the way of the others
	stream      // its answer lasts as long as somebody listens
	bell        // nobody waits for what comes of it
	agent       // it sends requests itself, which need places of their own
	probe       // it is answered whatever else goes on, and takes nothing
)

// slots counts what runs, by kind.
type slots map[kind]chan struct{}

func newSlots() slots {
	return slots{usual: make(chan struct{}, mostRequests), open: make(chan struct{}, mostOpen), stream: make(chan struct{}, mostStreams), bell: make(chan struct{}, mostBells), agent: make(chan struct{}, mostAgents)}
}

// acquire takes a place for a request, if there is one. Nobody waits for
// one: workers that forward requests to each other could wait for ever.
func (s slots) acquire(k kind) (release func(), ok bool) {
	places := s[k]
	if places == nil {
		return func() {}, true
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}

// clearDeadlines takes the deadlines off an answer that lasts.
func clearDeadlines(rw http.ResponseWriter) {
	c := http.NewResponseController(rw)
	_ = c.SetReadDeadline(time.Time{}) // a connection without deadlines has none to take off
	_ = c.SetWriteDeadline(time.Time{})
}

// body is what a request holds, read to its end.
type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// readBody reads the body, so that what comes after has it whole or not at
// all. Requests that only read have none that counts: theirs is left where
// it is, since whoever sends it slowly would take a place for nothing.
func readBody(rw http.ResponseWriter, r *http.Request) (body, *problem) {
	if Reads(r.Method) || r.Body == nil {
		leaveBody(rw, r)
		return body{bytes.NewReader(nil)}, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, mostBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return body{}, &problem{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("the body has more than %d bytes", mostBody)}
	case err != nil:
		return body{}, &problem{status: http.StatusBadRequest, message: "the body could not be read to its end"}
	}
	return body{bytes.NewReader(text)}, nil
}

// dropBody reads what is sent to a doorbell, and throws it away, so that the connection can be used again:
// what Coupa sends with a call out is as long as the document. It goes by the bound of other bodies, and
// what is longer, or breaks off, rings all the same.
func dropBody(rw http.ResponseWriter, r *http.Request) (body, *problem) {
	if r.Body != nil {
		if n, err := io.Copy(io.Discard, io.LimitReader(r.Body, mostBody)); err != nil || n == mostBody {
			rw.Header().Set("Connection", "close")
		}
	}
	return body{bytes.NewReader(nil)}, nil
}

// leaveBody has the connection end with the answer if the request has a body that nobody
// reads: to use it again, net/http would wait for that body while it writes the answer.
func leaveBody(rw http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		rw.Header().Set("Connection", "close")
	}
}
