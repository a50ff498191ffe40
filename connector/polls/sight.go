package polls

import "time"

const (
	// sightEvery is how long polls that find no row are believed before Coupa is asked whether there is
	// any row at all, and sightSoon how long where rows are missing that should have been found again.
	sightEvery = 10 * time.Minute
	sightSoon  = time.Minute
)

// Sight watches whether rows that used to be there can still be seen. An instance that hides rows from the
// API client, because somebody changed what it may see, answers like one in which nothing has changed.
type Sight struct {
	Seen  time.Time // when a row was last seen, or the object was found to have some
	asked time.Time // when Coupa was last asked
}

// Note takes in a drained poll: how many rows it read, and whether rows were published before that
// it should have found again. It tells whether Coupa is to be asked if the object has any row.
func (s *Sight) Note(now time.Time, rows int64, missing bool) (ask bool) {
	if rows > 0 {
		s.Seen = now
		return false
	}
	if s.Seen.IsZero() {
		s.Seen = now // what was there before is no concern of this worker's; it looks from here on
	}
	wait := sightEvery
	if missing {
		wait = sightSoon
	}
	since := min(now.Sub(s.Seen), now.Sub(s.asked))
	if since < wait && !(missing && s.asked.Before(s.Seen)) {
		return false
	}
	s.asked = now
	return true
}
