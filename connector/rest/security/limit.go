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
	mostStreams  = 64      // of events at one time; they last
	mostHeader   = 64 << 10

	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	answerTimeout = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
)

// streamPath is where answers last as long as somebody listens.
const streamPath = "/ui/events"

// slots counts what runs.
type slots struct{ requests, streams chan struct{} }

func newSlots() slots {
	return slots{make(chan struct{}, mostRequests), make(chan struct{}, mostStreams)}
}

// take takes a place for a request, or gives nil if there is none. Nobody waits for one: workers that forward requests to each other could wait for ever.
func (s slots) take(path string) (release func()) {
	places := s.requests
	if path == streamPath {
		places = s.streams
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }
	default:
		return nil
	}
}

// lasting takes the deadlines off an answer that lasts.
func lasting(rw http.ResponseWriter) {
	c := http.NewResponseController(rw)
	_ = c.SetReadDeadline(time.Time{}) // a connection without deadlines has none to take off
	_ = c.SetWriteDeadline(time.Time{})
}

// readBody reads the body, so that what comes after has it whole or not at all.
func readBody(rw http.ResponseWriter, r *http.Request) *problem {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, mostBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &problem{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf("the body has more than %d bytes", mostBody)}
	case err != nil:
		return &problem{status: http.StatusBadRequest, message: "the body could not be read to its end"}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return nil
}
