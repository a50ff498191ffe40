package coupa

import (
	"sync"
	"sync/atomic"
	"time"
)

// Exchange is a request that is under way: what an object waits for.
type Exchange struct {
	Op       string    // what it is for: "reading invoices"
	Since    time.Time // when it went out
	Answered bool      // the header of the answer has come, and its body is arriving
	Bytes    int64     // of the body so far, after decompression
}

// Underway returns the request for the rows of a resource that
// has been under way for longest; false: there is none.
func (c *Client) Underway(path string) (Exchange, bool) {
	return c.collection(path).underway.longest()
}

// underway is the requests of a collection that are under way. Safe for concurrent use.
type underway struct {
	mu   sync.Mutex
	list []*exchange // in the order in which they went out
}

// exchange is one of them.
type exchange struct {
	op       string
	since    time.Time
	answered atomic.Bool
	bytes    atomic.Int64
}

func (u *underway) add(op string) *exchange {
	e := &exchange{op: op, since: time.Now()}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, e)
	return e
}

func (u *underway) remove(e *exchange) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.list {
		if u.list[i] == e {
			u.list = append(u.list[:i], u.list[i+1:]...)
			return
		}
	}
}

func (u *underway) longest() (Exchange, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.list) == 0 {
		return Exchange{}, false
	}
	e := u.list[0]
	return Exchange{Op: e.op, Since: e.since, Answered: e.answered.Load(), Bytes: e.bytes.Load()}, true
}
