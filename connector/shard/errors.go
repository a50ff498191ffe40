package shard

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/checkpoint"
)

// errUnknownOutcome says that a transaction may or may not
// have been committed. Only the checkpoint topic knows.
var errUnknownOutcome = errors.New("outcome of the transaction is unknown")

// ErrOvertaken is what a submission gets that was built on another one that failed.
var ErrOvertaken = errors.New("dropped: an earlier part of the same stream failed")

// ErrReleased is what submissions get when their shard ends
// before their turn. Nothing of them was published.
var ErrReleased = errors.New("the shard was released")

// isFenced reports whether the broker said that a newer owner of the transactional id exists.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// isRefused reports whether Kafka, or the local disk, refused in a way that trying again does not change.
func isRefused(err error) bool {
	if errors.Is(err, errState) {
		return true
	}
	for _, e := range []error{
		kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed,
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.InvalidTransactionTimeout, kerr.UnsupportedVersion,
		checkpoint.ErrNewer,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// errState says that the local store can't be opened.
var errState = errors.New("the local state can't be used")
