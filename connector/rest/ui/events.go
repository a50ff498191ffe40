package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coupastream/coupastream/connector/rest"
	"github.com/coupastream/coupastream/connector/rest/security"
)

const (
	// interval is the least time between two readings of the source, and so between two events of a stream.
	interval = time.Second
	// refresh is the longest: the source signals its own changes, and may know others'.
	refresh = 5 * time.Second
	// share bounds what reading a slow source takes of the time: a tenth.
	share = 10
	// readTimeout ends a reading that hangs.
	readTimeout = 30 * time.Second
	// heartbeat is how long a stream is silent.
	heartbeat = 10 * time.Second
	// writeTimeout ends a stream whose reader takes nothing.
	writeTimeout = 30 * time.Second
	// maxStreams is how many pages can be open; each costs a connection and a goroutine.
	maxStreams = 64
)

var errStreams = fmt.Errorf("%d status pages are open at this worker, which is the most it serves; close one, or open the page at another worker", maxStreams)

// hub reads the source for all streams.
type hub struct {
	source Source
	epoch  string // tells this process's versions from another's
	ctx    context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	streams int
	stop    context.CancelFunc // ends the reading; nil while there is no stream
	state   overview
	at      time.Time     // of the last reading that went well
	trouble string        // why the last one did not
	news    chan struct{} // closed when any of these change, for all streams at once
	last    frame         // what was told last: streams in step are told the same
}

// frame is an encoded event that leads from one version to another.
type frame struct {
	from, to uint64
	at       time.Time
	trouble  string
	data     []byte
}

func newHub(source Source) *hub {
	h := &hub{source: source, epoch: strconv.FormatInt(time.Now().UnixNano(), 36), news: make(chan struct{})}
	h.state = overview{connectors: map[string]*known{}, removed: map[string]uint64{}}
	h.ctx, h.end = context.WithCancel(context.Background())
	return h
}

func (h *hub) close() { h.end() }

// enter begins a stream. The first one starts the reading.
func (h *hub) enter() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return errors.New("the worker is shutting down")
	}
	if h.streams == maxStreams {
		return errStreams
	}
	h.streams++
	if h.stop == nil {
		ctx, stop := context.WithCancel(h.ctx)
		h.stop = stop
		go h.read(ctx)
	}
	return nil
}

// leave ends a stream, and the reading with the last one.
func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams--
	if h.streams == 0 {
		h.stop()
		h.stop = nil
	}
}

// read reads the source until ctx ends: after a signal, and from time to time without one.
func (h *hub) read(ctx context.Context) {
	changes := h.source.Watch(ctx)
	for {
		began := time.Now()
		reading, done := context.WithTimeout(ctx, readTimeout)
		connectors, err := h.source.Health(reading)
		done()
		if ctx.Err() != nil {
			return
		}
		h.update(connectors, err)
		took := time.Since(began)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(interval, share*took)):
		}
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changes:
			if !ok {
				changes = nil
			}
		case <-time.After(refresh):
		}
	}
}

func (h *hub) update(connectors []rest.Health, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	trouble, changed := "", h.at.IsZero()
	if err != nil {
		trouble, changed = cut(err.Error()), false
	} else {
		changed = h.state.update(connectors) || changed
		h.at = time.Now()
	}
	if changed || trouble != h.trouble {
		h.trouble = trouble
		close(h.news)
		h.news = make(chan struct{})
	}
}

// position is how far a stream is.
type position struct {
	version uint64
	trouble string
	began   bool // it was told something
}

// next encodes what a stream at p has not been told: nil if that is nothing. It returns when to ask again.
func (h *hub) next(p position) (data []byte, _ position, news <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to := position{h.state.version, h.trouble, true}
	if p == to || h.at.IsZero() && h.trouble == "" {
		return nil, p, h.news
	}
	f := &h.last
	if f.data == nil || f.from != p.version || f.to != to.version || f.trouble != to.trouble || f.at != h.at {
		e := h.state.since(p.version)
		e.At, e.Now, e.Trouble = millis(h.at), time.Now().UnixMilli(), h.trouble
		data, err := json.Marshal(e)
		if err != nil {
			panic(err) // strings and numbers
		}
		*f = frame{p.version, to.version, h.at, to.trouble, data}
	}
	return f.data, to, h.news
}

func (h *hub) beat() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Appendf(nil, `{"at":%d,"now":%d}`, millis(h.at), time.Now().UnixMilli())
}

// id of a position, and back: 0 for another process's, or none.
func (h *hub) id(version uint64) string { return h.epoch + "-" + strconv.FormatUint(version, 10) }

func (h *hub) version(id string) uint64 {
	epoch, version, _ := strings.Cut(id, "-")
	if epoch != h.epoch {
		return 0
	}
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// events is a stream. It ends with its reader, or with the handler.
func (h *Handler) events(rw http.ResponseWriter, r *http.Request) {
	if err := h.hub.enter(); err != nil {
		rw.Header().Set("Retry-After", "10")
		answer(rw, http.StatusServiceUnavailable, problem{http.StatusServiceUnavailable, err.Error()})
		return
	}
	defer h.hub.leave()
	header := rw.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would collect events

	s := stream{rw, http.NewResponseController(rw)}
	if s.write("retry: 2000\n\n") != nil {
		return
	}
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("after")
	}
	at, admitted := position{version: h.hub.version(id)}, time.Now()
	for {
		if time.Since(admitted) >= heartbeat {
			if !security.StillAdmitted(r.Context()) { // the page connects anew, and is told
				return
			}
			admitted = time.Now()
		}
		data, to, news := h.hub.next(at)
		if data != nil {
			if s.write("id: %s\nevent: health\ndata: %s\n\n", h.hub.id(to.version), data) != nil {
				return
			}
			at = to
		}
		select {
		case <-news:
		case <-time.After(heartbeat):
			if s.write("event: heartbeat\ndata: %s\n\n", h.hub.beat()) != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-h.hub.ctx.Done():
			return
		}
	}
}

type stream struct {
	rw      http.ResponseWriter
	control *http.ResponseController
}

// write sends at once. The server's own limit for an answer would end a stream; this one is for each write.
func (s stream) write(format string, args ...any) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprintf(s.rw, format, args...); err != nil {
		return err
	}
	return s.control.Flush()
}
