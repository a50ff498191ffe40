package connector

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// link is one worker's network. While it is cut nothing gets through, and nobody
// is told: what is sent waits, and arrives once it is mended unless the sender
// has given up by then. To Kafka, the worker is stopped; to itself, Kafka is.
type link struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	mended chan struct{} // closed when the link is whole
}

func newLink(dial func(ctx context.Context, network, address string) (net.Conn, error)) *link {
	whole := make(chan struct{})
	close(whole)
	return &link{dial: dial, mended: whole}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mended = make(chan struct{})
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.mended)
}

func (l *link) whole() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mended
}

func (l *link) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-l.whole():
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	c, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &linkConn{Conn: c, link: l, closed: make(chan struct{}), read: newDeadline(), write: newDeadline()}, nil
}

type linkConn struct {
	net.Conn
	link        *link
	once        sync.Once
	closed      chan struct{}
	read, write *deadline
}

func (c *linkConn) SetDeadline(t time.Time) error {
	c.read.set(t)
	c.write.set(t)
	return c.Conn.SetDeadline(t)
}

func (c *linkConn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *linkConn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *linkConn) Write(p []byte) (int, error) {
	if err := c.pass(c.write); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *linkConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, c.pass(c.read)
}

// pass waits until the link is whole.
func (c *linkConn) pass(d *deadline) error {
	for {
		late, changed := d.get()
		select {
		case <-c.link.whole():
			return nil
		case <-c.closed:
			return net.ErrClosed
		case <-late:
			return os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

// deadline is one that may be moved while it is waited for.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{}
}

func newDeadline() *deadline { return &deadline{changed: make(chan struct{})} }

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *deadline) get() (late <-chan time.Time, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() {
		return nil, d.changed
	}
	return time.After(time.Until(d.at)), d.changed
}
