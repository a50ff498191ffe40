package stream

import (
	"slices"
	"sync"
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/connector/shard"
	"github.com/coupastream/coupastream/coupa"
)

// verdict says what becomes of a row that was read.
type verdict uint8

const (
	fresh     verdict = iota // not published yet: publish
	duplicate                // published with this updated-at and content: drop
	// a later version is published already: drop, or versions of one id would run backwards
	stale
	// another version of its stamp is published, and the stamp is not settled: drop, and read it again
	held
	// a later version is published already, and for long enough Coupa has shown this one: publish
	setBack
)

// publishes tells whether a row of this verdict goes out.
func (v verdict) publishes() bool { return v == fresh || v == setBack }

// seen is the part of the ledger that a walk can meet again. It is loaded once per walk
// and then read by the walk's fetches side by side; the zero value has seen nothing.
//
// Which part suffices depends on the walk. A poll over [From, To) can meet rows published with an updated-at
// since From; a row that this walk itself published lies at or below its range's After and is not read
// twice. A walk by lines stamped since From can meet what has an entry since From, less [linesSlack].
type seen struct {
	versions map[record.Version]struct{}
	latest   map[int64]int64 // id → newest updated-at published
	// last, if it is not nil, takes the place of both: of rows without updated-at, what was published last.
	last map[int64]content
	// Of a poll, in unix seconds, else 0: a row that was published with a stamp before passed is believed
	// to have an older one; from settled on stamps may still be given, where it reads ahead of the mark.
	passed, settled int64
}

// ofPoll sets what a poll decides by that moves the mark to an instant. A row that shows an older stamp than
// it was published with is believed half of the overlap later: until then a server that lags may show it.
func (s *seen) ofPoll(to time.Time, overlap time.Duration, ahead bool) {
	if s.passed = to.Add(-overlap / 2).Unix(); ahead {
		s.settled = to.Unix()
	}
}

// content is what was published last of a row without updated-at.
type content struct {
	at     int64 // when its walk began
	digest uint64
	twice  bool // the walk read it twice, and nothing tells which came last
}

// linesSlack is how much later than its row a line may be stamped without the row
// getting an entry under that time too. Coupa stamps lines up to a few seconds after the
// header of the same save (sample of API "Requisitions"), which would double the ledger.
const linesSlack = time.Minute

// loadSeen reads the entries of a stream from the ledger that are kept under from ≤ time < to; a
// zero to: all that have an updated-at. With ids, it keeps those of these rows.
func loadSeen(l shard.Ledger, st checkpoint.Stream, from, to time.Time, of ...int64) (seen, error) {
	upper := undatedFrom
	if !to.IsZero() {
		if !from.Before(to) {
			return seen{}, nil
		}
		upper = to.Unix()
	}
	s := seen{versions: map[record.Version]struct{}{}, latest: map[int64]int64{}}
	err := l.Range(st, max(0, from.Unix()), upper, func(e checkpoint.Entry) bool {
		if len(of) > 0 && !slices.Contains(of, e.ID) {
			return true
		}
		s.versions[record.Version{ID: e.ID, UpdatedAt: e.UpdatedAt, Digest: e.Digest}] = struct{}{}
		s.latest[e.ID] = max(s.latest[e.ID], e.UpdatedAt)
		return true
	})
	return s, err
}

// decide compares a row with what was published of its id. The same updated-at with other content
// is a change: lines move without their header's stamp, and two saves can fall into one second. Before the
// second is settled, such a change waits: it may be undone within it, and what was published first is not
// published again then.
func (s seen) decide(r coupa.Row) verdict {
	if s.last != nil {
		if e, known := s.last[r.ID]; known && e.digest == r.Digest && !e.twice {
			return duplicate
		}
		return fresh
	}
	at := r.UpdatedAt.Unix()
	last, known := s.latest[r.ID]
	if !known {
		return fresh
	}
	switch {
	case s.has(r):
		return duplicate
	case at < last && last < s.passed:
		return setBack
	case at < last:
		return stale
	case at == last && s.settled > 0 && at >= s.settled:
		return held
	}
	return fresh
}

// has tells whether the row was published with this updated-at and content.
func (s seen) has(r coupa.Row) bool {
	_, published := s.versions[record.Version{ID: r.ID, UpdatedAt: r.UpdatedAt.Unix(), Digest: r.Digest}]
	return published
}

// knows tells whether the row was published with this updated-at, whatever its content was.
func (s seen) knows(id int64, updatedAt time.Time) bool {
	last, known := s.latest[id]
	return known && last == updatedAt.Unix()
}

// doubt remembers what was published of pages that turned out not
// to be trusted and are read again. A crash in between forgets it.
type doubt struct {
	mu        sync.Mutex
	published map[record.Version]struct{}
}

func (d *doubt) add(all []record.Version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.published == nil {
		d.published = map[record.Version]struct{}{}
	}
	for _, v := range all {
		d.published[v] = struct{}{}
	}
}

func (d *doubt) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.published = nil
}

func (d *doubt) has(r coupa.Row) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.published[record.Version{ID: r.ID, UpdatedAt: r.UpdatedAt.Unix(), Digest: r.Digest}]
	return ok
}

// entries are what the ledger keeps of a row that is published. Rows that no later walk reads again, because
// all their stamps lie before the horizon, need none; by linesSlack more is kept, for walks by lines.
func entries(r coupa.Row, horizon int64) []checkpoint.Entry {
	const slack = int64(linesSlack / time.Second)
	at := r.UpdatedAt.Unix()
	e := checkpoint.Entry{ID: r.ID, At: at, UpdatedAt: at, Digest: r.Digest}
	var all []checkpoint.Entry
	if at >= horizon-slack {
		all = append(all, e)
	}
	if lines := r.LinesAt.Unix(); !r.LinesAt.IsZero() && lines-at > slack && lines >= horizon {
		e.At = lines
		all = append(all, e)
	}
	return all
}

// undatedFrom is where entries of rows without updated-at stand in the ledger: behind those of all
// times at which rows can be stamped, so that none of them ever expires.
var undatedFrom = time.Date(5000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// undatedEntry is what the ledger keeps of such a row, published now.
func undatedEntry(r coupa.Row) checkpoint.Entry {
	return checkpoint.Entry{ID: r.ID, At: undatedFrom + time.Now().Unix(), Digest: r.Digest}
}
