package coupatest

import (
	"sort"
	"sync/atomic"
	"time"
)

// version is one state of a row. It never changes once it is in a table, but for
// the cache of its renderings.
type version struct {
	id, seq          int64
	parent           int64  // id of the row that it is below
	gen              uint32 // moves the header's volatile members
	pad              int    // bytes that bring the row to Config.RowBytes
	created, updated int64  // unix seconds
	exported         int64  // unix seconds; 0: not exported
	checked          int64  // see Version.Checked
	visible          int64  // unix nanoseconds; before it, readers see the former version
	lines            []line
	set              []member // members set by hand, over those that are made
	raw              []byte   // the whole row by hand

	cache atomic.Pointer[rendered]
}

// line is one object of the row's line collection.
type line struct {
	id, created, updated int64
	gen                  uint32
	removed              bool // found by conditions, not shown
}

// member is a member of a row that was set by hand.
type member struct {
	name, key string // key: `"name":`
	value     []byte
}

// rendered is a version's bytes for one plan, in a short list of them.
type rendered struct {
	plan *plan
	json []byte
	next *rendered
}

// size is the bytes of r and those after it.
func (r *rendered) size() (total int64) {
	for ; r != nil; r = r.next {
		total += int64(len(r.json))
	}
	return total
}

// next is a copy of v to be changed into the version that follows it.
func (v *version) next() *version {
	return &version{
		id: v.id, parent: v.parent, gen: v.gen, pad: v.pad, created: v.created, updated: v.updated, exported: v.exported,
		lines: append([]line(nil), v.lines...),
		set:   append([]member(nil), v.set...),
	}
}

func (v *version) member(name string) []byte {
	for i := range v.set {
		if v.set[i].name == name {
			return v.set[i].value
		}
	}
	return nil
}

// row is the versions of one id that readers may still see: the last visible one
// and those that wait for their instant.
type row struct {
	id       int64
	versions []*version
	gone     bool
	deletes  int   // how often it was removed
	hidden   bool  // from the API client, see Tenant.Hide
	checked  int64 // see Version.Checked

	leftOut int // answers that it will be missing from; negative: all
	fails   failure
	undated bool // no condition on updated-at finds it
}

// at is the version that a reader sees at now, nil when there is none.
func (r *row) at(now int64) *version {
	if r.gone || r.hidden {
		return nil
	}
	for i := len(r.versions) - 1; i >= 0; i-- {
		if r.versions[i].visible <= now {
			return r.versions[i]
		}
	}
	return nil
}

func (r *row) last() *version { return r.versions[len(r.versions)-1] }

// add appends a version and forgets those that no reader sees any more. It
// returns how many bytes of renderings went with them.
func (r *row) add(v *version, now int64) (freed int64) {
	r.versions = append(r.versions, v)
	for len(r.versions) > 1 && r.versions[1].visible <= now {
		freed += r.versions[0].cache.Swap(nil).size()
		r.versions = r.versions[1:]
	}
	return freed
}

// block is how many neighbouring rows share a span.
const block = 64

// span bounds the stamps that the rows of a block ever had, so that a window
// skips the blocks that have nothing in it.
type span struct{ low, high, lineHigh int64 }

// table is the rows of one resource, by id.
type table struct {
	*resource
	rows   []*row
	spans  []span // of rows[i*block:(i+1)*block]
	log    []*version
	lastID int64
	byHand map[string]bool // normal names of members set by hand: they can be filtered by
	marked bool            // some row is left out, or fails
	ties   uint64          // moves the order of equal rows from request to request
}

// find is the position of the first row whose id is at least id.
func (t *table) find(id int64) int {
	return sort.Search(len(t.rows), func(i int) bool { return t.rows[i].id >= id })
}

func (t *table) row(id int64) *row {
	if i := t.find(id); i < len(t.rows) && t.rows[i].id == id && !t.rows[i].gone {
		return t.rows[i]
	}
	return nil
}

// put makes v the newest version of its row. It returns what row.add does.
func (t *table) put(v *version, now time.Time) (freed int64) {
	t.log = append(t.log, v)
	t.lastID = max(t.lastID, v.id)
	i := t.find(v.id)
	if i == len(t.rows) {
		t.rows = append(t.rows, &row{id: v.id})
	} else if t.rows[i].id != v.id {
		t.rows = append(t.rows, nil)
		copy(t.rows[i+1:], t.rows[i:])
		t.rows[i] = &row{id: v.id}
		t.spans = nil
		for j, r := range t.rows {
			for _, old := range r.versions {
				t.widen(j, old)
			}
		}
	}
	t.rows[i].gone = false
	t.widen(i, v)
	return t.rows[i].add(v, now.UnixNano())
}

func (t *table) widen(i int, v *version) {
	b := i / block
	for len(t.spans) <= b {
		t.spans = append(t.spans, span{low: v.updated, high: v.updated})
	}
	s := &t.spans[b]
	s.low, s.high = min(s.low, v.updated), max(s.high, v.updated)
	for _, l := range v.lines {
		s.lineHigh = max(s.lineHigh, l.updated)
	}
}
