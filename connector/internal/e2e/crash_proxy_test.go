//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// way is how a proxy treats what comes by.
type way string

const (
	passes  way = ""
	delays  way = "delayed"                      // each piece for some tenths of a second
	cuts    way = "cut"                          // and refused for a while
	holds   way = "held back"                    // whatever comes, for a while
	deafens way = "held back, the answers alone" // so it is done, and nobody hears of it
	forgets way = "half open"                    // the far end closed, the near one not told; new ones pass
)

// proxy stands before one part, and its connections go through it.
type proxy struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	way     way
	changed chan struct{} // closed when way is another one
	links   map[*link]struct{}
}

// link is one connection through a proxy.
type link struct {
	near, far net.Conn
	forgotten bool // under proxy.mu: near stays open and is not read any more
}

func newProxy(tb testing.TB, at, to string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, to: to, changed: make(chan struct{}), links: map[*link]struct{}{}}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() { p.serve(near) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.set(cuts)
		done.Wait()
	})
	return p
}

// set changes the way of a proxy from now on.
func (p *proxy) set(w way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.way = w
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		switch {
		case w == forgets:
			l.forgotten = true
			_ = l.far.Close()
		case w == cuts:
			_ = l.near.Close()
			_ = l.far.Close()
		}
	}
}

func (p *proxy) now() (way, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.way, p.changed
}

func (p *proxy) dial() (net.Conn, error) {
	if w, _ := p.now(); w == cuts {
		return nil, errors.New("cut")
	}
	return net.Dial("tcp", p.to)
}

// serve is one connection from its beginning to its end.
func (p *proxy) serve(near net.Conn) {
	defer near.Close()
	far, err := p.dial()
	if err != nil {
		_ = near.(*net.TCPConn).SetLinger(0) // a reset: what a part that is away gives
		return
	}
	l := &link{near: near, far: far}
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.carry(l, far, near, false) })
	both.Go(func() { p.carry(l, near, far, true) })
	both.Wait()
	p.outlive(l)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// outlive keeps the near end of a link that is half open, until all links are cut.
func (p *proxy) outlive(l *link) {
	for {
		w, changed := p.now()
		p.mu.Lock()
		forgotten := l.forgotten
		p.mu.Unlock()
		if !forgotten || w == cuts {
			return
		}
		<-changed
	}
}

// carry copies one direction. What ends it ends the other one.
func (p *proxy) carry(l *link, to io.Writer, from io.Reader, answers bool) {
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			p.linger(answers)
			_, err2 := to.Write(piece[:n])
			if err == nil {
				err = err2
			}
		}
		if err != nil {
			p.mu.Lock()
			forgotten := l.forgotten
			p.mu.Unlock()
			_ = l.far.Close()
			if !forgotten {
				_ = l.near.Close()
			} else {
				_ = l.near.SetReadDeadline(time.Now()) // the other direction reads it no more
			}
			return
		}
	}
}

// linger waits as long as the proxy's way says.
func (p *proxy) linger(answers bool) {
	for {
		w, changed := p.now()
		switch {
		case w == delays:
			select {
			case <-time.After(time.Duration(rand.Int64N(int64(300 * time.Millisecond)))):
			case <-changed:
			}
			return
		case w == holds, w == deafens && answers:
			<-changed
		default:
			return
		}
	}
}

// proxies are before the parts, for workers alone: the tests and the judge go past them.
type proxies struct {
	kafka    []*proxy
	registry *proxy
}

// newProxies stands before each broker, at the address by which it
// is told to those who come that way, and before the registry.
func newProxies(tb testing.TB, first, brokers int, registry string) *proxies {
	tb.Helper()
	ps := &proxies{registry: newProxy(tb, "127.0.0.1:0", registry)}
	for n := range brokers {
		ps.kafka = append(ps.kafka, newProxy(tb, local(first+n), local(first+brokers+n)))
	}
	return ps
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// through is a URL whose host is the proxy.
func (p *proxy) through(url string) string {
	return strings.Replace(url, p.to, p.listener.Addr().String(), 1)
}

// networkBlows are each way of each link.
func networkBlows() []blow {
	var all []blow
	for _, part := range []string{"all brokers", "a broker", "the registry", "Coupa"} {
		for _, w := range []way{delays, cuts, holds, deafens, forgets} {
			all = append(all, blow{fmt.Sprintf("connections to %s: %s", part, w), func(s *scene) func() {
				ps := s.between(part)
				for _, p := range ps {
					p.set(w)
				}
				s.while(time.Second, 6*time.Second)
				return func() {
					for _, p := range ps {
						p.set(passes)
					}
				}
			}})
		}
	}
	return all
}

// between are the proxies before a part.
func (s *scene) between(part string) []*proxy {
	switch part {
	case "all brokers":
		return s.p.proxies.kafka
	case "a broker":
		return []*proxy{s.p.proxies.kafka[s.random.IntN(len(s.p.proxies.kafka))]}
	case "the registry":
		return []*proxy{s.p.proxies.registry}
	default:
		return []*proxy{s.coupa[s.tenants[0].name]}
	}
}
