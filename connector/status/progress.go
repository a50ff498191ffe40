package status

import (
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

// Bounds of the memory of a speed: by how much of the past it goes, in steps of which length.
const (
	speedStep  = 10 * time.Second
	speedSteps = 30
)

// Speed is how fast a count has grown of late.
type Speed struct {
	points []point // oldest first
}

type point struct {
	at time.Time
	n  int64
}

// Note takes in a count. A count that is lower than the last one begins anew.
func (s *Speed) Note(now time.Time, n int64) {
	last := len(s.points) - 1
	if last >= 0 && n < s.points[last].n {
		s.points, last = s.points[:0], -1
	}
	if last >= 1 && s.points[last].at.Sub(s.points[last-1].at) < speedStep {
		s.points[last] = point{now, n}
		return
	}
	if len(s.points) == speedSteps {
		s.points = append(s.points[:0], s.points[1:]...)
	}
	s.points = append(s.points, point{now, n})
}

// Left is how long what is missing will take; 0: not known.
func (s *Speed) Left(missing int64) time.Duration {
	if len(s.points) < 2 || missing <= 0 {
		return 0
	}
	first, last := s.points[0], s.points[len(s.points)-1]
	grown, took := last.n-first.n, last.at.Sub(first.at)
	if grown <= 0 || took <= 0 {
		return 0
	}
	return time.Duration(float64(missing) / float64(grown) * float64(took)).Round(time.Second)
}

// Estimate tells how many rows a walk has in all: those read so far, and in the ids
// that are left as many as in those that it has walked over. Its ranges are those
// that are left, and maxID is the highest id there is; 0: not known, and no estimate.
func Estimate(rows int64, left []checkpoint.Range, maxID int64) int64 {
	if maxID == 0 {
		return 0
	}
	var ids int64
	for _, r := range left {
		end := r.Through
		if end == 0 || end > maxID {
			end = maxID
		}
		ids += max(0, end-r.After)
	}
	covered := maxID - ids
	switch {
	case ids == 0:
		return rows
	case covered <= 0 || rows == 0:
		return 0 // nothing to go by yet
	}
	return rows + int64(float64(rows)/float64(covered)*float64(ids))
}
