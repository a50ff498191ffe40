package stream

import "github.com/coupastream/coupastream/checkpoint"

// estimate tells how many rows a walk has in all: those read so far, and in the ids
// that are left as many as in those that it has walked over. Its ranges are those
// that are left, and maxID is the highest id there is; 0: not known, and no estimate.
func estimate(rows int64, left []checkpoint.Range, maxID int64) int64 {
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
