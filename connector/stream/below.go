package stream

import (
	"context"
	"fmt"
	"sync"

	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/coupa"
)

// Rows that are below those of another collection, as a contract's legal documents, are read through
// these, their parents. A walk over them is one over the parents' ids: its position says whose rows were
// read, and after a crash it goes on behind them. A page is one of parents, and of what is below them.

// siblings are the rows of a parent that a fetch has taken. The parent
// is read again, all of it, when a request for it fails on the way.
type siblings struct {
	parent int64
	taken  map[int64]uint64 // id → digest
}

// have tells whether the row was taken as it is.
func (s *siblings) have(r coupa.Row) bool {
	digest, taken := s.taken[r.ID]
	return taken && r.Parent == s.parent && digest == r.Digest
}

func (s *siblings) add(r coupa.Row) {
	if r.Parent == 0 {
		return
	}
	if r.Parent != s.parent || s.taken == nil {
		s.parent, s.taken = r.Parent, map[int64]uint64{}
	}
	s.taken[r.ID] = r.Digest
}

// owners are the parents of the rows that the walk of this time has met. Ids are
// the keys of records: one that several parents have would stand for several rows.
type owners struct {
	mu     sync.Mutex
	walk   int64
	parent map[int64]int64 // by the row's id
}

// claim notes a row's parent and gives the one that it had before in the same walk; 0: none, or the same.
func (o *owners) claim(walk int64, r coupa.Row) (before int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parent == nil || o.walk != walk {
		o.walk, o.parent = walk, map[int64]int64{}
	}
	if before = o.parent[r.ID]; before == r.Parent {
		return 0
	}
	if before == 0 {
		o.parent[r.ID] = r.Parent
	}
	return before
}

// moved notes that a row has another parent.
func (o *owners) moved(r coupa.Row) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parent[r.ID] = r.Parent
}

// checkSoleParent sees to it that the row's id is that of one row alone. A row that went from one parent
// to another while the walk was under way is met twice; it is asked for whether the first one
// has it still. What was met before a restart of the worker is found out by the next walk.
func (p *Poller) checkSoleParent(ctx context.Context, walk int64, r coupa.Row) error {
	if r.Parent == 0 {
		return nil
	}
	before := p.owners.claim(walk, r)
	if before == 0 {
		return nil
	}
	still := false
	q := coupa.Query{Path: p.stream.Object, IDs: []int64{before}, Fields: `["id"]`, Priority: coupa.PriorityBackfill}
	if _, err := p.source.Fetch(ctx, q, func(other coupa.Row) error {
		still = still || other.ID == r.ID
		return nil
	}); err != nil {
		return err
	}
	if still {
		return &record.RowError{Object: p.stream.Object, ID: r.ID, Err: fmt.Errorf(
			"Coupa has rows of this id below both %d and %d, so it can be no key; take %s out of coupa.objects", before, r.Parent, p.stream.Object)}
	}
	p.owners.moved(r)
	return nil
}
