package connector

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// lossy loses answers: a request of a chosen kind is carried out by the broker, and the connection dies before its answer is seen.
type lossy struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	key  int16
	left int
}

// lose makes the next n requests of a kind lose their answers.
func (l *lossy) lose(key kmsg.Key, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key, l.left = int16(key), n
}

func (l *lossy) take(key int16) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == 0 || l.key != key {
		return false
	}
	l.left--
	return true
}

func (l *lossy) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := l.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: c, lossy: l}, nil
}

// lossyConn sees whole requests: the client writes each in one call.
type lossyConn struct {
	net.Conn
	lossy *lossy

	mu     sync.Mutex
	doomed bool
	corr   uint32 // correlation id of the request whose answer is lost
}

func (c *lossyConn) Write(p []byte) (int, error) {
	const header = 12 // size, key, version, correlation id
	if len(p) >= header && c.lossy.take(int16(binary.BigEndian.Uint16(p[4:]))) {
		c.mu.Lock()
		c.doomed, c.corr = true, binary.BigEndian.Uint32(p[8:])
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *lossyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	doomed, corr := c.doomed, c.corr
	c.mu.Unlock()
	if !doomed || err != nil {
		return n, err
	}
	// Whatever was read so far is the beginning of an answer. The one that is lost must have been written in full by the broker.
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
