package record

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// List is a list of a stream's rows whose lines go to a topic of their own.
type List struct {
	List      string // as Coupa spells it: its name in the rows' states
	Topic     string
	keyPrefix []byte
	form      valueForm
	// of the topic, in the lines' digests: in another topic nothing is published of them yet
	Salt uint64
}

// HasLines tells whether lines of the stream go to topics of their own.
func (m *Maker) HasLines() bool {
	lists, err := schemas.Lists(m.Stream.Object)
	return err == nil && len(lists) > 0 && m.Object.Lines != config.LinesEmbedded && !m.Object.IsWhole()
}

// linedValue makes the values of rows and of their lines.
// The row is encoded whole, and its lines are cut out.
type linedValue struct {
	encoder  *schemas.Encoder
	splitter *schemas.Splitter
	form     valueForm
	lists    []List
	keep     bool   // lines stay in the row too
	whole    []byte // the last row, encoded
	digest   uint64 // of the row without its lines, before anything was cut
	values   []byte // of its lines
	lines    []lineValue
}

// lineValue is a line of the row that was encoded last.
type lineValue struct {
	list, index int // index within the list
	id          int64
	digest      uint64
	value       []byte
	cuts        []rowtext.Cut // of its texts, to what the topic takes
}

func (v *linedValue) Append(dst []byte, row coupa.Row, op string) ([]byte, error) {
	var err error
	if v.whole, err = v.encoder.Append(v.whole[:0], row.JSON); err != nil {
		return dst, err
	}
	if err := v.splitter.Split(row.ID, v.whole); err != nil {
		return dst, err
	}
	v.splitter.NoteLeftOut(v.encoder)
	lines := v.splitter.Lines()
	if len(lines) >= checkpoint.MaxLines { // one of a state is the row itself
		return dst, &rowtext.FieldError{Err: fmt.Errorf("it has %d lines, of which %d can have records of their own; write lines=embedded for the object", len(lines), checkpoint.MaxLines-1)}
	}
	v.values, v.lines, v.digest = v.values[:0], v.lines[:0], v.splitter.Digest()
	for i, l := range lines {
		begin := len(v.values)
		if v.values, err = v.lists[l.List].form.wrap(v.values, l.Value, row, op); err != nil {
			return dst, err
		}
		one := lineValue{list: l.List, id: l.ID, digest: l.Digest, value: v.values[begin:]}
		if i > 0 && lines[i-1].List == l.List {
			one.index = v.lines[i-1].index + 1
		}
		v.lines = append(v.lines, one)
	}
	end := 0
	for i := range v.lines { // what was appended later may have moved them
		begin := end
		end += len(v.lines[i].value)
		v.lines[i].value = v.values[begin:end]
	}
	return v.form.wrap(dst, v.splitter.Row(), row, op)
}

func (v *linedValue) kept() *schemas.Encoder { return v.encoder }

// digests are those of the lines as they are, in their order, and last that of the row without them.
func (v *linedValue) digests() []uint64 {
	if v == nil {
		return nil
	}
	all := make([]uint64, len(v.lines), len(v.lines)+1)
	for i, l := range v.lines {
		all[i] = l.digest
	}
	return append(all, v.digest)
}

// share tells each line of a row whose texts were cut which of them are its own, and gives what is
// in the row's own record and how many lines were cut. Lines keep the digests that they had before,
// which are of what Coupa has: that another text of the row is longer is no change of a line.
func (v *linedValue) share(cuts []rowtext.Cut, uncut []uint64) (own []rowtext.Cut, lines int) {
	if v == nil {
		return cuts, 0
	}
	for _, c := range cuts {
		if v.keep || !slices.ContainsFunc(v.lists, func(l List) bool { return strings.HasPrefix(c.Path, l.List+"[") }) {
			own = append(own, c)
		}
	}
	for i := range v.lines {
		l := &v.lines[i]
		if l.digest == uncut[i] {
			continue
		}
		l.digest = uncut[i]
		within := fmt.Sprintf("%s[%d]", v.lists[l.list].List, l.index)
		for _, c := range cuts {
			if strings.HasPrefix(c.Path, within) {
				l.cuts = append(l.cuts, c)
			}
		}
		lines++
	}
	v.digest = uncut[len(v.lines)]
	return own, lines
}

// RowLines are the lines of a row that is published, for the
// shard to tell which of them are new and which are gone.
type RowLines struct {
	Version
	Lists  []List
	Unread []bool // by list: nothing tells what lines there are, so that they are left as they are
	Lines  []Line
	// the row's, where it has no lines in it: a change of lines alone is none of the row's; else nil
	RowRecord *kgo.Record
	Content   uint64 // digest of RowRecord
	All       bool   // all of it goes out, changed or not
	// the row is gone: all that was published of its lines goes, and what is known of it
	Gone    bool
	Headers []kgo.RecordHeader // the row's, for tombstones
	json    bool               // keys are
	Tenant  string
}

// Line is a line of a row with the record that it has if it is published.
type Line struct {
	List   int
	ID     int64
	Digest uint64
	Record *kgo.Record
}

// RowItself is the list under which a row's state has the row without its lines.
const RowItself = "="

// lines gives what the row that was encoded last has for the topics of its lines; nil: there are none.
func (enc *rowEncoder) lines() *linedValue {
	v, _ := enc.value.(*linedValue)
	return v
}

// addLines takes the lines of the row that enc has encoded into the
// chunk. Headers are the row's, but for the operation of tombstones.
func (c *Chunk) addLines(enc *rowEncoder, r coupa.Row, h How) {
	v := enc.lines()
	if v == nil {
		return
	}
	rl := RowLines{
		Version: Version{r.ID, r.UpdatedAt.Unix(), r.Digest}, Lists: v.lists, Tenant: enc.tenant, json: enc.jsonKeys,
		Headers: c.headersOf(enc, r, h), All: h.Requested,
	}
	for n := range v.lists {
		if v.splitter.Unread(n) {
			if rl.Unread == nil {
				rl.Unread = make([]bool, len(v.lists))
			}
			rl.Unread[n] = true
		}
	}
	rl.Lines = make([]Line, len(v.lines))
	for i, l := range v.lines {
		of := v.lists[l.list]
		enc.buf = enc.appendKeyTo(enc.buf[:0], of.keyPrefix, l.id)
		rec := c.record()
		rec.Topic, rec.Key, rec.Value, rec.Headers = of.Topic, c.keep(enc.buf), c.keep(l.value), rl.Headers
		if len(l.cuts) > 0 {
			rec.Headers = append(slices.Clip(rec.Headers), trimmedHeader(l.cuts))
		}
		rl.Lines[i] = Line{l.list, l.id, l.digest, rec}
		c.Bytes += len(rec.Key) + len(rec.Value)
	}
	c.Lines = append(c.Lines, rl)
}

// takeRowRecord makes the record that was put last one that goes
// with the row's lines, if it has none of them in it.
func (c *Chunk) takeRowRecord(enc *rowEncoder) {
	v := enc.lines()
	if v == nil || v.keep {
		return
	}
	last := len(c.Records) - 1
	rl := &c.Lines[len(c.Lines)-1]
	rl.RowRecord = c.Records[last]
	// its stamp may be in none of its fields
	rl.Content = v.digest + schemas.StampDigest(rl.UpdatedAt) + xxhash.Sum64String(rl.RowRecord.Topic)
	c.Records, c.Published = c.Records[:last], c.Published[:last]
}

// Tombstone is the record that takes a line out of its topic.
func (rl *RowLines) Tombstone(list int, id int64) *kgo.Record {
	e := encoding{tenant: rl.Tenant, jsonKeys: rl.json}
	headers := slices.Clone(rl.Headers)
	for i := range headers {
		if headers[i].Key == HeaderOp {
			headers[i].Value = []byte(OpDelete)
		}
	}
	return &kgo.Record{Topic: rl.Lists[list].Topic, Key: e.appendKeyTo(nil, rl.Lists[list].keyPrefix, id), Headers: headers}
}

// List is the place of a list by its name, as Coupa spells it; -1: the row has none of it.
func (rl *RowLines) List(name string) int {
	return slices.IndexFunc(rl.Lists, func(l List) bool { return l.List == name })
}
