package security

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coupastream/coupastream/connector/config"
)

// Listener is an address of the REST API.
type Listener struct {
	URL   string // with the port that was taken where port 0 was asked for
	Local bool   // it is on loopback

	listener net.Listener
	server   *http.Server
	clients  *clients // of https; nil: it is http
}

// Listen opens the worker's listeners. Nobody is answered
// before Serve; Close gives up one that is not served.
func Listen(settings *config.Worker, log *slog.Logger) ([]*Listener, error) {
	var all []*Listener
	for _, address := range settings.Listeners {
		l, err := listen(settings, address, log)
		if err != nil {
			for _, open := range all {
				open.Close()
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func listen(settings *config.Worker, address string, logger *slog.Logger) (*Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, config.Problem{File: settings.File, Key: "listeners", Value: address, Message: err.Error(), Remedy: "write e.g. http://127.0.0.1:8083"}
	}
	l := &Listener{server: &http.Server{
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: mostHeader,
		ErrorLog: log.New(quiet{logger}, "", 0),
	}}
	if u.Scheme == "https" {
		if l.clients, err = newClients(settings, logger); err != nil {
			return nil, err
		}
		l.server.TLSConfig = l.clients.config()
	}
	socket, err := net.Listen("tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("listeners = %s: %w; give a free host:port, or port 0", address, err)
	}
	l.listener = newConnections(socket, logger)
	at, _ := l.listener.Addr().(*net.TCPAddr)
	l.URL, l.Local = u.Scheme+"://"+l.listener.Addr().String(), at != nil && at.IP.IsLoopback()
	return l, nil
}

// Addr is host:port.
func (l *Listener) Addr() string { return l.listener.Addr().String() }

// Close gives up the address.
func (l *Listener) Close() { _ = l.listener.Close() }

// Serve answers requests until ctx ends; those under way then have a second.
func (l *Listener) Serve(ctx context.Context, handler http.Handler) error {
	l.server.Handler = handler
	if l.clients != nil {
		l.server.Handler = l.clients.handler(handler)
	}
	stopped := make(chan error, 1) // the server's only result
	go func() {
		if l.clients != nil {
			stopped <- l.server.ServeTLS(l.listener, "", "")
			return
		}
		stopped <- l.server.Serve(l.listener)
	}()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if l.server.Shutdown(grace) != nil {
		_ = l.server.Close() // pages that listen for events never end
	}
	<-stopped
	return nil
}

// quiet logs what net/http says of connections, mostly that a handshake has
// failed: anybody may make it say so. That none can be accepted is another matter.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(line []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.Contains(line, []byte("Accept error")) {
		level = slog.LevelWarn
	}
	q.log.Log(context.Background(), level, "listener", "said", string(line))
	return len(line), nil
}
