package status

import "time"

// Verified is what the last comparison of an object with Coupa, by `coupastream verify`, has found.
type Verified struct {
	At           time.Time // when it was told; zero: there was none
	Since, Until time.Time // rows stamped then were compared; a zero Since: from the beginning
	Rows         int64
	Requested    int64            // records that are there once more since somebody asked for them
	Found        map[string]int64 // differences by kind; nil: none
	// what is stamped from ProvenFrom until ProvenUntil was found the same in Coupa and in the topic, and
	// no comparison since has found a difference; a zero ProvenUntil: nothing is proven
	ProvenFrom, ProvenUntil time.Time
}

// Compared is what a comparison has found of one object.
type Compared struct {
	Object, Topic string
	Verified
}

// Differences is how many the comparison has found.
func (v Verified) Differences() (n int64) {
	for _, found := range v.Found {
		n += found
	}
	return n
}

// Following is v with what it proves, following on another one: what was proven goes on from there if v
// begins no later than where that ended. A difference leaves nothing proven: nobody knows how old it is.
func (v Verified) Following(before Verified) Verified {
	v.ProvenFrom, v.ProvenUntil = time.Time{}, time.Time{}
	if v.Differences() > 0 {
		return v
	}
	v.ProvenFrom, v.ProvenUntil = v.Since, v.Until
	if !before.ProvenUntil.IsZero() && !v.Since.After(before.ProvenUntil) {
		if before.ProvenFrom.Before(v.ProvenFrom) {
			v.ProvenFrom = before.ProvenFrom
		}
		if before.ProvenUntil.After(v.ProvenUntil) {
			v.ProvenUntil = before.ProvenUntil
		}
	}
	return v
}
