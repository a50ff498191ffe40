package record

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// Names of the headers on every record.
const (
	HeaderTenant    = "coupa.tenant"
	HeaderObject    = "coupa.object"
	HeaderUpdatedAt = "coupa.updated_at" // RFC 3339, UTC; not there where rows have none
	HeaderOp        = "coupa.op"
	// why the record is there, where it is not because its row was read for the first time, or has changed
	HeaderReason = "coupa.reason"
)

// ReasonRequested is HeaderReason of a record that somebody asked for: by a snapshot, or by moving positions.
const ReasonRequested = "requested"

// Header is the value of a record's header; "": it has none of that name.
func Header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// StreamOf is the stream that a record is of, by its headers: others may share its topic.
func StreamOf(r *kgo.Record) checkpoint.Stream {
	return checkpoint.Stream{Tenant: Header(r, HeaderTenant), Object: Header(r, HeaderObject)}
}

// StampOf is the updated-at of the row that a record is of, by its header; zero where the row had none.
func StampOf(r *kgo.Record) (time.Time, error) {
	text := Header(r, HeaderUpdatedAt)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("header %s: %w", HeaderUpdatedAt, err)
	}
	return at, nil
}

// Values of HeaderOp.
const (
	OpUpsert   = "upsert"
	OpSnapshot = "snapshot"
)

// How says what is made of the rows of a walk.
type How struct {
	Op string // HeaderOp of the records
	// LinesAlone makes the records of the rows' lines, and nothing of the rows themselves.
	LinesAlone bool
	// Requested: somebody asked for the rows as they are. Their records say so, and all
	// lines go out, those too that have not changed.
	Requested bool
	// Again: rows stamped before it, their lines included, go out because positions were moved. Records say
	// so. Zero: none do.
	Again time.Time
}

// sameSave is how much later than its row a line may be stamped by the save of both: Coupa
// stamps lines up to a few seconds after the header (sample of API "Requisitions").
const sameSave = time.Minute

// isRequested tells whether a row's records are there because somebody asked for them.
func (h How) isRequested(r coupa.Row) bool {
	return h.Requested || r.UpdatedAt.Before(h.Again) && (r.LinesAt.Before(h.Again) || r.LinesAt.Sub(r.UpdatedAt) <= sameSave)
}

// Keys and values of records are cut from blocks, so that a page costs a few allocations and not hundreds.
// Each block of a chunk is twice the one before: most polls that find anything find a row or two, and
// what they keep waits for its commit beside that of thousands.
const (
	firstSlab = 4 << 10
	mostSlab  = 32 << 10
)

// encoding turns rows of one stream into records. It exists once the
// stream's schemas are registered, and is used by fetches side by side.
type encoding struct {
	tenant, object, topic string
	keyPrefix             []byte // what stands before every key
	jsonKeys              bool
	undated               bool      // rows have no updated-at
	encoders              sync.Pool // *rowEncoder
	schema                *schemas.Schema
	custom                *custom.Fields // as they are typed; nil: they are a map, or none
	generation            uint64         // of the registry's ids
	// when the registry refused the schema, so that no row can be encoded; zero: it did not
	refused time.Time
}

// valueEncoder makes the values of a stream's records. One fetch uses it at a time.
type valueEncoder interface {
	// Append adds the value made of a row, framing included. The
	// error is a *rowtext.FieldError if the row is to blame.
	Append(dst []byte, row coupa.Row, op string) ([]byte, error)
	// AppendDelete adds the value that says in an envelope that a row is gone, of which row has the key.
	AppendDelete(dst []byte, row coupa.Row) ([]byte, error)
	// kept is what tells of the last row what of it went to unmapped; nil where none is ever encoded.
	kept() *schemas.Encoder
}

// rowEncoder is the scratch space of one fetch.
type rowEncoder struct {
	*encoding
	value  valueEncoder
	mapper *mapping.Rewriter // nil: rows are encoded as Coupa sent them
	buf    []byte
	// of the row that was encoded last, see [schemas.Encoder.Unreadable]
	unreadable []string
	leftOut    []string // likewise, see [schemas.Encoder.LeftOut]
}

func newEncoding(st checkpoint.Stream, o *config.Object, keyPrefix []byte, values func() valueEncoder) *encoding {
	e := &encoding{tenant: st.Tenant, object: st.Object, topic: o.Topic, keyPrefix: keyPrefix, jsonKeys: o.ValueFormat != config.FormatAvro, undated: o.IsWhole()}
	e.encoders.New = func() any { return &rowEncoder{encoding: e, value: values(), mapper: o.Rewriter()} }
	return e
}

// encoder gives a fetch its scratch space, until release.
func (e *encoding) encoder() *rowEncoder { return e.encoders.Get().(*rowEncoder) }

func (enc *rowEncoder) release() { enc.encoders.Put(enc) }

// encode makes the value of a row in enc.buf.
func (enc *rowEncoder) encode(r coupa.Row, op string) error {
	r, err := enc.mapped(r)
	if err != nil {
		return err
	}
	return enc.encodeMapped(r, op)
}

// mapped gives a row as the object's mapping has it, until the next one.
func (enc *rowEncoder) mapped(r coupa.Row) (coupa.Row, error) {
	if enc.mapper == nil {
		return r, nil
	}
	var err error
	if r.JSON, err = enc.mapper.Row(r.JSON); err != nil {
		return r, rowError(enc.object, r.ID, err)
	}
	return r, nil
}

// guarded gives the JSON of a row for wherever else it goes, until the next one: without what
// the object's mapping hides. Of a row in which that can't be told, there is nothing but the id.
func (enc *rowEncoder) guarded(r coupa.Row) []byte {
	if enc.mapper == nil {
		return r.JSON
	}
	shown, err := enc.mapper.Guarded(r.JSON)
	if err != nil {
		return fmt.Appendf(nil, `{"id":%d}`, r.ID)
	}
	return shown
}

// encodeMapped makes the value of a row that is as the mapping has it.
func (enc *rowEncoder) encodeMapped(r coupa.Row, op string) error {
	var err error
	if enc.buf, err = enc.value.Append(enc.buf[:0], r, op); err != nil {
		return rowError(enc.object, r.ID, err)
	}
	enc.unreadable, enc.leftOut = enc.value.kept().Unreadable(), enc.value.kept().LeftOut()
	return nil
}

// Key is the key of a row's records as they are made now; known is false while none can be made.
func (m *Maker) Key(id int64) (key []byte, known bool) {
	now := m.current.Load()
	if now == nil {
		return nil, false
	}
	return now.appendKey(nil, id), true
}

// appendKey appends the key of a row's records, in the format of their values.
func (e *encoding) appendKey(dst []byte, id int64) []byte { return e.appendKeyTo(dst, e.keyPrefix, id) }

func (e *encoding) appendKeyTo(dst, prefix []byte, id int64) []byte {
	dst = append(dst, prefix...)
	if e.jsonKeys {
		return schemas.AppendJSONKey(dst, e.tenant, id)
	}
	return schemas.AppendKey(dst, e.tenant, id)
}

// unfit lists what the row that was encoded last has that its custom fields are not typed for.
func (enc *rowEncoder) unfit() []schemas.Unfit { return enc.value.kept().Unfit() }

// Version is what must not be published twice.
type Version struct {
	ID, UpdatedAt int64 // unix seconds
	Digest        uint64
}

// Tally counts what is special about records, for the status.
type Tally struct {
	Late    []time.Duration // of rows that became visible behind the mark: how far behind
	Silent  int             // changes that did not move their row's updated-at
	SetBack int             // rows whose updated-at is older than that of a version published before
	Buried  int             // dead letters
	Cause   string          // of the last of them
	Trimmed int             // records with cut texts
	// values that can't be read as their fields' types and are in unmapped: the field of each
	Unreadable []string
	LeftOut    []string // values that stand nowhere (unmapped=off): the field of each
	// texts of rows with bytes that are not UTF-8: U+FFFD stands in their place
	Malformed int
}

// Chunk is a part of a page: records that were encoded and not
// handed over yet. Records, headers, keys and values lie in slabs.
type Chunk struct {
	Records   []*kgo.Record
	Published []Version          // published[i] is what records[i] was made of
	Lines     []RowLines         // of rows whose lines have topics of their own
	Entries   []checkpoint.Entry // what the ledger will know
	Unmarked  []Stamps           // of rows published that are to be marked as exported
	Bytes     int
	Rows      int // rows read, dropped ones included
	Dropped   int
	Passed    []int64 // rows that Coupa failed to send, and that the walk goes on behind
	Read      []int64 // rows that it failed to send before
	Tally
	Newest  time.Time // stamp of a row or of one of its lines
	slab    []byte
	recs    []kgo.Record
	headers []kgo.RecordHeader
}

// put makes a record of a row, with enc.buf for a value.
func (c *Chunk) put(enc *rowEncoder, r coupa.Row, h How, topic string, more ...kgo.RecordHeader) {
	value := c.keep(enc.buf)
	enc.buf = enc.appendKey(enc.buf[:0], r.ID)
	key := c.keep(enc.buf)
	rec := c.record()
	rec.Topic, rec.Key, rec.Value = topic, key, value
	rec.Headers = append(c.headersOf(enc, r, h), more...)
	c.Records = append(c.Records, rec)
	c.Published = append(c.Published, Version{r.ID, r.UpdatedAt.Unix(), r.Digest})
	c.Bytes += len(key) + len(value)
}

// headersOf are the headers of every record that a row makes.
func (c *Chunk) headersOf(enc *rowEncoder, r coupa.Row, h How) []kgo.RecordHeader {
	var room [5]kgo.RecordHeader
	headers := append(room[:0], kgo.RecordHeader{Key: HeaderTenant, Value: c.keepString(enc.tenant)},
		kgo.RecordHeader{Key: HeaderObject, Value: c.keepString(enc.object)}, kgo.RecordHeader{Key: HeaderOp, Value: c.keepString(h.Op)})
	if !enc.undated && !r.UpdatedAt.IsZero() {
		enc.buf = r.UpdatedAt.UTC().AppendFormat(enc.buf[:0], time.RFC3339)
		headers = append(headers, kgo.RecordHeader{Key: HeaderUpdatedAt, Value: c.keep(enc.buf)})
	}
	if h.isRequested(r) {
		headers = append(headers, kgo.RecordHeader{Key: HeaderReason, Value: c.keepString(ReasonRequested)})
	}
	return c.header(headers...)
}

// keep copies b into the slab.
func (c *Chunk) keep(b []byte) []byte {
	c.room(len(b))
	from := len(c.slab)
	c.slab = append(c.slab, b...)
	return c.slab[from:len(c.slab):len(c.slab)]
}

func (c *Chunk) keepString(s string) []byte {
	c.room(len(s))
	from := len(c.slab)
	c.slab = append(c.slab, s...)
	return c.slab[from:len(c.slab):len(c.slab)]
}

// room sees to it that the slab has room for n bytes.
func (c *Chunk) room(n int) {
	if cap(c.slab)-len(c.slab) < n {
		c.slab = make([]byte, 0, max(firstSlab, min(2*cap(c.slab), mostSlab), n))
	}
}

// Records of a block, of which the first has few.
const (
	firstRecords   = 4
	recordsPerSlab = 50 // a full page
)

func (c *Chunk) record() *kgo.Record {
	if len(c.recs) == cap(c.recs) {
		c.recs = make([]kgo.Record, 0, max(firstRecords, min(2*cap(c.recs), recordsPerSlab)))
	}
	c.recs = c.recs[:len(c.recs)+1]
	return &c.recs[len(c.recs)-1]
}

func (c *Chunk) header(h ...kgo.RecordHeader) []kgo.RecordHeader {
	if cap(c.headers)-len(c.headers) < len(h) {
		c.headers = make([]kgo.RecordHeader, 0, max(firstRecords*len(h), min(2*cap(c.headers), recordsPerSlab*len(h))))
	}
	from := len(c.headers)
	c.headers = append(c.headers, h...)
	return c.headers[from:len(c.headers):len(c.headers)]
}
