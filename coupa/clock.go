package coupa

import (
	"net/http"
	"sync"
	"time"
)

// clock follows the clock of the instance by the Date headers of its answers. Date is cut to the second and set before the
// answer travels, so what the clock shows is never ahead of the server that answered last.
type clock struct {
	mu   sync.Mutex
	date time.Time // as the last answer said, UTC
	at   time.Time // when it arrived, with the monotonic reading
}

// set takes over what an answer said; a later answer wins also when it sets the clock back.
func (c *clock) set(date time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.date, c.at = date, time.Now()
}

// now returns the lower bound, and whether there is one yet.
func (c *clock) now() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.date.IsZero() {
		return time.Time{}, false
	}
	return c.date.Add(time.Since(c.at)), true
}

// dateOf reads the Date header.
func dateOf(h http.Header) (time.Time, bool) {
	t, err := http.ParseTime(h.Get("Date"))
	return t.UTC(), err == nil
}
