// Package embedded gives an in-process Kafka and an in-process Schema Registry, for `coupastream dev`.
//
// They speak the real protocols, so that any client can use them, and keep everything in memory.
// They are no proof of anything: the broker has no markers to wait for, the registry no storage.
package embedded

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// Kafka starts a broker on loopback and returns its address.
// Port 0, or one that is taken, means any free port.
func Kafka(port int) (addr string, stop func(), err error) {
	if !Free(port) {
		port = 0
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SleepOutOfOrder(), kfake.ClusterID("coupastream-dev"), kfake.DefaultNumPartitions(3))
	if err != nil {
		return "", nil, fmt.Errorf("starting the embedded Kafka: %w", err)
	}
	return c.ListenAddrs()[0], c.Close, nil
}

// Free reports whether a port of loopback can be listened on.
func Free(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Registry starts a Confluent-compatible registry on loopback and returns
// its URL. The global compatibility level is BACKWARD, and it is enforced.
func Registry(port int) (url string, stop func(), err error) {
	r := srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatBackward))
	r.Intercept(enforceCompatibility(r))
	return Serve(port, r.Handler())
}

// Serve serves a handler on loopback and returns its URL. Port 0, or one that is taken,
// means any free port. stop waits for requests that are under way, up to a second.
func Serve(port int, h http.Handler) (url string, stop func(), err error) {
	if !Free(port) {
		port = 0
	}
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return "", nil, fmt.Errorf("listening on loopback: %w", err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }() // ends with the listener
	return "http://" + l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}, nil
}
