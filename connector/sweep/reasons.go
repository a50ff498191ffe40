package sweep

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
)

const (
	// few rows are never taken for more than deletes.
	few = 20
	// oldestKept is how many of the lowest ids are compared from sweep to sweep.
	oldestKept = 20
)

// facts are what is known when a sweep has read all ids.
type facts struct {
	checkpoint.Sweep
	ratio   float64 // deletes.max.ratio
	audit   bool    // the API deletes no rows of the object
	above   int     // known ids above the highest one shown
	newest  time.Time
	instant bool // rows stamped at newest or later, which many known rows are, are there
}

// reasons says what makes missing rows wait for somebody's approval; none: they are deleted.
func reasons(f facts) []string {
	if f.Lost == 0 {
		return nil
	}
	var why []string
	say := func(so bool, format string, args ...any) {
		if so {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	say(f.audit, "Coupa's API has no operation that deletes these rows, so that hidden ones are likelier")
	say(f.Seen.Rows == 0, "the sweep found no row at all")
	say(f.Lost > few && float64(f.Lost) > f.ratio*float64(f.Known), "%d of %d rows are missing, more than deletes.max.ratio = %v", f.Lost, f.Known, f.ratio)
	say(2*f.Lost > f.Known, "more than half of the object is missing (%d of %d rows)", f.Lost, f.Known)
	say(f.above > few, "ids have gone backwards: the highest is %d, and was %d", f.Seen.Highest, f.Top)
	say(!f.instant, "instants have gone backwards: no row is stamped at %s or later any more", f.newest.UTC().Format(time.RFC3339))
	say(f.oldestChanged(), "the oldest ids have changed: %s of the last sweep are %s", list(f.Last.Oldest), list(f.Seen.Oldest))
	say(f.Last.Scopes != "" && f.Seen.Scopes != f.Last.Scopes, "the scopes of the token have changed from %q to %q", f.Last.Scopes, f.Seen.Scopes)
	say(f.Seen.Blind != f.Last.Blind, "the object %s BLIND", map[bool]string{true: "is", false: "was"}[f.Seen.Blind])
	return why
}

// oldestChanged tells whether most of the lowest ids of the last sweep are not among the rows any more.
func (f facts) oldestChanged() bool {
	missing := 0
	for _, id := range f.Last.Oldest {
		if !slices.Contains(f.Seen.Oldest, id) {
			missing++
		}
	}
	return len(f.Last.Oldest) >= oldestKept && 2*missing > oldestKept
}

// list names a few ids.
func list(ids []int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i == 3 {
			b.WriteString(", …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, id)
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}
