package polls

import (
	"math"
	"time"
)

// The bounds of the time between two polls, unless the budget is less than Longest takes.
const (
	Shortest = time.Second
	Longest  = time.Minute
)

// perChange is the most polls that an object gets for each of its changes, above its rest.
const perChange = 10

// load is what decides how often an object is polled.
type load struct {
	changes  float64 // a second
	requests float64 // that a poll takes, above 0
}

// plan gives the polls a second of each object, by which the squares of the times that changes wait for the
// next poll are least on average while all take at most budget requests a second. Each is polled between
// once in Longest and once in Shortest, and not more than perChange times a change. Where Longest for all
// is more than the budget allows, all are polled alike, as seldom as it takes.
func plan(loads []load, budget float64) []float64 {
	const least, most = 1 / float64(Longest/time.Second), 1 / float64(Shortest/time.Second)
	polls, roots := make([]float64, len(loads)), make([]float64, len(loads))
	all, scale := 0.0, 0.0 // requests of a poll of each; of roots, above which all are at their bounds
	for i, l := range loads {
		all += l.requests
		roots[i] = math.Cbrt(l.changes / l.requests)
		if perChange*l.changes > least {
			scale = max(scale, most/roots[i])
		}
	}
	if least*all >= budget {
		for i := range polls {
			polls[i] = budget / all
		}
		return polls
	}
	// set gives what all take at a scale.
	set := func(scale float64) (requests float64) {
		for i, l := range loads {
			upper := min(most, max(least, perChange*l.changes))
			polls[i] = min(upper, max(least, scale*roots[i]))
			requests += l.requests * polls[i]
		}
		return requests
	}
	if set(scale) <= budget {
		return polls
	}
	fits, exceeds := 0.0, scale
	for range 40 {
		if middle := (fits + exceeds) / 2; set(middle) <= budget {
			fits = middle
		} else {
			exceeds = middle
		}
	}
	set(fits)
	return polls
}
