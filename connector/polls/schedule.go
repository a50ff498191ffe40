package polls

import (
	"sync"
	"time"
)

// Schedule has the budgets of a worker. Safe for concurrent use; the zero value is ready.
type Schedule struct {
	mu    sync.Mutex
	loads map[key]map[*Timetable][]load // of those that share a budget
	// when what polls out of turn have spent of a budget is there again
	spent map[key]time.Time
}

// key is what those have in common that share one.
type key struct {
	instance string
	share    float64
}

// Budget is the share of an instance's rate that polls have.
type Budget struct {
	schedule *Schedule
	key      key
	limit    Limit
}

// Budget is the share of an instance, by the host that its limiter
// goes by. Budgets of the same instance and share are one.
func (s *Schedule) Budget(instance string, share float64, limit Limit) Budget {
	return Budget{s, key{instance, share}, limit}
}

// Limit is how many requests a second an instance takes.
type Limit struct {
	Fixed float64 // 0: there is no limit, or it is found
	// of a limit that is found: what was last found under load, 0 if nothing was; and what to begin with
	Found    func() float64
	Remember func(rate float64)
}

// Where there is no limit, polls have their share of what Coupa
// documents; where one is to be found, of what it begins with.
const (
	documented = 25
	unfound    = 10
)

func (l Limit) rate() float64 {
	switch {
	case l.Found == nil && l.Fixed == 0:
		return documented
	case l.Found == nil:
		return l.Fixed
	}
	if found := l.Found(); found > 0 {
		return found
	}
	return unfound
}

// intervals gives the times between two polls of each of the loads, which are all that t has. From
// the first call on it has its part of the budget, until it leaves.
func (b Budget) intervals(t *Timetable, own ...load) []time.Duration {
	s, rate := b.schedule, b.limit.rate()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loads == nil {
		s.loads = map[key]map[*Timetable][]load{}
	}
	if s.loads[b.key] == nil {
		s.loads[b.key] = map[*Timetable][]load{}
	}
	s.loads[b.key][t] = own
	all := own
	for other, loads := range s.loads[b.key] {
		if other != t {
			all = append(all, loads...)
		}
	}
	intervals := make([]time.Duration, len(own))
	for i, polls := range plan(all, b.key.share*rate)[:len(own)] {
		intervals[i] = time.Duration(float64(time.Second) / polls).Round(time.Millisecond)
	}
	return intervals
}

func (b Budget) leave(t *Timetable) {
	s := b.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.loads[b.key], t); len(s.loads[b.key]) == 0 {
		delete(s.loads, b.key)
	}
}

// Polls out of turn may take as much again as those in their turn by auto: a budget of their own, of the same
// size. saved is how much of it is there for who has not used it.
const saved = 4 * time.Second

// spend takes requests of a poll out of turn from the budget, which may so be owed.
func (b Budget) spend(now time.Time, requests int) {
	s, budget := b.schedule, b.key.share*b.limit.rate()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spent == nil {
		s.spent = map[key]time.Time{}
	}
	from := s.spent[b.key]
	if full := now.Add(-saved); from.Before(full) {
		from = full
	}
	s.spent[b.key] = from.Add(time.Duration(float64(requests) / budget * float64(time.Second)))
}

// allows is when a poll out of turn may begin that is due at a time: when the budget owes nothing.
func (b Budget) allows(due time.Time) time.Time {
	s := b.schedule
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.spent[b.key]; at.After(due) {
		return at
	}
	return due
}
