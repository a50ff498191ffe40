package coupa

import (
	"net/http"
	"sync"
	"time"
)

// clockMemory is how long what one answer said of Coupa's time counts. Instances
// have several servers, and one whose clock runs ahead must not make windows end
// in the future: rows that the others stamp would be behind the mark for ever.
const clockMemory = 5 * time.Minute

// clockSlots divide clockMemory.
const clockSlots = 10

// clock follows the clock of the instance by the Date headers of its answers. Date is cut to the
// second and set before the answer travels, so Date and the time since is never ahead of the
// server that answered; of all answers of the last minutes the one that is furthest behind counts.
type clock struct {
	mu    sync.Mutex
	start time.Time // with the monotonic reading: what offsets are measured from
	slots [clockSlots]clockSlot
	last  clockSlot // the latest answer, for when none is recent
	epoch time.Time // of offset 0

	provisional bool // all that was heard so far came from the token endpoint
}

// clockSlot is the least that was heard in one span of time.
type clockSlot struct {
	number int64         // of the span since start; 0: nothing heard
	offset time.Duration // of Coupa's clock against start's monotonic clock
}

// setProvisional takes over what the token endpoint said, where the API
// has not answered yet: it is a service of its own, with its own clock.
func (c *clock) setProvisional(date time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start.IsZero() || c.provisional {
		c.take(date)
		c.provisional = true
	}
}

// set takes over what an answer of the API said.
func (c *clock) set(date time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(date)
	c.provisional = false
}

// take notes an answer; mu is held.
func (c *clock) take(date time.Time) {
	if c.provisional {
		c.start, c.slots = time.Time{}, [clockSlots]clockSlot{}
	}
	if c.start.IsZero() {
		c.start, c.epoch = time.Now(), date
	}
	since := time.Since(c.start)
	s := clockSlot{number: 1 + int64(since/(clockMemory/clockSlots)), offset: date.Sub(c.epoch) - since}
	c.last = s
	slot := &c.slots[s.number%clockSlots]
	if slot.number != s.number || s.offset < slot.offset {
		*slot = s
	}
}

// now returns the lower bound, and whether there is one yet.
func (c *clock) now() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.start.IsZero() {
		return time.Time{}, false
	}
	since := time.Since(c.start)
	oldest := 1 + int64(since/(clockMemory/clockSlots)) - clockSlots
	offset := c.last.offset
	for _, s := range c.slots {
		if s.number > 0 && s.number > oldest {
			offset = min(offset, s.offset)
		}
	}
	return c.epoch.Add(since + offset), true
}

// mostAhead is how far Coupa's clock may be ahead of this machine's before the earlier one counts.
const mostAhead = time.Minute

// bounded is now, or the time of this machine where that is much earlier.
func (c *clock) bounded() (time.Time, bool) {
	now, ok := c.now()
	if own := time.Now().UTC(); ok && now.Sub(own) > mostAhead {
		return own, true
	}
	return now, ok
}

// ahead is how far now is ahead of this machine's time.
func (c *clock) ahead() time.Duration {
	now, ok := c.now()
	if !ok {
		return 0
	}
	return time.Until(now)
}

// dateOf reads the Date header.
func dateOf(h http.Header) (time.Time, bool) {
	t, err := http.ParseTime(h.Get("Date"))
	return t.UTC(), err == nil
}
