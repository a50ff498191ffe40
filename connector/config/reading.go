package config

import (
	"time"

	"github.com/coupastream/coupastream/coupa"
)

// KeepsAll tells whether the object's ledger has to know every row: where updated-at does not
// show, or not reliably, what has changed, each row is compared with what was published of it.
func (o Object) KeepsAll() bool {
	r, _ := coupa.LookupResource(o.Path)
	return !r.UpdatedAt || r.ByContent
}

// IsWhole tells whether the object's rows can't be asked for
// by an updated-at, so that they can only be read whole.
func (o Object) IsWhole() bool {
	r, known := coupa.LookupResource(o.Path)
	return known && !r.UpdatedAt
}

// longestPoll is how long it takes from one poll to the next of an object
// that hardly changes, where poll.interval.ms is auto.
const longestPoll = time.Minute

// Period is how long it takes from one reading of the object to the next; of polls by auto, at most.
func (o Object) Period() time.Duration {
	if o.IsWhole() {
		return o.Reread
	}
	return o.PollInterval
}
