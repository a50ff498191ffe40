package record

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
)

// Names of the headers that a dead letter has besides those of every record:
// Kafka Connect's, of org.apache.kafka.connect.runtime.errors. Connect's
// partition and offset are those of a consumed record; a row of Coupa has none.
const (
	HeaderErrorTopic     = "__connect.errors.topic" // the topic that the row did not get to
	HeaderErrorConnector = "__connect.errors.connector.name"
	HeaderErrorTask      = "__connect.errors.task.id"
	HeaderErrorStage     = "__connect.errors.stage"
	headerErrorClass     = "__connect.errors.class.name"           // what failed
	HeaderErrorException = "__connect.errors.exception.class.name" // with what kind of error
	HeaderErrorMessage   = "__connect.errors.exception.message"    // names row and field, never the value
)

// deadLetters sends rows that can't go to a topic of their own, where the object's keys ask
// for that: in the transaction that would have carried their records, with the row as Coupa
// sent it for a value, but for what the object's mapping leaves out, masks or hashes. The
// ledger knows such a row as it knows one that was published; its next change is tried anew.
type deadLetters struct {
	topic     string // "": none
	connector string
	reasons   []reason

	mu   sync.Mutex
	said time.Time
}

// reason is why a row can't go, in Connect's terms.
type reason struct {
	is                      func(error) bool
	stage, class, exception string
	remedy                  string
}

// Stages are those of org.apache.kafka.connect.runtime.errors.Stage.
var (
	unencodable = reason{func(err error) bool {
		return !isError[*oversizeError](err) && !isError[*conflictError](err) && !isError[*UnreadError](err) && !isError[*StampError](err)
	}, "VALUE_CONVERTER", "schemas.Encoder", "schemas.FieldError",
		"correct it in Coupa, its next change is published"}
	unstamped = reason{isError[*StampError], "VALUE_CONVERTER", "coupa.Row", "coupa.Error",
		"correct it in Coupa, its next change is published"}
	oversized = reason{isError[*oversizeError], "KAFKA_PRODUCE", "connector.Producer", "kerr.MessageTooLarge",
		"raise the topic's max.message.bytes"}
	unread = reason{isError[*UnreadError], "TASK_POLL", "coupa.Client", "coupa.Error",
		"it is asked for again by itself, and replay reads it from Coupa"}
	refused = reason{isError[*conflictError], "VALUE_CONVERTER", "schemas.Registry", "schemas.RegistryError",
		"make the registry take the schema"}
)

func isError[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

func newDeadLetters(connector string, o *config.Object) *deadLetters {
	d := &deadLetters{topic: o.DLQTopic, connector: connector}
	if o.Oversize == oversizeDeadLetter {
		d.reasons = append(d.reasons, oversized)
	}
	if o.SchemaConflict == conflictDeadLetter {
		d.reasons = append(d.reasons, refused)
	}
	switch {
	case o.ErrorsTolerance == config.ToleranceAll:
		d.reasons = append(d.reasons, unencodable, unstamped, unread)
	case o.KeepsUnreadable() && o.DLQTopic != "": // for what has no place in unmapped
		d.reasons = append(d.reasons, unencodable, unstamped)
	}
	return d
}

// StampError says that a row's updated-at is no instant, so that it has no place in the order of its
// versions: it can't go out, not even with the value in unmapped.
type StampError struct{ Err error }

func (e *StampError) Error() string { return e.Err.Error() }
func (e *StampError) Unwrap() error { return e.Err }

// Remedy is what lets the others go on.
func (*StampError) Remedy() string {
	return "correct the row's updated-at in Coupa, or send such rows to a topic of their own: errors.tolerance = all or unmapped with errors.deadletterqueue.topic.name"
}

// UnreadError says that Coupa failed to send a row which is there. Its dead letter holds the id alone.
type UnreadError struct{ Err error }

func (e *UnreadError) Error() string { return "Coupa fails to send it: " + e.Err.Error() }
func (e *UnreadError) Unwrap() error { return e.Err }

// Remedy is what lets the others go on.
func (*UnreadError) Remedy() string {
	return "have Coupa's support look at the row, or let the walk go on behind such rows: errors.tolerance = all with errors.deadletterqueue.topic.name"
}

// Temporary is false: it was tried, and all around it is answered.
func (*UnreadError) Temporary() bool { return false }

// IsUnread tells whether a record is the dead letter of a row that Coupa failed to send.
func IsUnread(r *kgo.Record) bool { return isFor(r, unread) }

// IsUnstamped tells whether a record is the dead letter of a row whose updated-at was no instant.
func IsUnstamped(r *kgo.Record) bool { return isFor(r, unstamped) }

func isFor(r *kgo.Record, why reason) bool { return Header(r, headerErrorClass) == why.class }

// letter is a row that is to be a dead letter.
type letter struct {
	reason
	err error
}

// takes tells whether a row that failed with err is a dead letter. What is wrong with
// anything but the row, such as a registry that does not answer, is waited out; a record
// that is too large, and a schema that the registry refuses, have keys of their own.
func (d *deadLetters) takes(err error) (letter, bool) {
	if !isError[*RowError](err) {
		return letter{}, false
	}
	for _, r := range d.reasons {
		if r.is(err) {
			return letter{r, err}, true
		}
	}
	return letter{}, false
}

// bury puts a row into the chunk as a dead letter. An error: the row is larger than even that topic takes.
func (m *Maker) bury(ctx context.Context, c *Chunk, enc *rowEncoder, r coupa.Row, h How, why letter) error {
	d, message, row := m.dead, why.err.Error(), enc.guarded(r)
	headers := []kgo.RecordHeader{
		{Key: HeaderErrorTopic, Value: c.keepString(enc.topic)},
		{Key: HeaderErrorConnector, Value: c.keepString(d.connector)},
		{Key: HeaderErrorTask, Value: c.keepString(strconv.Itoa(m.Task))},
		{Key: HeaderErrorStage, Value: c.keepString(why.stage)},
		{Key: headerErrorClass, Value: c.keepString(why.class)},
		{Key: HeaderErrorException, Value: c.keepString(why.exception)},
		{Key: HeaderErrorMessage, Value: c.keepString(message)},
	}
	if over := m.tooLarge(ctx, d.topic, recordSize(enc, len(row), headers...)); over != nil {
		return &RowError{Object: enc.object, ID: r.ID, Err: fmt.Errorf("it can't go (%w), nor as a dead letter: a record of %d bytes is larger than topic %s takes (%d); raise its max.message.bytes",
			why.err, over.size, d.topic, over.limit)}
	}
	enc.buf = append(enc.buf[:0], row...)
	c.put(enc, r, h, d.topic, headers...)
	c.Buried++
	c.Cause = message
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.said.IsZero() || now.Sub(d.said) >= saidEvery {
		d.said = now
		m.Log.Warn("a row can't go and is sent to the dead letter topic; "+why.remedy, "topic", d.topic, "error", why.err)
	}
	return nil
}

// saidEvery is how often the log tells of a stream's dead letters.
const saidEvery = 30 * time.Second
