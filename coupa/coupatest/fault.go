package coupatest

import (
	"sync"
	"time"
)

// FaultKind is a way to answer wrongly.
type FaultKind string

// The faults. Those of a page need a request that is right otherwise: one that is
// throttled or not authorized does not use a fault up.
const (
	Throttle429     FaultKind = "throttle"      // 429
	Unavailable503  FaultKind = "unavailable"   // 503, JSON
	HTML503         FaultKind = "html"          // 503, an HTML maintenance page
	ServerError500  FaultKind = "error"         // 500
	LoginPage       FaultKind = "login"         // 200, an HTML page
	Reset           FaultKind = "reset"         // the connection is closed without an answer
	Truncate        FaultKind = "truncate"      // and in the middle of the body
	Hang            FaultKind = "hang"          // no answer until the client gives up
	HangBody        FaultKind = "hang-body"     // half a body, then nothing until the client gives up
	RedirectAway    FaultKind = "redirect"      // 302 to another host
	Unauthorized401 FaultKind = "unauthorized"  // 401
	Forbidden403    FaultKind = "forbidden"     // 403
	WrongOrder      FaultKind = "wrong-order"   // a page's rows in reverse
	RepeatRow       FaultKind = "repeat-row"    // a page's first row twice
	LongPage        FaultKind = "long-page"     // one row more than the cap
	IgnoreFilter    FaultKind = "ignore-filter" // all conditions are ignored
	ClockBack       FaultKind = "clock-back"    // the Date header is an hour behind
	ClockAhead      FaultKind = "clock-ahead"   // the Date header is an hour ahead
	WebPage403      FaultKind = "web-403"       // 403, a firewall's HTML page
	WebPage404      FaultKind = "web-404"       // 404, a gateway's HTML page
	WebPage504      FaultKind = "web-504"       // 504, a gateway's HTML page
	ByteOrderMark   FaultKind = "bom"           // a byte order mark before the body
	EndlessRow      FaultKind = "endless-row"   // behind a page's rows one whose text does not end
	// Fault.Bytes blanks before the page, compressed where that is taken
	Blanks FaultKind = "blanks"
	Drip   FaultKind = "drip"   // a blank a second, and no page
	Canned FaultKind = "canned" // what Fault.Status, Type and Body say
)

// Timeout is Hang.
const Timeout = Hang

// TokenRequests is the Fault.Object that means requests for a token.
const TokenRequests = "oauth2/token"

// Fault makes requests go wrong.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Object is whose requests are hit; "": those of any object, but not of tokens.
	Object string `json:"object"`
	// Count is how many requests are hit; 0: one, negative: all from then on.
	Count int `json:"count"`
	// RetryAfter goes with statuses from 429 on, in whole seconds; 0: no header,
	// as Coupa sends none.
	RetryAfter time.Duration `json:"retry_after"`
	// After is how many requests pass first.
	After int `json:"after"`
	// Bytes is how many blanks there are; 0: no end of them.
	Bytes int64 `json:"bytes"`
	// Status, Type and Body are the answer of Canned; Status 0: 200, Type "": JSON.
	Status int    `json:"status"`
	Type   string `json:"type"`
	Body   string `json:"body"`
}

// faults are those injected and not used up. One request is hit by one of them,
// the oldest that is due.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Inject adds a fault.
func (t *Tenant) Inject(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	t.faults.mu.Lock()
	defer t.faults.mu.Unlock()
	t.faults.list = append(t.faults.list, &f)
}

// ClearFaults ends all faults.
func (t *Tenant) ClearFaults() {
	t.faults.mu.Lock()
	defer t.faults.mu.Unlock()
	t.faults.list = nil
}

// next is the fault that hits a request for object now, of kind "" if none does.
func (f *faults) next(object string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit Fault
	kept := f.list[:0]
	for _, fault := range f.list {
		switch {
		case fault.Object != object && (fault.Object != "" || object == TokenRequests):
		case fault.After > 0:
			fault.After--
		case hit.Kind == "":
			hit = *fault
			if fault.Count > 0 {
				if fault.Count--; fault.Count == 0 {
					continue
				}
			}
		}
		kept = append(kept, fault)
	}
	f.list = kept
	return hit
}
