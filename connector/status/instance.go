package status

import (
	"sync"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// How often it is noted for its history how an instance does, and how far that goes back. What has
// just begun is looked at by somebody, and is noted more often.
const (
	historyStep  = 30 * time.Second
	historySpan  = time.Hour
	earlyStep    = 10 * time.Second
	earlyHistory = 12 // points
)

// Instance is a connector's Coupa instance as its status shows it:
// the limiter, with what it was like in the last hour, and the token.
type Instance struct {
	source Source

	mu sync.Mutex
	// the last two objects that Coupa answered well for, the later first
	answers [2]answer
	history [historySpan / historyStep]Point // a ring
	noted   int                              // points ever
}

// Source tells how requests to an instance go. It asks nothing of Coupa.
type Source interface {
	Pace() coupa.LimiterStats
	Token() coupa.TokenStats
	// Answers is how the requests for an object were answered, by status.
	Answers(object string) map[string]uint64
	// Underway is the request for an object that has been under way for longest; false: there is none.
	Underway(object string) (coupa.Exchange, bool)
	// Ahead is how far Coupa's clock is ahead of this machine's; below 0: behind.
	Ahead() time.Duration
}

// answer is when Coupa last answered well for an object.
type answer struct {
	object string
	at     time.Time
}

// NewInstance begins its history.
func NewInstance(source Source) *Instance { return &Instance{source: source} }

// Note adds a point to the history, with what the instance's tasks are like, unless the last one is
// younger than a step. One goroutine calls it.
func (i *Instance) Note(now time.Time, tasks []*Task) {
	if !i.isDue(now) {
		return
	}
	pace := i.source.Pace()
	p := Point{At: now, Current: pace.Current, Used: pace.Used}
	for _, t := range tasks {
		t.addTo(&p)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.history[i.noted%len(i.history)] = p
	i.noted++
}

func (i *Instance) isDue(now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	step := historyStep
	if i.noted < earlyHistory {
		step = earlyStep
	}
	return i.noted == 0 || now.Sub(i.history[(i.noted-1)%len(i.history)].At) >= step
}

// answered notes that Coupa has answered well for an object.
func (i *Instance) answered(object string, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.answers[0].object != object {
		i.answers[1] = i.answers[0]
	}
	i.answers[0] = answer{object, now}
}

// answersOthers tells whether Coupa has answered well for another object than that, since a time.
func (i *Instance) answersOthers(object string, since time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	other := i.answers[0]
	if other.object == object {
		other = i.answers[1]
	}
	return other.at.After(since)
}

// Ahead is how far Coupa's clock is ahead of this machine's; below 0: behind.
func (i *Instance) Ahead() time.Duration { return i.source.Ahead() }

// Rate is how the limiter stands, with the history.
func (i *Instance) Rate(now time.Time) RateStatus {
	pace := i.source.Pace()
	r := RateStatus{
		Limit: pace.Limit, Auto: pace.Auto, Current: pace.Current, Used: pace.Used, Waiting: pace.Waiting, ThrottledSince: pace.ThrottledSince,
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := max(0, i.noted-len(i.history)); n < i.noted; n++ {
		if p := i.history[n%len(i.history)]; now.Sub(p.At) <= historySpan {
			r.History = append(r.History, p)
		}
	}
	return r
}

// Token is how the token stands. That a successor can't be had
// is no trouble while the one in use lasts for a good while.
func (i *Instance) Token(now time.Time) TokenStatus {
	return tokenStatus(i.source.Token(), now)
}

// tokenGrace is how long a token must last still for a failure to renew it to pass without a word.
const tokenGrace = time.Hour

func tokenStatus(s coupa.TokenStats, now time.Time) TokenStatus {
	t := TokenStatus{Failures: s.Failures}
	if !s.Issued.IsZero() {
		t.Age, t.ExpiresIn = now.Sub(s.Issued), s.Expires.Sub(now)
	}
	if s.Failed != nil && t.ExpiresIn < tokenGrace {
		t.Trouble = s.Failed.Error()
	}
	return t
}

// RateStatus is the pace of requests to one Coupa instance, in requests a second.
type RateStatus struct {
	Limit   float64 // coupa.rate.limit, or coupa.rate.limit.max where that is auto; 0: none
	Auto    bool    // the limit is found, below Limit
	Current float64 // what the limiter allows now
	Used    float64 // of the last minute
	Waiting [4]int  // requests that wait, by priority: poll, snapshot, backfill, sweep
	// ThrottledSince is when Coupa began to slow this instance down; zero: it does not.
	ThrottledSince time.Time
	History        []Point // oldest first, of the last hour
}

// Point is what an instance and its objects were like at one time.
type Point struct {
	At            time.Time
	Current, Used float64       // pace, in requests a second
	Proven        time.Time     // of the object that was furthest behind; zero: none ran
	Published     int64         // records of all objects, lines among them, since the start
	Lateness      time.Duration // of the latest row since the point before
}

// TokenStatus is the connector's access token.
type TokenStatus struct {
	Age, ExpiresIn time.Duration
	Trouble        string // why there is none; "" otherwise
	Failures       uint64 // requests for one that failed, since the start
}
