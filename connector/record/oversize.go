package record

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Values of record.oversize.
const (
	oversizeFail       = "fail"
	oversizeDeadLetter = "deadletter"
	oversizeTrim       = "trim"
)

// HeaderTrimmed is on records whose texts were cut to what the topic takes (record.oversize=trim):
// JSON, {"cut":[{"path","bytes","kept"}],"more":n} with the texts' places in Coupa's names, their
// lengths in Coupa's JSON, and the number of cut texts that are not listed.
const HeaderTrimmed = "coupa.trimmed"

// trimmedListed is how many cut texts HeaderTrimmed lists, and trimmedReserve the room that is left for it.
const (
	trimmedListed  = 20
	trimmedReserve = 8 << 10
)

// oversizeError says that a record is larger than its topic takes, which is known before it is produced.
type oversizeError struct {
	topic       string
	size, limit int
	handling    string // record.oversize
	trimmed     bool   // its texts are cut already
}

func (e *oversizeError) Error() string {
	what := "a record"
	if e.trimmed {
		what = "a record with all its texts cut"
	}
	return fmt.Sprintf("%s of %d bytes is larger than topic %s takes (%d); %s", what, e.size, e.topic, e.limit, e.Remedy())
}

// Remedy is what lets such records go.
func (e *oversizeError) Remedy() string {
	const room = "raise the topic's max.message.bytes (and the brokers' replica.fetch.max.bytes), "
	switch {
	case e.handling == oversizeDeadLetter:
		return room + "then coupastream replay sends it; or set record.oversize = trim"
	case e.trimmed:
		return room + "the object goes on by itself then; or set record.oversize = deadletter"
	}
	return room + "the object goes on by itself then; or set record.oversize = deadletter or trim"
}

// recordSize is the most that a record takes in a batch of its own.
func recordSize(enc *rowEncoder, value int, headers ...kgo.RecordHeader) int {
	// of the batch, of the record's lengths and deltas, and of the headers' names, lengths and fixed values
	const batch, fields, names = 61, 64, 128
	size := batch + fields + names + len(enc.keyPrefix) + 7*len(enc.tenant) + 50 + len(enc.object) + value
	for _, h := range headers {
		size += len(h.Key) + len(h.Value) + 10
	}
	return size
}

// tooLarge tells by how much a record is larger than its topic takes, if it is.
func (m *Maker) tooLarge(ctx context.Context, topic string, size int) *oversizeError {
	if limit := m.Topics.takes(ctx, topic, size); size > limit {
		return &oversizeError{topic: topic, size: size, limit: limit, handling: m.Object.Oversize}
	}
	return nil
}

// cut is what shrink has cut of a row.
type cut struct {
	marks   []kgo.RecordHeader // of the row's own record
	records int                // that were cut
}

// shrink sees to it that the record of the row that was encoded last, and those of its lines,
// are no larger than their topics take, if record.oversize says to cut them, and gives the header
// that tells of that; lines have theirs from lineValue.cuts. An error holds an *oversizeError.
func (e *Encoder) shrink(ctx context.Context, row coupa.Row) (cut, error) {
	m, enc := e.m, e.rows
	over := e.oversized(ctx)
	if over == nil {
		return cut{}, nil
	}
	if m.Object.Oversize != oversizeTrim {
		return cut{}, &RowError{Object: enc.object, ID: row.ID, Err: over}
	}
	whole, err := enc.mapped(row)
	if err != nil {
		return cut{}, err
	}
	uncut := enc.lines().digests()
	// The value is most often smaller than the row's JSON, so
	// it can take more than one turn until enough is gone.
	for excess, last := over.size-over.limit+trimmedReserve, -1; ; {
		trimmed, cuts, err := rowtext.Trim(whole.JSON, excess)
		if err != nil {
			return cut{}, rowError(enc.object, row.ID, err)
		}
		if len(trimmed) == last || len(cuts) == 0 {
			over.trimmed = len(cuts) > 0
			return cut{}, &RowError{Object: enc.object, ID: row.ID, Err: over}
		}
		if err := enc.encodeMapped(coupa.Row{ID: row.ID, UpdatedAt: row.UpdatedAt, JSON: trimmed}, e.Op); err != nil {
			return cut{}, err
		}
		own, ofLines := enc.lines().share(cuts, uncut)
		var done cut
		if done.records = ofLines; len(own) > 0 {
			done.marks, done.records = []kgo.RecordHeader{trimmedHeader(own)}, ofLines+1
		}
		if over = e.oversized(ctx, done.marks...); over == nil {
			return done, nil
		}
		last, excess = len(trimmed), excess+over.size-over.limit
	}
}

// oversized tells of the record that is larger than its topic takes
// by most: of the row with these headers, or of one of its lines.
func (e *Encoder) oversized(ctx context.Context, marks ...kgo.RecordHeader) *oversizeError {
	m, enc := e.m, e.rows
	over := m.tooLarge(ctx, enc.topic, recordSize(enc, len(enc.buf), marks...))
	v := enc.lines()
	if v == nil {
		return over
	}
	for i := range v.lines {
		l := &v.lines[i]
		var marks []kgo.RecordHeader
		if len(l.cuts) > 0 {
			marks = []kgo.RecordHeader{trimmedHeader(l.cuts)}
		}
		more := m.tooLarge(ctx, v.lists[l.list].Topic, recordSize(enc, len(l.value), marks...))
		if more != nil && (over == nil || more.size-more.limit > over.size-over.limit) {
			over = more
		}
	}
	return over
}

// trimmedHeader lists cut texts in the row's order.
func trimmedHeader(cuts []rowtext.Cut) kgo.RecordHeader {
	const longestPath = 200
	list := struct {
		Cut  []rowtext.Cut `json:"cut"`
		More int           `json:"more,omitempty"`
	}{Cut: cuts}
	if len(cuts) > trimmedListed {
		list.Cut, list.More = cuts[:trimmedListed], len(cuts)-trimmedListed
	}
	for i, c := range list.Cut {
		if len(c.Path) > longestPath {
			list.Cut[i].Path = strings.ToValidUTF8(c.Path[:longestPath], "") + "…"
		}
	}
	value, _ := json.Marshal(list) // of strings and numbers: it can't fail
	return kgo.RecordHeader{Key: HeaderTrimmed, Value: value}
}
