package connector

import (
	"time"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/coupa"
)

// verdict says what becomes of a row that was read.
type verdict uint8

const (
	fresh     verdict = iota // not published yet: publish
	duplicate                // published with this updated-at and content: drop
	stale                    // a later version is published already: drop, or versions of one id would run backwards
)

// published is the latest version of a row that went out.
type published struct {
	updatedAt int64 // unix seconds
	digest    uint64
}

// seen is the part of the ledger that a walk can meet again: the rows published with an updated-at in the walk's overlap.
// It is loaded once per walk and then read by the walk's fetches side by side.
//
// The overlap suffices. A row that was published earlier has an updated-at before the mark of that time, so what a walk over [From, To) can meet
// again lies in [From, Mark); and a row that this walk itself published lies at or below its range's After and is not read twice.
type seen map[int64]published

// loadSeen reads the overlap [from, mark) of a stream from the ledger. A zero mark: nothing was published.
func loadSeen(l Ledger, st checkpoint.Stream, from, mark time.Time) (seen, error) {
	if mark.IsZero() || !from.Before(mark) {
		return nil, nil
	}
	var lower int64
	if !from.IsZero() {
		lower = from.Unix()
	}
	s := seen{}
	err := l.Range(st, lower, mark.Unix(), func(e checkpoint.Entry) bool {
		s[e.ID] = published{e.UpdatedAt, e.Digest} // in order of updated-at: the latest stays
		return true
	})
	return s, err
}

// decide compares a row with what was published of its id. The same updated-at with other content is a change: lines
// move without their header's stamp, and two saves can fall into one second.
func (s seen) decide(r coupa.Row) verdict {
	p, ok := s[r.ID]
	at := r.UpdatedAt.Unix()
	switch {
	case !ok || at > p.updatedAt:
		return fresh
	case at < p.updatedAt:
		return stale
	case r.Digest == p.digest:
		return duplicate
	default:
		return fresh
	}
}
