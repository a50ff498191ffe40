package connector

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/schemas"
)

// errUnknownOutcome says that a transaction may or may not
// have been committed. Only the checkpoint topic knows.
var errUnknownOutcome = errors.New("outcome of the transaction is unknown")

// errOvertaken is what a submission gets that was built on another one that failed.
var errOvertaken = errors.New("dropped: an earlier part of the same stream failed")

// errReleased is what submissions get when their shard ends
// before their turn. Nothing of them was published.
var errReleased = errors.New("the shard was released")

// RowError names the row and field that stopped an object. It never holds the value.
type RowError struct {
	Object string
	ID     int64
	Field  string // path of Coupa's names, "" when the row as a whole is meant
	Err    error
}

func (e *RowError) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%s id %d: field %s: %v", e.Object, e.ID, e.Field, e.Err)
	}
	return fmt.Sprintf("%s id %d: %v", e.Object, e.ID, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// rowError puts the row's id beside the field path that the encoder gave.
func rowError(object string, id int64, err error) error {
	var fe *schemas.FieldError
	if errors.As(err, &fe) {
		return &RowError{Object: object, ID: id, Field: fe.Path, Err: fe.Err}
	}
	return &RowError{Object: object, ID: id, Err: err}
}

// isFenced reports whether the broker said that a newer owner of the transactional id exists.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

// blamesRecord reports whether a produce error is about the record or its
// topic, so that the other streams of the transaction can go without it.
func blamesRecord(err error) bool {
	for _, e := range []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.PolicyViolation,
		kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.UnknownTopicID,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// produceHint adds the remedy to an error that blames a record.
func produceHint(topic string, size int, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("a record of %d bytes is larger than topic %s takes; raise the topic's max.message.bytes (and the brokers' replica.fetch.max.bytes), the object goes on by itself then: %w", size, topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("no right to write to topic %s; allow this principal WRITE and DESCRIBE on it: %w", topic, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("topic %s is gone; it is made again: %w", topic, err)
	default:
		return fmt.Errorf("topic %s refused the record: %w", topic, err)
	}
}

// isTemporary reports whether an error is worth trying again soon without anybody's help.
func isTemporary(err error) bool {
	var own interface{ Temporary() bool }
	if errors.As(err, &own) {
		return own.Temporary()
	}
	return kerr.IsRetriable(err) || errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, context.DeadlineExceeded)
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
