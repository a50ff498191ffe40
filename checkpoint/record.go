package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNewer says that a record was written by a newer coupastream, in a form that this one would have
// to guess at.
var ErrNewer = errors.New("written by a newer coupastream: run that version or a later one")

const (
	recordVersion = 1
	rowVersion    = 1 // the first byte of a row's value
)

// Record types, as they stand in keys.
const (
	typePosition = "position"
	typeLedger   = "ledger"
	typeRow      = "row"
	typeIDs      = "ids"
	typeVoid     = "void"
	typeFence    = "fence"
	typeAnchor   = "anchor"
)

// kind says what a record does to the state.
type kind uint8

const (
	move    kind = iota + 1 // the stream stands at position
	put                     // the ledger gains entries, under chunk
	expire                  // chunk is gone
	set                     // row has a state
	unset                   // row has none any more
	block                   // a set of ids has block
	unblock                 // it has none there any more
	void                    // the ledger loses entries, by chunk
	forget                  // the stream is gone: position, chunks, entries and rows' states
	fence                   // nothing; marks how far a reader has to come
	anchor                  // nothing; holds the front of the log
)

// change is one record, decoded.
type change struct {
	kind      kind
	stream    Stream
	position  Position // move
	chunk     ChunkKey // put, expire
	entries   []Entry  // put, void; sorted, each once
	row       RowState // set, unset
	block     idBlock  // block, unblock
	partition int32    // fence, anchor
	nonce     string   // fence, anchor
}

// FenceRecord is what an owner commits, alone, right after InitProducerID has fenced its forerunner.
// Restore reads up to it: a reader can't wait for the last offset, which holds a transaction marker
// and never arrives as a record. The nonce tells it from the fences of earlier owners.
func FenceRecord(topic string, partition int32, nonce string) *kgo.Record {
	return change{kind: fence, partition: partition, nonce: nonce}.record(topic, partition)
}

// AnchorRecord says nothing, and is never compacted away: no other record has its key, which holds the
// nonce. So the first offset of a partition gets beyond that of an anchor only where records are deleted,
// and whoever keeps the anchor's offset elsewhere can tell that records behind it are gone. Some brokers
// move the first offset when compaction removes what is at the front; Apache Kafka leaves it.
func AnchorRecord(topic string, partition int32, nonce string) *kgo.Record {
	return change{kind: anchor, partition: partition, nonce: nonce}.record(topic, partition)
}

func (c change) record(topic string, partition int32) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Key: c.key(), Value: c.value()}
}

// keyJSON is a record's key; the order of members is the order of fields.
type keyJSON struct {
	V         int    `json:"v"`
	Type      string `json:"type"`
	Tenant    string `json:"tenant,omitempty"`
	Object    string `json:"object,omitempty"`
	Until     string `json:"until,omitempty"`
	Seq       uint64 `json:"seq,omitempty"`
	ID        *int64 `json:"id,omitempty"`
	Set       string `json:"set,omitempty"`
	From      *int64 `json:"from,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
}

type fenceJSON struct {
	Nonce string `json:"nonce"`
}

func (c change) key() []byte {
	k := keyJSON{V: recordVersion, Tenant: c.stream.Tenant, Object: c.stream.Object}
	switch c.kind {
	case move, forget:
		k.Type = typePosition
	case put, expire, void:
		k.Type, k.Seq, k.Until = typeLedger, c.chunk.Seq, formatTime(time.Unix(c.chunk.Until, 0))
		if c.chunk.Void {
			k.Type = typeVoid
		}
	case block, unblock:
		k.Type, k.Set, k.From = typeIDs, c.block.set.String(), &c.block.from
	case set, unset:
		k.Type, k.ID = typeRow, &c.row.ID
	case fence:
		k.Type, k.Partition = typeFence, &c.partition
	case anchor:
		k.Type, k.Partition, k.Nonce = typeAnchor, &c.partition, c.nonce
	}
	return marshal(k)
}

func (c change) value() []byte {
	switch c.kind {
	case move:
		return encodePosition(c.position)
	case put, void:
		return encodeChunk(c.entries)
	case block:
		return appendBlock(nil, c.block)
	case set:
		return appendLines([]byte{rowVersion}, c.row.Lines)
	case fence:
		return marshal(fenceJSON{Nonce: c.nonce})
	case anchor:
		return []byte("{}")
	default:
		return nil
	}
}

// errForeign says that a record is of somebody else: its key is not what any version of coupastream writes.
var errForeign = errors.New("not a record of coupastream's")

// decode reads one record of the topic. A nil value is a tombstone. An unknown version, type or
// member is an error: to skip it could mean to publish twice or not at all.
func decode(key, value []byte) (change, error) {
	k, err := decodeKey(key)
	if err != nil {
		return change{}, fmt.Errorf("record key: %w", err)
	}
	c := change{stream: Stream{Tenant: k.Tenant, Object: k.Object}}
	switch k.Type {
	case typeFence:
		err = c.readFence(k, value)
	case typeAnchor:
		err = c.readAnchor(k, value)
	case typePosition:
		err = c.readPosition(value)
	case typeLedger, typeVoid:
		err = c.readChunk(k, value)
	case typeIDs:
		err = c.readBlock(k, value)
	case typeRow:
		err = c.readRow(k, value)
	default:
		err = fmt.Errorf("unknown type %q: %w", k.Type, ErrNewer)
	}
	if err != nil {
		return change{}, fmt.Errorf("%s record of %v: %w", k.Type, c.stream, err)
	}
	return c, nil
}

// decodeKey blames the version first: members of a newer one may well be unknown. Every version's keys
// are objects with the member v, and what begins with such an object is ours, whatever stands behind it.
func decodeKey(key []byte) (keyJSON, error) {
	var k keyJSON
	err := unmarshal(key, &k)
	if err == nil && k.V == recordVersion && k.Type != "" {
		return k, nil
	}
	var members map[string]json.RawMessage
	version := 0
	foreign := json.NewDecoder(bytes.NewReader(key)).Decode(&members)
	if foreign == nil {
		foreign = json.Unmarshal(members["v"], &version)
	}
	switch {
	case foreign == nil && version > recordVersion:
		return k, fmt.Errorf("version %d, this one reads %d: %w", version, recordVersion, ErrNewer)
	// it has no type, or a V that encoding/json takes for v
	case foreign != nil || version < 1 || err == nil:
		return k, errForeign
	}
	return k, err
}

func (c *change) readFence(k keyJSON, value []byte) error {
	c.kind = fence
	if k.Partition == nil {
		return errors.New("no partition")
	}
	c.partition = *k.Partition
	if value == nil {
		return nil
	}
	var v fenceJSON
	err := unmarshal(value, &v)
	c.nonce = v.Nonce
	return err
}

func (c *change) readAnchor(k keyJSON, value []byte) error {
	c.kind = anchor
	if k.Partition == nil || k.Nonce == "" {
		return errors.New("no partition or no nonce")
	}
	c.partition, c.nonce = *k.Partition, k.Nonce
	if value == nil {
		return nil
	}
	return unmarshal(value, &struct{}{})
}

func (c *change) readPosition(value []byte) error {
	if err := c.stream.check(); err != nil {
		return err
	}
	if value == nil {
		c.kind = forget
		return nil
	}
	c.kind = move
	var err error
	c.position, err = decodePosition(value)
	return err
}

func (c *change) readChunk(k keyJSON, value []byte) error {
	until, err := parseTime(k.Until)
	if err := errors.Join(c.stream.check(), err); err != nil {
		return err
	}
	c.chunk = ChunkKey{Stream: c.stream, Until: until.Unix(), Seq: k.Seq, Void: k.Type == typeVoid}
	if value == nil {
		c.kind = expire
		return nil
	}
	if c.kind = put; c.chunk.Void {
		c.kind = void
	}
	if c.entries, err = decodeChunk(value); err != nil {
		return err
	}
	if n := len(c.entries); n > 0 && c.entries[n-1].At >= c.chunk.Until {
		return fmt.Errorf("row %d lies behind the end of its bucket", c.entries[n-1].ID)
	}
	return nil
}

func (c *change) readBlock(k keyJSON, value []byte) error {
	set, err := parseIDSet(k.Set)
	if err := errors.Join(c.stream.check(), err); err != nil {
		return err
	}
	if k.From == nil || *k.From < 0 {
		return errors.New("no first id")
	}
	c.kind, c.block = unblock, idBlock{set: set, from: *k.From}
	if value == nil {
		return nil
	}
	c.kind = block
	c.block, err = parseBlock(set, *k.From, value)
	return err
}

func (c *change) readRow(k keyJSON, value []byte) (err error) {
	if err := c.stream.check(); err != nil {
		return err
	}
	if k.ID == nil {
		return errors.New("no id")
	}
	c.kind, c.row.ID = unset, *k.ID
	if value == nil {
		return c.row.check()
	}
	switch {
	case len(value) == 0:
		return errors.New("no version")
	case value[0] != rowVersion:
		return fmt.Errorf("state of version %d, this one reads %d: %w", value[0], rowVersion, ErrNewer)
	}
	c.kind = set
	if c.row.Lines, err = parseLines(value[1:]); err != nil {
		return err
	}
	if len(c.row.Lines) == 0 {
		return errLines // a row without lines has a tombstone
	}
	return c.row.check()
}

// marshal is for types that always have a JSON form, and keeps <, > and & readable.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("checkpoint: %T has no JSON form: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// unmarshal takes one JSON value with nothing behind it and no member that v does not know.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}
