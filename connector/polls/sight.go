package polls

import "time"

const (
	// sightEvery is how long polls that find no row are believed before Coupa is asked whether there is
	// any row at all, and sightSoon how long where rows are missing that should have been found again.
	// The first doubles with each answer that there is one, up to sightSeldom.
	sightEvery  = 10 * time.Minute
	sightSeldom = time.Hour
	sightSoon   = time.Minute
)

// Sight watches whether rows that used to be there can still be seen. An instance that hides rows from the
// API client, because somebody changed what it may see, answers like one in which nothing has changed.
type Sight struct {
	seen  time.Time // when a row was last seen, or the object was found to have some
	asked time.Time // when Coupa was last asked
	found int       // answers in a row that there are rows, with no poll in between that found one
}

// Has takes in the answer that the object has rows.
func (s *Sight) Has(now time.Time) { s.seen, s.found = now, s.found+1 }

// Note takes in a drained poll: how many rows it read, and whether rows were published before that
// it should have found again. It tells whether Coupa is to be asked if the object has any row.
func (s *Sight) Note(now time.Time, rows int64, missing bool) (ask bool) {
	if rows > 0 {
		s.seen, s.found = now, 0
		return false
	}
	if s.seen.IsZero() {
		s.seen = now // what was there before is no concern of this worker's; it looks from here on
	}
	wait := min(sightEvery<<min(s.found, 3), sightSeldom)
	if missing {
		wait = sightSoon
	}
	since := min(now.Sub(s.seen), now.Sub(s.asked))
	if since < wait && !(missing && s.asked.Before(s.seen)) {
		return false
	}
	s.asked = now
	return true
}
