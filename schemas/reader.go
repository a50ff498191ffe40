package schemas

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Reader reads rows back from the values of records, as they stand in topics. It never changes.
type Reader struct {
	plan      *Plan
	enveloped bool
	json      bool

	list        int // the field with the lines; -1: none
	id, updated string
}

// LineVersion tells a version of a line from others of it.
type LineVersion struct {
	ID        int64
	UpdatedAt string // RFC 3339; "": it has none that is an instant
}

// NewReader makes a reader of what was written as Avro by a schema that this package made, with or without
// Debezium's envelope. list is the collection of lines that Lines looks at, as Coupa spells it; "": none.
func NewReader(avsc, list string) (*Reader, error) {
	whole, err := schematext.Parse([]byte(avsc))
	if err != nil {
		return nil, err
	}
	row := schematext.RowOf(whole)
	text, err := json.Marshal(row)
	if err != nil {
		return nil, err
	}
	plan, err := Compile(string(text))
	if err != nil {
		return nil, err
	}
	return readerFor(plan, row != whole, list), nil
}

// JSONReader makes a reader of what was written as JSON by the schema, see [NewReader].
func (s *Schema) JSONReader(list string) (*Reader, error) {
	plan, err := s.Plan()
	if err != nil {
		return nil, err
	}
	r := readerFor(plan, s.enveloped, list)
	r.json = true
	return r, nil
}

func readerFor(plan *Plan, enveloped bool, list string) *Reader {
	r := &Reader{plan: plan, enveloped: enveloped, list: -1}
	at, ok := plan.root.keys.find([]byte(list))
	if !ok || plan.root.fields[at.field].items == nil || plan.root.fields[at.field].items.record == nil {
		return r
	}
	line := plan.root.fields[at.field].items.record
	id, hasID := line.keys.find([]byte("id"))
	updated, hasStamp := line.keys.find([]byte("updated-at"))
	if hasID && hasStamp && line.fields[id.field].kind == kindLong && line.fields[updated.field].kind == kindTimestamp {
		r.list, r.id, r.updated = at.field, line.fields[id.field].name(), line.fields[updated.field].name()
	}
	return r
}

// name is the field's, as it stands in the schema.
func (f *planField) name() string { return f.label[1 : len(f.label)-2] }

// HasLines reports whether rows carry the lines with their ids and instants. A mapping may leave these out.
func (r *Reader) HasLines() bool { return r.list >= 0 }

// Lines gives the versions of the lines that a row has. The error says that
// value is not what it should be, as that of AppendRow does.
func (r *Reader) Lines(value []byte) ([]LineVersion, error) {
	text, err := r.lines(value)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	var members []map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	lines := make([]LineVersion, len(members))
	for i, m := range members {
		if id, ok := m[r.id]; ok {
			err = json.Unmarshal(id, &lines[i].ID)
		}
		if updated, ok := m[r.updated]; ok {
			err = errors.Join(err, json.Unmarshal(updated, &lines[i].UpdatedAt))
		}
		if err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// lines gives the lines as JSON; nothing where there are none.
func (r *Reader) lines(value []byte) ([]byte, error) {
	row, err := r.row(value)
	if err != nil {
		return nil, err
	}
	if r.json {
		var members map[string]json.RawMessage
		err := json.Unmarshal(row, &members)
		return members[r.plan.root.fields[r.list].name()], err
	}
	in := renderer{avro: row}
	for i := range r.list {
		in.skip(&r.plan.root.fields[i].planNode)
	}
	text, _ := in.node(nil, &r.plan.root.fields[r.list].planNode)
	return text, in.err
}

// row gives what stands for the row in a value: of Avro, with whatever follows.
func (r *Reader) row(value []byte) ([]byte, error) {
	const framing = 5
	switch {
	case r.json && len(value) > 0 && value[0] == '{':
	case len(value) <= framing || value[0] != 0:
		return nil, errNoRow
	default:
		value = value[framing:]
	}
	switch {
	case !r.enveloped:
		return value, nil
	case r.json:
		var envelope struct {
			After json.RawMessage `json:"after"`
		}
		err := json.Unmarshal(value, &envelope)
		return envelope.After, err
	case len(value) < 2 || value[0] != 0 || value[1] != 2: // no before, and the second branch of after
		return nil, errNoRow
	}
	return value[2:], nil
}

var errNoRow = errors.New("the value is no row as this object's records have them")

// AppendRow appends the row that a value holds as JSON, as [Plan.AppendJSON] has it.
func (r *Reader) AppendRow(dst, value []byte) ([]byte, error) {
	row, err := r.row(value)
	if err != nil {
		return dst, err
	}
	if r.json {
		return append(dst, row...), nil
	}
	in := renderer{avro: row}
	out := in.record(dst, r.plan.root)
	if in.err == nil && !r.enveloped && in.pos != len(row) {
		in.err = errNotOurs
	}
	return out, in.err
}

// AppendSame appends what AppendRow would give if this row of Coupa's had been written by the reader's
// schema, as a row of the tenant.
func (r *Reader) AppendSame(dst, row []byte, tenant string) ([]byte, error) {
	e := r.plan.Encoder()
	e.Tenant = tenant
	avro, err := e.Append(nil, row)
	if err != nil {
		return dst, fmt.Errorf("as the schema has it: %w", err)
	}
	return r.plan.AppendJSON(dst, avro)
}
