package record

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/coupastream/coupastream/connector/status"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

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

// Remedy is that of what happened to the row, or what helps with any row; "" where it passes by itself.
func (e *RowError) Remedy() string {
	var told interface{ Remedy() string }
	switch {
	case errors.As(e.Err, &told):
		return told.Remedy()
	case status.IsTemporary(e.Err), Blames(e.Err):
		return ""
	}
	return "correct the row in Coupa, or let it go: errors.tolerance = unmapped keeps what can't be read in unmapped, and all with errors.deadletterqueue.topic.name sends such rows to a topic of their own"
}

// rowError puts the row's id beside the field path that the encoder gave.
func rowError(object string, id int64, err error) error {
	var fe *rowtext.FieldError
	if errors.As(err, &fe) {
		return &RowError{Object: object, ID: id, Field: fe.Path, Err: fe.Err}
	}
	return &RowError{Object: object, ID: id, Err: err}
}

// Blames reports whether a produce error is about the record or its
// topic, so that the other streams of the transaction can go without it.
func Blames(err error) bool {
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

// Refused adds the remedy to an error that blames a record.
func Refused(topic string, size int, err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("a record of %d bytes is larger than topic %s takes; raise the topic's max.message.bytes (and the brokers' replica.fetch.max.bytes), the object goes on by itself then: %w", size, topic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return &forbiddenError{fmt.Errorf("no right to write to topic %s; allow this principal WRITE and DESCRIBE on it: %w", topic, err)}
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("topic %s is gone; it is made again: %w", topic, err)
	default:
		return fmt.Errorf("topic %s refused the record: %w", topic, err)
	}
}

// forbiddenError says that a topic may not be seen, made or written to.
type forbiddenError struct{ error }

func (e *forbiddenError) Unwrap() error { return e.error }

// Remedy is the right that is missing.
func (*forbiddenError) Remedy() string { return "allow this principal WRITE and DESCRIBE on the topic" }
