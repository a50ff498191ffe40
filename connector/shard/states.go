package shard

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/record"
	"github.com/coupastream/coupastream/schemas"
)

// lineRecord is a record of a line, or its tombstone, that goes with a submission.
type lineRecord struct {
	*kgo.Record
	row   int64
	id    int64 // of the line; where row itself is published, of that
	isRow bool  // it is the row's
}

// rowStates are what a stream's rows have published of their lines, and
// whether they are still to be marked as exported: as committed, with what the transaction at hand changes.
type rowStates struct {
	store  rowStore
	stream checkpoint.Stream
	rows   map[int64]*rowState
	epoch  uint64
	owners map[lineID]int64 // of lines that changed: the row that has it; none: 0 rows have it
	moved  []int64          // rows between which lines have moved, by id
}

// rowStore is what of the local store it takes.
type rowStore interface {
	Row(st checkpoint.Stream, id int64) (checkpoint.RowState, error)
	Owner(st checkpoint.Stream, list string, line int64) (row int64, ok bool, err error)
}

type rowState struct {
	lines   map[lineID]uint64 // digests
	changed bool
}

type lineID struct {
	list string
	id   int64
}

func newRowStates(store rowStore, st checkpoint.Stream, epoch uint64) *rowStates {
	return &rowStates{store: store, stream: st, epoch: schemas.EpochDigest(epoch), rows: map[int64]*rowState{}, owners: map[lineID]int64{}}
}

func (s *rowStates) row(id int64) (*rowState, error) {
	if r := s.rows[id]; r != nil {
		return r, nil
	}
	kept, err := s.store.Row(s.stream, id)
	if err != nil {
		return nil, err
	}
	r := &rowState{lines: make(map[lineID]uint64, len(kept.Lines))}
	for _, l := range kept.Lines {
		r.lines[lineID{l.List, l.ID}] = l.Digest
	}
	s.rows[id] = r
	return r, nil
}

// publish gives the records that a row's lines take: of those that are new or changed, and tombstones
// of those that it had and has no more. A line that another row had is that row's no more, so that it
// gets no tombstone when that row comes without it; both rows are noted in the position, so that they
// are read once more (stream/follow.go, rereadMoved).
func (s *rowStates) publish(rl *record.RowLines) ([]lineRecord, error) {
	row, err := s.row(rl.ID)
	if err != nil {
		return nil, err
	}
	var records []lineRecord
	if rl.Gone { // what else its state says goes without a record
		for key := range row.lines {
			if rl.List(key.list) < 0 {
				delete(row.lines, key)
				row.changed = true
			}
		}
	}
	if rl.RowRecord != nil {
		key := lineID{record.RowItself, rl.ID}
		if digest, known := row.lines[key]; !known || digest != rl.Content+s.epoch || rl.All {
			row.lines[key], row.changed = rl.Content+s.epoch, true
			records = append(records, lineRecord{rl.RowRecord, rl.ID, rl.ID, true})
		}
	}
	has := make(map[lineID]bool, len(rl.Lines))
	for _, l := range rl.Lines {
		key := lineID{rl.Lists[l.List].List, l.ID}
		has[key] = true
		digest, known := row.lines[key]
		latest := l.Digest + rl.Lists[l.List].Salt + s.epoch
		if known && digest == latest && !rl.All {
			continue
		}
		if !known {
			if err := s.takeOver(key, rl.ID); err != nil {
				return nil, err
			}
		}
		row.lines[key], row.changed = latest, true
		records = append(records, lineRecord{l.Record, rl.ID, l.ID, false})
	}
	var gone []lineID
	for key := range row.lines {
		if n := rl.List(key.list); !has[key] && n >= 0 && (rl.Unread == nil || !rl.Unread[n]) {
			gone = append(gone, key)
		}
	}
	slices.SortFunc(gone, lineID.compare)
	for _, key := range gone {
		delete(row.lines, key)
		row.changed = true
		s.owners[key] = noRow
		records = append(records, lineRecord{rl.Tombstone(rl.List(key.list), key.id), rl.ID, key.id, false})
	}
	return records, nil
}

// mark changes what a row's state has of its being marked as exported: unmarked is how it
// was published, and marked how it was when it was marked. Marks of another version count for nothing.
func (s *rowStates) mark(stamps record.Stamps, marked bool) error {
	row, err := s.row(stamps.ID)
	if err != nil {
		return err
	}
	line := stamps.Line()
	key := lineID{line.List, line.ID}
	switch digest, waits := row.lines[key]; {
	case !marked && (!waits || digest != line.Digest):
		row.lines[key], row.changed = line.Digest, true
	case marked && waits && digest == line.Digest:
		delete(row.lines, key)
		row.changed = true
	}
	return nil
}

// noRow is the owner of a line that no row has. Ids are not negative.
const noRow = -1

// takeOver makes a line that is new to a row that row's.
func (s *rowStates) takeOver(key lineID, row int64) error {
	owner, known := s.owners[key]
	if !known {
		var err error
		if owner, known, err = s.store.Owner(s.stream, key.list, key.id); err != nil {
			return err
		}
	}
	s.owners[key] = row
	if !known || owner == noRow || owner == row {
		return nil
	}
	other, err := s.row(owner)
	if err != nil {
		return err
	}
	delete(other.lines, key)
	other.changed = true
	s.moved = union(s.moved, []int64{owner, row})
	return nil
}

// maxMoved bounds what a position holds of rows to be read again.
const maxMoved = 10_000

// union is the ids of both, in order.
func union(a, b []int64) []int64 {
	all := append(slices.Clip(a), b...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[max(0, len(all)-maxMoved):]
}

func (k lineID) compare(o lineID) int {
	return cmp.Or(cmp.Compare(k.list, o.list), cmp.Compare(k.id, o.id))
}

// changes are the states that the transaction changes, in order of id.
func (s *rowStates) changes() []checkpoint.RowState {
	var all []checkpoint.RowState
	for id, r := range s.rows {
		if !r.changed {
			continue
		}
		state := checkpoint.RowState{ID: id}
		for key, digest := range r.lines {
			state.Lines = append(state.Lines, checkpoint.Line{List: key.list, ID: key.id, Digest: digest})
		}
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b checkpoint.RowState) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// resolveLines tells which lines of a batch go out, in the order in which their rows do, and puts the states
// that follow, of rows to be marked as exported too, into the commits. It is asked again where a batch goes
// again without a part of it.
func (s *Shard) resolveLines(batch []*Submission, commits []checkpoint.Commit) error {
	var states map[checkpoint.Stream]*rowStates
	for _, sub := range batch {
		sub.lineRecords = nil
		if len(sub.Lines) == 0 && len(sub.Unmarked) == 0 && len(sub.Marked) == 0 {
			continue
		}
		if states == nil {
			states = map[checkpoint.Stream]*rowStates{}
		}
		if states[sub.Stream] == nil {
			states[sub.Stream] = newRowStates(s.store, sub.Stream, s.Position(sub.Stream).LineEpoch)
		}
		for i := range sub.Lines {
			records, err := states[sub.Stream].publish(&sub.Lines[i])
			if err != nil {
				return fmt.Errorf("reading the lines of %v: %w", sub.Stream, err)
			}
			sub.lineRecords = append(sub.lineRecords, records...)
		}
		for i, stamps := range slices.Concat(sub.Unmarked, sub.Marked) {
			if err := states[sub.Stream].mark(stamps, i >= len(sub.Unmarked)); err != nil {
				return fmt.Errorf("reading the state of a row of %v: %w", sub.Stream, err)
			}
		}
	}
	for i := range commits {
		if st := states[commits[i].Stream]; st != nil {
			commits[i].Rows = st.changes()
			commits[i].Position.Moved = union(commits[i].Position.Moved, st.moved)
		}
	}
	return nil
}
