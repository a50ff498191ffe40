package security

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// What connections may take of a worker: each costs a descriptor,
// of which the brokers, the registry and Coupa need some too.
const (
	mostConnections   = 2048 // of a listener
	mostOfOneAddress  = 512
	tellOfConnections = time.Minute // how often it is said that there are too many
)

// connections is a listener with bounds. A connection beyond
// them is closed at once: who made it may try again.
type connections struct {
	net.Listener
	log *slog.Logger

	mu   sync.Mutex
	all  int
	of   map[string]int // by address
	told time.Time
}

func newConnections(l net.Listener, log *slog.Logger) *connections {
	return &connections{Listener: l, log: log, of: map[string]int{}}
}

// Accept implements [net.Listener].
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			from = conn.RemoteAddr().String()
		}
		if c.acquire(from) {
			return &connection{Conn: conn, release: sync.OnceFunc(func() { c.release(from) })}, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

func (c *connections) acquire(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all < mostConnections && c.of[from] < mostOfOneAddress {
		c.all++
		c.of[from]++
		return true
	}
	if time.Since(c.told) >= tellOfConnections {
		c.told = time.Now()
		c.log.Warn("too many connections are open; further ones are closed", "listener", c.Addr().String(), "open", c.all, "from", from, "of_it", c.of[from])
	}
	return false
}

func (c *connections) release(from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// connection gives its place back when it is closed.
type connection struct {
	net.Conn
	release func()
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	defer c.release()
	return c.Conn.Close()
}
