package registry

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// dialer makes connections that call lost when they end, unless this side has closed them.
func dialer(lost func()) func(context.Context, string, string) (net.Conn, error) {
	d := net.Dialer{Timeout: requestTime, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: c, lost: sync.OnceFunc(lost)}, nil
	}
}

// watchedConn tells of its end. The HTTP transport always reads, also while no request is under way.
type watchedConn struct {
	net.Conn
	lost func()
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.lost()
	}
	return n, err
}
