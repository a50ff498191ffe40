package configtopic

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrUnknownOutcome says that a change may or may not have been made: the
// answer to its commit was lost, and the topic could not be asked in time.
var ErrUnknownOutcome = errors.New("whether the change was made is not known; look before it is made again")

// ErrNotSeen says that a change was made for good, but that the view does not show it yet.
var ErrNotSeen = errors.New("the change was made, but this worker has not read it back yet")

// errFenced says that somebody else has begun a change after ours.
var errFenced = errors.New("another change was begun meanwhile")

// remedy adds to an error of Kafka's what to do about it.
func (s *Store) remedy(err error) error {
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("no right to use transactional id %s; allow this principal WRITE and DESCRIBE on it: %w", s.TransactionalID(), err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("no right to use config.storage.topic %s; allow this principal READ, WRITE, DESCRIBE and DESCRIBE_CONFIGS on it: %w", s.cfg.Topic, err)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("the configuration is larger than config.storage.topic %s takes; make it smaller, or raise the topic's max.message.bytes: %w", s.cfg.Topic, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("config.storage.topic %s is not there: %w", s.cfg.Topic, err)
	default:
		return err
	}
}

// isRefused reports whether trying again would meet the same.
func isRefused(err error) bool {
	for _, e := range []error{
		errMisfit, kerr.TransactionalIDAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism, kerr.UnsupportedVersion, kerr.InvalidTransactionTimeout, kerr.MessageTooLarge, kerr.RecordListTooLarge,
		kerr.InvalidTopicException, kerr.InvalidReplicationFactor, kerr.PolicyViolation, kerr.InvalidConfig,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
