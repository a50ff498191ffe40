// Package lossy is a network, for tests, that loses answers: a request is carried out by
// the broker, and the connection dies before its answer is seen. It can also be cut off.
package lossy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Net dials through another network. Set Dial before it is used.
type Net struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	key  int16
	left int
	cut  bool
}

// Lose makes the next n requests of a kind lose their answers.
func (l *Net) Lose(key kmsg.Key, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key, l.left = int16(key), n
}

// Cut takes the network away, or gives it back: no connection can
// be made, and those that are there die when they are next used.
func (l *Net) Cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *Net) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *Net) take(key int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || l.key != key {
		return false
	}
	l.left--
	return true
}

// DialContext is for kgo.Dialer.
func (l *Net) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if l.isCut() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	c, err := l.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, net: l}, nil
}

// conn sees whole requests: the client writes each in one call.
type conn struct {
	net.Conn
	net *Net

	mu     sync.Mutex
	doomed bool
	corr   uint32 // correlation id of the request whose answer is lost
}

func (c *conn) Write(p []byte) (int, error) {
	const header = 12 // size, key, version, correlation id
	if c.net.isCut() {
		return 0, errors.Join(errors.New("network is unreachable"), c.Close())
	}
	if len(p) >= header && c.net.take(int16(binary.BigEndian.Uint16(p[4:]))) {
		c.mu.Lock()
		c.doomed, c.corr = true, binary.BigEndian.Uint32(p[8:])
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	doomed, corr := c.doomed, c.corr
	c.mu.Unlock()
	if !doomed || err != nil {
		return n, err
	}
	// Whatever was read so far is the beginning of an answer. The
	// one that is lost must have been written in full by the broker.
	pending := append([]byte{}, p[:n]...)
	for {
		for len(pending) < 8 || len(pending) < 4+int(binary.BigEndian.Uint32(pending)) {
			more := make([]byte, 64<<10)
			n, err := c.Conn.Read(more)
			if err != nil {
				return 0, err
			}
			pending = append(pending, more[:n]...)
		}
		if binary.BigEndian.Uint32(pending[4:]) == corr {
			return 0, errors.Join(io.ErrUnexpectedEOF, c.Close())
		}
		pending = pending[4+int(binary.BigEndian.Uint32(pending)):]
	}
}
