package connector

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/coupa"
)

// Names of the headers that a dead letter has besides those of every record: Kafka Connect's, of org.apache.kafka.connect.runtime.errors. Connect's
// partition and offset are those of a consumed record; a row of Coupa has none.
const (
	headerErrorTopic     = "__connect.errors.topic" // the topic that the row did not get to
	headerErrorConnector = "__connect.errors.connector.name"
	headerErrorTask      = "__connect.errors.task.id"
	headerErrorStage     = "__connect.errors.stage"
	headerErrorClass     = "__connect.errors.class.name"           // what failed
	headerErrorException = "__connect.errors.exception.class.name" // with what kind of error
	headerErrorMessage   = "__connect.errors.exception.message"    // names row and field, never the value
)

// stageConverter is Connect's name for the encoding of a value.
const stageConverter = "VALUE_CONVERTER"

// deadLetters sends rows that can't be encoded to a topic of their own, where errors.tolerance = all: in the transaction that would have carried their
// records, with the row as Coupa sent it for a value. The ledger knows such a row as it knows one that was published; its next change is tried anew.
type deadLetters struct {
	topic     string // "": rows that can't be encoded stop the object
	connector string

	mu   sync.Mutex
	said time.Time
}

// saidEvery is how often the log tells of a stream's dead letters.
const saidEvery = 30 * time.Second

// takes tells whether a row that failed with err is a dead letter. What is wrong with anything but the row, such as the registry, is waited out.
func (d *deadLetters) takes(err error) bool {
	_, ofRow := errors.AsType[*RowError](err)
	return d.topic != "" && ofRow
}

// bury puts a row into the chunk as a dead letter.
func (p *poller) bury(c *chunk, enc *rowEncoder, r coupa.Row, op string, cause error) {
	d := &p.dead
	c.buried++
	enc.buf = append(enc.buf[:0], r.JSON...)
	c.put(enc, r, op, d.topic,
		kgo.RecordHeader{Key: headerErrorTopic, Value: c.keepString(enc.topic)},
		kgo.RecordHeader{Key: headerErrorConnector, Value: c.keepString(d.connector)},
		kgo.RecordHeader{Key: headerErrorTask, Value: c.keepString(strconv.Itoa(p.task.Status().ID))},
		kgo.RecordHeader{Key: headerErrorStage, Value: c.keepString(stageConverter)},
		kgo.RecordHeader{Key: headerErrorClass, Value: c.keepString("schemas.Encoder")},
		kgo.RecordHeader{Key: headerErrorException, Value: c.keepString("schemas.FieldError")},
		kgo.RecordHeader{Key: headerErrorMessage, Value: c.keepString(cause.Error())},
	)
	c.cause = cause.Error()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); d.said.IsZero() || now.Sub(d.said) >= saidEvery {
		d.said = now
		p.log.Warn("a row can't be encoded and goes to the dead letter topic; correct it in Coupa, its next change is published", "topic", d.topic, "error", cause)
	}
}
