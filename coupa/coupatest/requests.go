package coupatest

import (
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Request is one request to /api, as the tenant saw it.
type Request struct {
	Time   time.Time
	Method string
	Path   string // "/api/invoices"
	Object string // "invoices"
	Query  url.Values
	Line   int // bytes of the request line
	Status int // what is about to be answered; 0: nothing, by a fault
	Rows   int // of the page
	Fault  FaultKind
}

// requestsKept is how many requests are remembered; all are counted.
const requestsKept = 20_000

type requestLog struct {
	mu     sync.Mutex
	list   []Request
	counts map[string]int64 // per object
	rows   map[string]int64 // of their pages, per object
	hook   func(Request)
}

// Requests are the latest requests to /api, oldest first, at least the last
// 20 000 of them.
func (t *Tenant) Requests() []Request {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	return slices.Clone(t.log.list)
}

// RequestCounts are the requests to /api so far, per object.
func (t *Tenant) RequestCounts() map[string]int64 {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	return maps.Clone(t.log.counts)
}

// RowCounts are the rows in the pages of all requests so far, per object.
func (t *Tenant) RowCounts() map[string]int64 {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	return maps.Clone(t.log.rows)
}

// OnRequest sets a function that is called for each request to /api after its
// rows were read and before they are sent: what it changes is not in the page. It
// may call the tenant. nil: none.
func (t *Tenant) OnRequest(hook func(Request)) {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	t.log.hook = hook
}

// note remembers a request and tells the hook.
func (t *Tenant) note(r Request) {
	t.log.mu.Lock()
	if len(t.log.list) >= 2*requestsKept {
		t.log.list = append(t.log.list[:0:0], t.log.list[requestsKept:]...)
	}
	t.log.list = append(t.log.list, r)
	t.log.counts[r.Object]++
	t.log.rows[r.Object] += int64(r.Rows)
	hook := t.log.hook
	t.log.mu.Unlock()
	if hook != nil {
		hook(r)
	}
}
