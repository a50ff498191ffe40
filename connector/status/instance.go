package status

import (
	"sync"
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// How often the pace of an instance is noted for its history, and how far that goes back.
const (
	historyStep = 30 * time.Second
	historySpan = time.Hour
)

// Instance is a connector's Coupa instance as its status shows it:
// the limiter, with what it was like in the last hour, and the token.
type Instance struct {
	source Source

	mu      sync.Mutex
	history [historySpan / historyStep]RatePoint // a ring
	noted   int                                  // points ever
	well    map[string]time.Time                 // when an object was last answered as it should be
}

// Source tells how requests to an instance go. It asks nothing of Coupa.
type Source interface {
	Pace() coupa.LimiterStats
	Token() coupa.TokenStats
	// Answers is how the requests for an object were answered, by status.
	Answers(object string) map[string]uint64
}

// NewInstance begins its history.
func NewInstance(source Source) *Instance { return &Instance{source: source} }

// Note adds a point to the history, unless the last one is younger than historyStep.
func (i *Instance) Note(now time.Time) {
	pace := i.source.Pace()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.noted > 0 && now.Sub(i.history[(i.noted-1)%len(i.history)].At) < historyStep {
		return
	}
	i.history[i.noted%len(i.history)] = RatePoint{now, pace.Current, pace.Used}
	i.noted++
}

// answered notes that an object was answered as it should be.
func (i *Instance) answered(object string, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.well == nil {
		i.well = map[string]time.Time{}
	}
	i.well[object] = now
}

// othersAnswered is when another object than this one was last answered as it should be; zero: never.
func (i *Instance) othersAnswered(object string) (last time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for other, at := range i.well {
		if other != object && at.After(last) {
			last = at
		}
	}
	return last
}

// Rate is how the limiter stands, with the history.
func (i *Instance) Rate(now time.Time) RateStatus {
	pace := i.source.Pace()
	r := RateStatus{
		Limit: pace.Limit, Current: pace.Current, Used: pace.Used, Waiting: pace.Waiting, ThrottledSince: pace.ThrottledSince,
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
