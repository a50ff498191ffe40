package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// ErrPlace says that the disk or folder is at fault, and not what is in it: full, read-only, failing.
// The topic has all that could not be written, so the call may be repeated when there is room.
var ErrPlace = errors.New("state.dir can't be written")

// placeError names the file and what to do about a disk or folder that does not take it.
func placeError(path string, err error) error {
	return fmt.Errorf("checkpoint: %s: %w: %w: state.dir needs a writable disk with room; what is there is a copy and may be deleted", path, ErrPlace, err)
}

// Open asks the disk for 64 pages, what a few commits take: values of which four fill one of 4 KiB.
const (
	roomPages  = 64
	roomPieces = 4 * roomPages
	roomPiece  = 900
)

// claimRoom writes to the file, durably, what no later open would miss. A disk that is full or can't
// be written so shows before the shard's former owner is fenced, and not at the first commit. A single
// page would not do: a full disk still takes what fits into free pages of the file. The pages claimed
// stay in the file, free, for the updates to come.
func (s *Store) claimRoom() error {
	for _, step := range []func(*bbolt.Tx) error{fillRoom, clearRoom} {
		err := s.db.Update(func(tx *bbolt.Tx) error {
			if err := step(tx); err != nil {
				return err
			}
			return s.fail(pointBefore)
		})
		if err == nil {
			err = s.fail(pointAfter)
		}
		if err != nil {
			return placeError(s.path, err)
		}
	}
	return nil
}

func fillRoom(tx *bbolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucketRoom))
	if err != nil {
		return err
	}
	b.FillPercent = fillPercent
	piece := make([]byte, roomPiece)
	for i := range uint16(roomPieces) {
		if err := b.Put(binary.BigEndian.AppendUint16(nil, i), piece); err != nil {
			return err
		}
	}
	return nil
}

func clearRoom(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketRoom)) }
