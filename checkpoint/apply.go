package checkpoint

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Points at which Store.failpoint is asked.
const (
	pointBefore = "before commit" // an error here: not applied
	pointAfter  = "after commit"  // an error here: applied anyway
)

// Apply carries committed transactions over to the file, in one Update: durable on return. next is
// the offset behind the last record of the last of them; the file never goes back to a smaller one.
// The commits of one stream come in the order of Seq. A commit that the file has already is passed
// over, so the same call may be repeated.
//
// On an error nothing is applied, or all of it (a disk may write and then fail to say so), and reads
// go on. An error that wraps ErrPlace is the disk's. The topic has the truth: the caller repeats the
// call with at least the same commits, or works without the copy. Until one such repetition, or
// Restore, succeeds, Apply returns ErrBehind, lest next pass over what is missing.
func (s *Store) Apply(commits []Commit, next int64) error {
	if err := s.applicable(commits); err != nil {
		return err
	}
	err := s.update(next, func(u *update) error {
		for _, c := range commits {
			if err := u.commit(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.owe(commits)
		return err
	}
	s.settle()
	return nil
}

// applicable refuses what no reader could take back, and what would leave a gap.
func (s *Store) applicable(commits []Commit) error {
	has := map[Stream]uint64{}
	for _, c := range commits {
		if err := c.check(); err != nil {
			return err
		}
		if first, ok := has[c.Stream]; !ok || c.Position.Seq < first {
			has[c.Stream] = c.Position.Seq
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind {
		return fmt.Errorf("checkpoint: %s: a restore was not finished: %w", s.path, ErrBehind)
	}
	for stream, seq := range s.owed {
		if first, ok := has[stream]; !ok || first > seq {
			return fmt.Errorf("checkpoint: %s: lacks commit %d of %v: %w", s.path, seq, stream, ErrBehind)
		}
	}
	return nil
}

// owe remembers the commits that a failed Apply left out.
func (s *Store) owe(commits []Commit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed == nil {
		s.owed = map[Stream]uint64{}
	}
	for _, c := range commits {
		if seq, ok := s.owed[c.Stream]; !ok || c.Position.Seq < seq {
			s.owed[c.Stream] = c.Position.Seq
		}
	}
}

// settle says that nothing is owed any more.
func (s *Store) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed, s.behind = nil, false
}

// unsettle says that the file lacks what only Restore can tell.
func (s *Store) unsettle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = true
}

// update runs fill and the new next in one bbolt transaction. Apply and Restore both end here.
func (s *Store) update(next int64, fill func(*update) error) error {
	if err := s.reopen(s.load); err != nil {
		return err
	}
	var u *update
	var refused error                             // decided by us, before anything was written
	err := s.db.Update(func(tx *bbolt.Tx) error { // only this goroutine swaps s.db
		if u, refused = carryOut(tx, next, fill); refused != nil {
			return refused
		}
		return s.fail(pointBefore)
	})
	if refused != nil {
		return fmt.Errorf("checkpoint: %s: %w", s.path, refused)
	}
	if err == nil {
		err = s.fail(pointAfter)
	}
	if err != nil {
		return s.failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = u.next
	s.counts = s.counts.plus(u.counts)
	return nil
}

// carryOut does all of an update but its commit.
func carryOut(tx *bbolt.Tx, next int64, fill func(*update) error) (*update, error) {
	u, err := newUpdate(tx)
	if err != nil {
		return nil, err
	}
	if err := fill(u); err != nil {
		return nil, err
	}
	return u, u.finish(next)
}

func (s *Store) fail(point string) error {
	if s.failpoint == nil {
		return nil
	}
	return s.failpoint(point)
}

// failed opens the file anew after a failed Update, so that memory says what the disk says: a sync
// that fails after its write leaves bbolt and the page cache of two minds.
func (s *Store) failed(cause error) error {
	s.file.Lock()
	defer s.file.Unlock()
	cause = placeError(s.path, cause)
	if s.closed {
		return cause
	}
	err := s.db.Close()
	if err == nil {
		err = s.load()
	}
	return errors.Join(cause, err)
}
