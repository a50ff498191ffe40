package shard

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/connector/internal/txn"
)

// errUnknownOutcome says that a transaction may or may not
// have been committed. Only the checkpoint topic knows.
var errUnknownOutcome = errors.New("outcome of the transaction is unknown")

// errTimedOut says that Kafka ended a transaction, since it had been open for longer than it may be.
// The epoch of its id has moved for this reason, and no other process has taken it.
var errTimedOut = errors.New("Kafka has ended the transaction, which was open for longer than its time-out")

// ErrOvertaken is what a submission gets that was built on another one that failed.
var ErrOvertaken = errors.New("dropped: an earlier part of the same stream failed")

// ErrReleased is what submissions get when their shard ends
// before their turn. Nothing of them was published.
var ErrReleased = errors.New("the shard was released")

// isFenced reports whether the broker said that a newer owner of the transactional id exists.
func isFenced(err error) bool {
	return !errors.Is(err, errTimedOut) && isStale(err)
}

// isStale reports whether the broker said that the producer's epoch is an old one.
func isStale(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// refusals are what Kafka refuses in a way that trying again does not change, each with what to do about it.
var refusals = []struct {
	err    error
	remedy func(id string, w *config.Worker) string
}{
	{kerr.TransactionalIDAuthorizationFailed, func(id string, w *config.Worker) string {
		return fmt.Sprintf("no right to use transactional id %s; allow this principal WRITE and DESCRIBE on transactional ids with the prefix %s-",
			id, w.GroupID)
	}},
	// those of data topics blame their streams
	{kerr.TopicAuthorizationFailed, func(id string, w *config.Worker) string {
		return fmt.Sprintf("no right to use topic %s; allow this principal READ, WRITE and DESCRIBE on it", w.CheckpointTopic)
	}},
	{kerr.ClusterAuthorizationFailed, func(id string, w *config.Worker) string {
		return fmt.Sprintf("no right to write idempotently with transactional id %s; allow this principal IDEMPOTENT_WRITE on the cluster", id)
	}},
	{kerr.GroupAuthorizationFailed, func(id string, w *config.Worker) string {
		return fmt.Sprintf("no right to use group %s; allow this principal READ on it", w.GroupID)
	}},
	{kerr.UnsupportedVersion, func(id string, w *config.Worker) string {
		return fmt.Sprintf("the brokers do not take transactions of transactional id %s any more in the form in which they offered to, which they do when the feature transaction.version "+
			"is taken back to 0; set it to 2 again (kafka-features.sh upgrade --feature transaction.version=2), restart the brokers, then this worker", id)
	}},
	{kerr.InvalidTransactionTimeout, func(id string, w *config.Worker) string {
		return fmt.Sprintf("the brokers do not take transactions of %v with transactional id %s; set transaction.max.timeout.ms of the brokers to %d or more",
			txn.Timeout, id, txn.Timeout.Milliseconds())
	}},
	{kerr.SaslAuthenticationFailed, func(id string, w *config.Worker) string {
		return fmt.Sprintf("the brokers refuse the producer of transactional id %s; check %s", id, w.Security.Identity())
	}},
	{kerr.UnsupportedSaslMechanism, func(string, *config.Worker) string {
		return "the brokers do not know the mechanism; give one that they have as sasl.mechanism"
	}},
}

// isRefused reports whether Kafka, or the local disk, refused in a way that trying again does not change.
func isRefused(err error) bool {
	if errors.Is(err, errState) || errors.Is(err, checkpoint.ErrNewer) {
		return true
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return true
		}
	}
	return false
}

// refusal puts in front of an error that isRefused, and came
// with a transactional id, what it is about, and what to do.
func refusal(err error, id string, w *config.Worker) error {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return fmt.Errorf("%s: %w", r.remedy(id, w), err)
		}
	}
	return err // it says so itself
}

// errState says that the local store can't be opened.
var errState = errors.New("the local state can't be used")

// tally is errors of many records, each different one once.
type tally struct {
	errs   []error
	counts map[string]int // by text
}

func (t *tally) add(err error) {
	if err == nil {
		return
	}
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	text := err.Error()
	if t.counts[text]++; t.counts[text] == 1 {
		t.errs = append(t.errs, err)
	}
}

// err is all of them, with how often each came; nil: none did.
func (t *tally) err() error {
	var all error
	for _, err := range t.errs {
		n := t.counts[err.Error()]
		if n > 1 {
			err = fmt.Errorf("%w (%d times)", err, n)
		}
		if all == nil {
			all = err
			continue
		}
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}
