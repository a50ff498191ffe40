package config

import (
	"strings"
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

// pollInterval stores a number of milliseconds, or auto.
func pollInterval(o *Object, value string) *fault {
	if o.PollAuto = strings.EqualFold(value, "auto"); o.PollAuto {
		o.PollInterval = longestPoll
		return nil
	}
	f := millis(func(o *Object) *time.Duration { return &o.PollInterval }, 1)(o, value)
	if f != nil {
		f.remedy += ", or auto"
	}
	return f
}

// pollShare stores a share of the rate that is more than none.
func pollShare(c *Connector, value string) *fault {
	if f := fraction(func(c *Connector) *float64 { return &c.PollShare })(c, value); f != nil || c.PollShare < 0.001 {
		return &fault{"not a number from 0.001 to 1", "give a share, e.g. 0.2"}
	}
	return nil
}

// Period is how long it takes from one reading of the object to the next; of polls by auto, at most.
func (o Object) Period() time.Duration {
	if o.IsWhole() {
		return o.Reread
	}
	return o.PollInterval
}
