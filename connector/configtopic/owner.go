package configtopic

import (
	"context"
	"errors"
	"fmt"
)

// ErrNewerOwner says that a shard has got another owner in a later generation of the group.
var ErrNewerOwner = errors.New("the shard has a newer owner")

// SetOwner writes that a worker owns shards, in one transaction: those for which owns is true when it comes
// to that, as the group may have given some to another worker meanwhile. Those that say so already are not
// written again. The owner of the highest generation stays: if a shard has one of a later generation than
// o's, confirm is asked, between fence and commit, whether the group still counts o's worker as a member. If
// it gives nil, the group has begun its generations anew, as it does when it was empty for a while, and o is
// written. If it gives an error, or is nil, nothing is written at all, and the error wraps ErrNewerOwner.
func (s *Store) SetOwner(ctx context.Context, o Owner, confirm func(context.Context) error, owns func(shard int32) bool, shards ...int32) error {
	_, err := s.Update(ctx, func(v View) ([]Change, error) {
		var changes []Change
		confirmed := false
		for _, n := range shards {
			had := v.Owners[n]
			if had == o || !owns(n) {
				continue
			}
			if had.Generation > o.Generation && !confirmed {
				if err := newer(ctx, confirm); err != nil {
					return nil, fmt.Errorf("shard %d is %s's in generation %d, and was to be %s's in generation %d: %w", n, had.WorkerID, had.Generation, o.WorkerID, o.Generation, err)
				}
				confirmed = true
			}
			changes = append(changes, putOwner(n, o))
		}
		return changes, nil
	})
	return err
}

// newer is nil if a generation that is higher is not newer.
func newer(ctx context.Context, confirm func(context.Context) error) error {
	if confirm == nil {
		return ErrNewerOwner
	}
	if err := confirm(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNewerOwner, err)
	}
	return nil
}
