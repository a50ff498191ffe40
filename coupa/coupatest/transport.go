package coupatest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errReset is what a client sees of a connection that the tenant cut.
var errReset = errors.New("connection reset by peer")

// Transport is a way to the tenant without a socket, so that a client of it can
// live in a testing/synctest bubble. Each request is served by a goroutine of its
// own, which ends with the request or when the body is closed.
func (t *Tenant) Transport() http.RoundTripper { return transport{t} }

type transport struct{ t *Tenant }

// RoundTrip serves the request. Host and scheme of its URL do not matter.
func (tr transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	inner := r.Clone(ctx)
	inner.RequestURI = r.URL.RequestURI()
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	w := &responder{header: http.Header{}, started: make(chan struct{}), done: make(chan struct{})}
	w.reader, w.writer = io.Pipe()
	go w.serve(tr.t, inner)
	select {
	case <-w.started:
	case <-w.done:
		select {
		case <-w.started: // a short answer may have both
		default:
			cancel()
			return nil, errReset
		}
	case <-ctx.Done():
		cancel()
		w.reader.CloseWithError(r.Context().Err()) // nobody will read what the tenant may still write
		return nil, r.Context().Err()
	}
	stop := context.AfterFunc(ctx, func() { w.writer.CloseWithError(context.Cause(ctx)) })
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Request: r, ContentLength: -1,
		Body: &body{Reader: w.reader, close: func() { stop(); w.reader.Close(); cancel() }},
	}, nil
}

// body is a response's body; closing it ends the request.
type body struct {
	io.Reader
	close func()
}

func (b *body) Close() error {
	b.close()
	return nil
}

// responder is an http.ResponseWriter into a pipe.
type responder struct {
	header, sent  http.Header
	status        int
	once          sync.Once
	started, done chan struct{}
	reader        *io.PipeReader
	writer        *io.PipeWriter
}

func (w *responder) serve(t *Tenant, r *http.Request) {
	defer close(w.done)
	defer func() {
		switch p := recover(); p {
		case nil:
			w.WriteHeader(http.StatusOK)
			w.writer.Close()
		case http.ErrAbortHandler:
			if err := context.Cause(r.Context()); err != nil { // the client gave up, and learns that
				w.writer.CloseWithError(err)
			}
			w.writer.CloseWithError(io.ErrUnexpectedEOF)
		default:
			panic(p)
		}
	}()
	t.ServeHTTP(w, r)
}

func (w *responder) Header() http.Header { return w.header }

func (w *responder) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	})
}

func (w *responder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.writer.Write(p)
}

// Flush has nothing to do: what is written to the pipe is read.
func (w *responder) Flush() {}
