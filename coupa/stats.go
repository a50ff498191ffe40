package coupa

import (
	"strconv"
	"sync/atomic"
	"time"
)

// LimiterStats is how a [Limiter] stands.
type LimiterStats struct {
	Limit   float64 // the ceiling, requests a second; 0: none
	Auto    bool    // the limit is found, below the ceiling: see [NewAutoLimiter]
	Current float64 // what it allows now; 0: no limit
	Used    float64 // turns a second of the last minute
	Waiting [4]int  // for a turn, by [Priority]
	// ThrottledSince is when Coupa first refused a request for its pace since the rate was
	// last at the ceiling, and Throttled when it last did. Zero: the rate is not held down.
	// Where the limit is found, refusals count that go on although the rate was cut, until
	// there is a second without any: a single one is how a limit is found.
	ThrottledSince, Throttled time.Time
}

// Stats returns how the limiter stands now.
func (l *Limiter) Stats() LimiterStats {
	waiting := l.Waiting()
	l.mu.Lock()
	defer l.mu.Unlock()
	return LimiterStats{
		Limit: l.ceiling, Auto: l.seek != nil, Current: l.current, Used: float64(l.used.sum(time.Now())) / minuteSeconds, Waiting: waiting,
		ThrottledSince: l.throttledSince, Throttled: l.throttledLast,
	}
}

// TokenStats is what is known of a client's access token.
type TokenStats struct {
	// of the token in use, or else of one that is still held back; zero: there is none
	Issued, Expires time.Time
	Failed          error  // why the last request for one failed; nil: it did not
	Failures        uint64 // requests for one that failed
}

// Token returns what is known of the token now. It asks for none.
func (c *Client) Token() TokenStats {
	t := c.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := TokenStats{Failed: t.failed, Failures: c.counters.refused.Load()}
	held := t.current
	if held == nil {
		held = t.next
	}
	if held != nil && time.Now().Before(held.expires) {
		stats.Issued, stats.Expires = held.minted, held.expires
	}
	return stats
}

// Pace returns how the limiter stands that the client goes by.
func (c *Client) Pace() LimiterStats { return c.limiter.Stats() }

// Found is [Limiter.Found] of the limiter that the client goes by.
func (c *Client) Found() float64 { return c.limiter.Found() }

// Remember is [Limiter.Remember] of the limiter that the client goes by.
func (c *Client) Remember(rps float64) { c.limiter.Remember(rps) }

// statuses are those that are counted by themselves; of the others, the hundred counts.
var statuses = [...]int{200, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504}

// answers counts the requests for one resource by what was
// answered: as statuses has them, then 2xx to 5xx, then no answer.
type answers [len(statuses) + 5]atomic.Uint64

// count takes in an answer's status; 0: there was none.
func (a *answers) count(status int) {
	for i, s := range statuses {
		if s == status {
			a[i].Add(1)
			return
		}
	}
	i := len(a) - 1
	if hundred := status / 100; hundred >= 2 && hundred <= 5 {
		i = len(statuses) + hundred - 2
	}
	a[i].Add(1)
}

// NoAnswer is the status of a request that was not answered, in [Client.Answers].
const NoAnswer = "none"

// Answers counts the requests for the rows of a resource by status: "200", "429", or
// "5xx" for those that are seldom seen, or [NoAnswer]. What was never seen is left out.
func (c *Client) Answers(path string) map[string]uint64 {
	counts := map[string]uint64{}
	a := &c.collection(path).answers
	for i := range a {
		if n := a[i].Load(); n > 0 {
			counts[statusName(i)] = n
		}
	}
	return counts
}

func statusName(i int) string {
	switch rest := i - len(statuses); {
	case rest < 0:
		return strconv.Itoa(statuses[i])
	case i == len(answers{})-1:
		return NoAnswer
	default:
		return strconv.Itoa(rest+2) + "xx"
	}
}

const minuteSeconds = 60

// minute counts what happened in the last minute, by the second.
type minute struct {
	counts [minuteSeconds]int
	newest int64 // second since the epoch of the newest count
}

// add takes in n events of now.
func (m *minute) add(now time.Time, n int) {
	m.turn(now)
	m.counts[m.newest%minuteSeconds] += n
}

// sum is how many there were in the minute before now.
func (m *minute) sum(now time.Time) int {
	m.turn(now)
	total := 0
	for _, n := range m.counts {
		total += n
	}
	return total
}

// turn forgets what is older than a minute. A clock that was set back counts into the newest second.
func (m *minute) turn(now time.Time) {
	second := now.Unix()
	if second-m.newest >= minuteSeconds {
		m.counts, m.newest = [minuteSeconds]int{}, second
		return
	}
	for m.newest < second {
		m.newest++
		m.counts[m.newest%minuteSeconds] = 0
	}
}
