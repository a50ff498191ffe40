package connector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/checkpoint"
	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// OpDelete is the value of HeaderOp on a tombstone: the line is gone from its row.
const OpDelete = "delete"

// lineList is a list of a stream's rows whose lines go to a topic of their own.
type lineList struct {
	list      string // as Coupa spells it: its name in the rows' states
	topic     string
	keyPrefix []byte
	form      valueForm
	// of the topic, in the lines' digests: in another topic nothing is published of them yet
	salt uint64
}

// hasLines tells whether lines of the stream go to topics of their own.
func (p *poller) hasLines() bool {
	lists, err := schemas.Lists(p.stream.Object)
	return err == nil && len(lists) > 0 && p.object.Lines != config.LinesEmbedded && !isWhole(p.object)
}

// linedValue makes the values of rows and of their lines.
// The row is encoded whole, and its lines are cut out.
type linedValue struct {
	encoder  *schemas.Encoder
	splitter *schemas.Splitter
	form     valueForm
	lists    []lineList
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
	cuts        []schemas.Cut // of its texts, to what the topic takes
}

func (v *linedValue) Append(dst []byte, row coupa.Row, op string) ([]byte, error) {
	var err error
	if v.whole, err = v.encoder.Append(v.whole[:0], row.JSON); err != nil {
		return dst, err
	}
	if err := v.splitter.Split(row.ID, v.whole); err != nil {
		return dst, err
	}
	lines := v.splitter.Lines()
	if len(lines) >= checkpoint.MaxLines { // one of a state is the row itself
		return dst, &schemas.FieldError{Err: fmt.Errorf("it has %d lines, of which %d can have records of their own; write lines=embedded for the object", len(lines), checkpoint.MaxLines-1)}
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

func (v *linedValue) Unfit() []schemas.Unfit { return v.encoder.Unfit() }

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
func (v *linedValue) share(cuts []schemas.Cut, uncut []uint64) (own []schemas.Cut, lines int) {
	if v == nil {
		return cuts, 0
	}
	for _, c := range cuts {
		if v.keep || !slices.ContainsFunc(v.lists, func(l lineList) bool { return strings.HasPrefix(c.Path, l.list+"[") }) {
			own = append(own, c)
		}
	}
	for i := range v.lines {
		l := &v.lines[i]
		if l.digest == uncut[i] {
			continue
		}
		l.digest = uncut[i]
		within := fmt.Sprintf("%s[%d]", v.lists[l.list].list, l.index)
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

// rowLines are the lines of a row that is published, for the
// shard to tell which of them are new and which are gone.
type rowLines struct {
	version
	lists  []lineList
	unread []bool // by list: nothing tells what lines there are, so that they are left as they are
	lines  []line
	// the row's, where it has no lines in it: a change of lines alone is none of the row's; else nil
	own     *kgo.Record
	content uint64             // digest of own
	asked   bool               // all of it goes out once more, changed or not
	headers []kgo.RecordHeader // the row's, for tombstones
	json    bool               // keys are
	tenant  string
}

// line is a line of a row with the record that it has if it is published.
type line struct {
	list   int
	id     int64
	digest uint64
	record *kgo.Record
}

// rowItself is the list under which a row's state has the row without its lines.
const rowItself = "="

// lines gives what the row that was encoded last has for the topics of its lines; nil: there are none.
func (enc *rowEncoder) lines() *linedValue {
	v, _ := enc.value.(*linedValue)
	return v
}

// addLines takes the lines of the row that enc has encoded into the
// chunk. Headers are the row's, but for the operation of tombstones.
func (c *chunk) addLines(enc *rowEncoder, r coupa.Row, op string) {
	v := enc.lines()
	if v == nil {
		return
	}
	rl := rowLines{version: version{r.ID, r.UpdatedAt.Unix(), r.Digest}, lists: v.lists, tenant: enc.tenant, json: enc.jsonKeys, headers: c.headersOf(enc, r, op)}
	for n := range v.lists {
		if v.splitter.Unread(n) {
			if rl.unread == nil {
				rl.unread = make([]bool, len(v.lists))
			}
			rl.unread[n] = true
		}
	}
	rl.lines = make([]line, len(v.lines))
	for i, l := range v.lines {
		of := v.lists[l.list]
		enc.buf = enc.appendKeyTo(enc.buf[:0], of.keyPrefix, l.id)
		rec := c.record()
		rec.Topic, rec.Key, rec.Value, rec.Headers = of.topic, c.keep(enc.buf), c.keep(l.value), rl.headers
		if len(l.cuts) > 0 {
			rec.Headers = append(slices.Clip(rec.Headers), trimmedHeader(l.cuts))
		}
		rl.lines[i] = line{l.list, l.id, l.digest, rec}
		c.bytes += len(rec.Key) + len(rec.Value)
	}
	c.lines = append(c.lines, rl)
}

// takeOwn makes the record that was put last one that goes
// with the row's lines, if it has none of them in it.
func (c *chunk) takeOwn(enc *rowEncoder) {
	v := enc.lines()
	if v == nil || v.keep {
		return
	}
	last := len(c.records) - 1
	rl := &c.lines[len(c.lines)-1]
	rl.own = c.records[last]
	// its stamp may be in none of its fields
	rl.content = v.digest + uint64(rl.updatedAt)*0x9E3779B185EBCA87 + xxhash.Sum64String(rl.own.Topic)
	c.records, c.published = c.records[:last], c.published[:last]
}

// tombstone is the record that takes a line out of its topic.
func (rl *rowLines) tombstone(list int, id int64) *kgo.Record {
	e := encoding{tenant: rl.tenant, jsonKeys: rl.json}
	headers := slices.Clone(rl.headers)
	for i := range headers {
		if headers[i].Key == HeaderOp {
			headers[i].Value = []byte(OpDelete)
		}
	}
	return &kgo.Record{Topic: rl.lists[list].topic, Key: e.appendKeyTo(nil, rl.lists[list].keyPrefix, id), Headers: headers}
}

// lineRecord is a record of a line, or its tombstone, that goes with a submission.
type lineRecord struct {
	*kgo.Record
	row int64
	id  int64 // of the line; where row itself is published, of that
	own bool  // it is the row's
}

// rowStates are what a stream's rows have published of their
// lines: as committed, with what the transaction at hand changes.
type rowStates struct {
	store  rowStore
	stream checkpoint.Stream
	rows   map[int64]*rowState
	epoch  uint64
	owners map[lineID]int64 // of lines that changed: the row that has it; none: 0 rows have it
	moved  []int64          // rows between which lines have moved, by id
}

// rowStore is what of the local store it takes.
type rowStore interface {
	Row(st checkpoint.Stream, id int64) (checkpoint.RowState, error)
	Owner(st checkpoint.Stream, list string, line int64) (row int64, ok bool, err error)
}

type rowState struct {
	lines   map[lineID]uint64 // digests
	changed bool
}

type lineID struct {
	list string
	id   int64
}

func newRowStates(store rowStore, st checkpoint.Stream, epoch uint64) *rowStates {
	return &rowStates{store: store, stream: st, epoch: epoch * 0xC2B2AE3D27D4EB4F, rows: map[int64]*rowState{}, owners: map[lineID]int64{}}
}

func (s *rowStates) row(id int64) (*rowState, error) {
	if r := s.rows[id]; r != nil {
		return r, nil
	}
	kept, err := s.store.Row(s.stream, id)
	if err != nil {
		return nil, err
	}
	r := &rowState{lines: make(map[lineID]uint64, len(kept.Lines))}
	for _, l := range kept.Lines {
		r.lines[lineID{l.List, l.ID}] = l.Digest
	}
	s.rows[id] = r
	return r, nil
}

// publish gives the records that a row's lines take: of those that are new or changed, and tombstones
// of those that it had and has no more. A line that another row had is that row's no more, so that it
// gets no tombstone when that row comes without it; both rows are noted, see follower.settle.
func (s *rowStates) publish(rl *rowLines) ([]lineRecord, error) {
	row, err := s.row(rl.id)
	if err != nil {
		return nil, err
	}
	var records []lineRecord
	if rl.own != nil {
		key := lineID{rowItself, rl.id}
		if digest, known := row.lines[key]; !known || digest != rl.content+s.epoch || rl.asked {
			row.lines[key], row.changed = rl.content+s.epoch, true
			records = append(records, lineRecord{rl.own, rl.id, rl.id, true})
		}
	}
	has := make(map[lineID]bool, len(rl.lines))
	for _, l := range rl.lines {
		key := lineID{rl.lists[l.list].list, l.id}
		has[key] = true
		digest, known := row.lines[key]
		latest := l.digest + rl.lists[l.list].salt + s.epoch
		if known && digest == latest && !rl.asked {
			continue
		}
		if !known {
			if err := s.takeOver(key, rl.id); err != nil {
				return nil, err
			}
		}
		row.lines[key], row.changed = latest, true
		records = append(records, lineRecord{l.record, rl.id, l.id, false})
	}
	var gone []lineID
	for key := range row.lines {
		if n := rl.list(key.list); !has[key] && n >= 0 && (rl.unread == nil || !rl.unread[n]) {
			gone = append(gone, key)
		}
	}
	slices.SortFunc(gone, lineID.compare)
	for _, key := range gone {
		delete(row.lines, key)
		row.changed = true
		s.owners[key] = noRow
		records = append(records, lineRecord{rl.tombstone(rl.list(key.list), key.id), rl.id, key.id, false})
	}
	return records, nil
}

// noRow is the owner of a line that no row has. Ids are not negative.
const noRow = -1

// takeOver makes a line that is new to a row that row's.
func (s *rowStates) takeOver(key lineID, row int64) error {
	owner, known := s.owners[key]
	if !known {
		var err error
		if owner, known, err = s.store.Owner(s.stream, key.list, key.id); err != nil {
			return err
		}
	}
	s.owners[key] = row
	if !known || owner == noRow || owner == row {
		return nil
	}
	other, err := s.row(owner)
	if err != nil {
		return err
	}
	delete(other.lines, key)
	other.changed = true
	s.moved = union(s.moved, []int64{owner, row})
	return nil
}

// maxMoved bounds what a position holds of rows to be read again.
const maxMoved = 10_000

// union is the ids of both, in order.
func union(a, b []int64) []int64 {
	all := append(slices.Clip(a), b...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[max(0, len(all)-maxMoved):]
}

func (rl *rowLines) list(name string) int {
	return slices.IndexFunc(rl.lists, func(l lineList) bool { return l.list == name })
}

func (k lineID) compare(o lineID) int {
	return cmp.Or(cmp.Compare(k.list, o.list), cmp.Compare(k.id, o.id))
}

// changes are the states that the transaction changes, in order of id.
func (s *rowStates) changes() []checkpoint.RowState {
	var all []checkpoint.RowState
	for id, r := range s.rows {
		if !r.changed {
			continue
		}
		state := checkpoint.RowState{ID: id}
		for key, digest := range r.lines {
			state.Lines = append(state.Lines, checkpoint.Line{List: key.list, ID: key.id, Digest: digest})
		}
		all = append(all, state)
	}
	slices.SortFunc(all, func(a, b checkpoint.RowState) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// resolveLines tells which lines of a batch go out, in the order in which their rows do, and puts the
// states that follow into the commits. It is asked again where a batch goes again without a part of it.
func (s *shard) resolveLines(batch []*submission, commits []checkpoint.Commit) error {
	var states map[checkpoint.Stream]*rowStates
	for _, sub := range batch {
		sub.lineRecords = nil
		if len(sub.lines) == 0 {
			continue
		}
		if states == nil {
			states = map[checkpoint.Stream]*rowStates{}
		}
		if states[sub.stream] == nil {
			states[sub.stream] = newRowStates(s.store, sub.stream, s.position(sub.stream).LineEpoch)
		}
		for i := range sub.lines {
			records, err := states[sub.stream].publish(&sub.lines[i])
			if err != nil {
				return fmt.Errorf("reading the lines of %v: %w", sub.stream, err)
			}
			sub.lineRecords = append(sub.lineRecords, records...)
		}
	}
	for i := range commits {
		if st := states[commits[i].Stream]; st != nil {
			commits[i].Rows = st.changes()
			commits[i].Position.Moved = union(commits[i].Position.Moved, st.moved)
		}
	}
	return nil
}

// linedValues registers the schemas of the rows and of their lines, or wider ones where one
// is refused and schema.conflict says so, makes sure of the lines' topics, and gives the
// whole schema with what makes the values. The lines' schemas come first: what they hold of
// custom fields must not be lost with the version of the rows' schema that held it.
func (p *poller) linedValues(ctx context.Context, schema *schemas.Schema) (*schemas.Schema, func() valueEncoder, error) {
	for widened := 0; ; widened++ {
		split, err := schema.Split(p.object.Lines == config.LinesBoth)
		if err != nil {
			return nil, nil, err
		}
		values, refused, err := p.registerSplit(ctx, split)
		if widened > 0 {
			err = refusedWide(err)
		}
		if err == nil || refused == nil || widened > len(split.Lists) {
			return schema, values, err
		}
		last, failed := p.shard.w.registry.Latest(ctx, refused.subject)
		if failed != nil {
			return nil, nil, failed
		}
		wide := schema
		if refused.list == nil {
			wide, failed = schema.Widen(last)
		} else {
			wide, failed = schema.WidenLines(*refused.list, last)
		}
		if failed != nil {
			return nil, nil, fmt.Errorf("%w; schema.conflict=widen can't help: %w", err, failed)
		}
		schema = wide
	}
}

// refusal says which schema of a split the registry has refused, where it is to be widened.
type refusal struct {
	subject string
	list    *schemas.List // nil: that of the rows
}

func (p *poller) registerSplit(ctx context.Context, split *schemas.Split) (func() valueEncoder, *refusal, error) {
	lists := make([]lineList, len(split.Lists))
	for i, l := range split.Lists {
		topic := p.object.LineTopic(l.Name)
		if err := p.shard.w.topics.ensure(ctx, topic); err != nil {
			return nil, nil, err
		}
		prefix, err := p.keyPrefix(ctx, topic)
		if err != nil {
			return nil, nil, err
		}
		form, err := p.formOf(ctx, topic, l.Schema, p.stream.Object+"."+l.Name)
		if err != nil {
			return nil, p.refusalOf(err, topic, l.Schema, &split.Lists[i]), err
		}
		lists[i] = lineList{list: l.Coupa, topic: topic, keyPrefix: prefix, form: form, salt: xxhash.Sum64String(topic)}
	}
	form, err := p.formOf(ctx, p.object.Topic, split.Row, p.stream.Object)
	if err != nil {
		return nil, p.refusalOf(err, p.object.Topic, split.Row, nil), err
	}
	whole, err := split.Whole().Plan()
	if err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	if _, err := split.Splitter(); err != nil {
		return nil, nil, fmt.Errorf("schema of %s: %w", p.stream.Object, err)
	}
	return func() valueEncoder {
		splitter, _ := split.Splitter() // as it was a moment ago
		return &linedValue{encoder: whole.Encoder(), splitter: splitter, form: form, lists: lists, keep: p.object.Lines == config.LinesBoth}
	}, nil, nil
}

func (p *poller) refusalOf(err error, topic string, schema *schemas.Schema, list *schemas.List) *refusal {
	if !p.isToWiden(err) {
		return nil
	}
	return &refusal{p.subjectIn(topic, schema), list}
}
