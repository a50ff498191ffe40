package polls

import "time"

// Stretch lengthens the overlap of a stream whose rows become visible later than overlap.ms, so
// that polls find them and not only the next look-back. It forgets after a day without such a row.
type Stretch struct {
	by   time.Duration
	last time.Time // Coupa's clock
}

// MostStretch is how many times overlap.ms the overlap of a stream may grow to: every poll pays for it.
const MostStretch = 10

const stretchMemory = 24 * time.Hour

// Note takes in how late the latest row of a walk was.
func (s *Stretch) Note(lateness, overlap, lookback time.Duration, now time.Time) {
	if lateness <= overlap/2 {
		return
	}
	s.last = now
	s.by = max(s.by, min(lateness+lateness/4, MostStretch*overlap, lookback))
}

// Overlap is how far the next poll looks back, where overlap.ms is what is given.
func (s *Stretch) Overlap(overlap time.Duration, now time.Time) time.Duration {
	if now.Sub(s.last) > stretchMemory {
		s.by = 0
	}
	return max(overlap, s.by)
}
