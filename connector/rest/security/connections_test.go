package security

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// addressed is a connection from an address, that nobody is at the other end of.
type addressed struct {
	net.Conn
	from net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.from }

// arrivals is a listener whose connections a test makes.
type arrivals struct {
	net.Listener
	waiting chan net.Conn
}

func (a *arrivals) Accept() (net.Conn, error) {
	conn, ok := <-a.waiting
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (a *arrivals) Addr() net.Addr { return &net.TCPAddr{Port: 8083} }

// arrive makes a connection from an address; other is its other end.
func (a *arrivals) arrive(ip string) (other net.Conn) {
	here, there := net.Pipe()
	a.waiting <- addressed{here, &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000}}
	return there
}

func TestConnectionsAreBounded(t *testing.T) {
	var log bytes.Buffer
	a := &arrivals{waiting: make(chan net.Conn, 1)}
	c := newConnections(a, slog.New(slog.NewTextHandler(&log, nil)))
	accept := func() net.Conn {
		conn, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	var first net.Conn
	for _, ip := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
		for range mostOfOneAddress {
			a.arrive(ip)
			if conn := accept(); first == nil {
				first = conn
			}
		}
	}
	accepted := make(chan net.Conn)
	go func() { accepted <- accept() }()
	refused := a.arrive("10.0.0.5") // beyond all
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one beyond all: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()              // gives its place back once
	refused = a.arrive("10.0.0.2") // beyond its address
	if _, err := refused.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one beyond its address: %v", err)
	}
	a.arrive("10.0.0.1")
	if conn := <-accepted; !strings.HasPrefix(conn.RemoteAddr().String(), "10.0.0.1:") {
		t.Errorf("%s", conn.RemoteAddr())
	}
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, &log)
	}
	close(a.waiting)
	if _, err := c.Accept(); err == nil {
		t.Error("a connection of a listener that is closed")
	}
}
