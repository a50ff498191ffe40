package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coupastream/coupastream/connector/config"
	"github.com/coupastream/coupastream/coupa"
	"github.com/coupastream/coupastream/schemas"
)

// Schemas gives the texts of schemas by their ids in the registry.
type Schemas interface {
	Schema(ctx context.Context, id int) (string, error)
}

// values looks into rows, as Coupa sends them and as records hold them.
type values struct {
	cfg     Config
	list    string                  // the lines that are compared within their rows; "": none
	undated bool                    // rows have no updated-at, and nothing but their ids is compared
	readers map[int]*schemas.Reader // by schema id; of JSON, which needs none, under noSchema
}

const noSchema = -1

// content is what a record holds, and the schema by which it does.
type content struct {
	schema int
	sum    uint64
}

// ofCoupa tells what a row is compared by. Where a line has changed
// at until or later, the record may be on its way: lines are not compared.
func (v *values) ofCoupa(r coupa.Row, until time.Time) coupaRow {
	row := coupaRow{at: r.UpdatedAt}
	switch {
	case v.undated:
		return row
	case r.UpdatedAt.IsZero():
		row.how = byContent
		return row
	case v.list == "":
		return row
	}
	lines, ok := linesIn(r.JSON, v.list)
	if !ok {
		return row
	}
	row.how = byLines
	for _, l := range lines {
		if l.at == unstamped && row.how == byLines {
			row.how = byContent
		}
		if l.at != unstamped && l.at >= until.Unix() {
			return coupaRow{at: r.UpdatedAt}
		}
	}
	row.lines = digestOf(lines)
	return row
}

// lineVersion is a line in one of its versions.
type lineVersion struct{ id, at int64 } // Unix seconds

const unstamped = -1 << 63

// linesIn are the lines that a row of Coupa's has in a list; ok is false where they can't be read.
func linesIn(row []byte, list string) (lines []lineVersion, ok bool) {
	text, err := listIn(row, list)
	if err != nil {
		return nil, false
	}
	if len(text) == 0 || string(text) == `""` {
		return nil, true
	}
	var members []struct {
		ID         int64           `json:"id"`
		Hyphened   json.RawMessage `json:"updated-at"`
		Underlined json.RawMessage `json:"updated_at"`
	}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, false
	}
	for _, m := range members {
		lines = append(lines, lineVersion{m.ID, secondsOf(cmp.Or(unquoted(m.Hyphened), unquoted(m.Underlined)))})
	}
	return lines, true
}

func unquoted(text json.RawMessage) (s string) {
	_ = json.Unmarshal(text, &s) // what is no text is no instant either
	return s
}

func secondsOf(instant string) int64 {
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		return unstamped
	}
	return at.Unix()
}

// digestOf is equal for the same lines in the same versions, in whatever order.
func digestOf(lines []lineVersion) uint64 {
	slices.SortFunc(lines, func(a, b lineVersion) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.at, b.at)) })
	var b []byte
	for _, l := range lines {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(l.id)), uint64(l.at))
	}
	return xxhash.Sum64(b)
}

// lines gives the digest of the lines that a record's value
// has; ok is false where its schema has none that tell.
func (v *values) lines(ctx context.Context, value []byte) (digest uint64, ok bool, err error) {
	reader, _, err := v.reader(ctx, value)
	if err != nil || !reader.HasLines() {
		return 0, false, err
	}
	held, err := reader.Lines(value)
	if err != nil {
		return 0, false, err
	}
	lines := make([]lineVersion, len(held))
	for i, l := range held {
		lines[i] = lineVersion{l.ID, secondsOf(l.UpdatedAt)}
	}
	return digestOf(lines), true, nil
}

// content gives the digest of what a record's value holds.
func (v *values) content(ctx context.Context, value []byte) (content, error) {
	reader, id, err := v.reader(ctx, value)
	if err != nil {
		return content{}, err
	}
	row, err := reader.AppendRow(nil, value)
	if err != nil {
		return content{}, err
	}
	sum, err := sumOf(row)
	return content{id, sum}, err
}

// sumAs gives the digest that content would give for a row of Coupa's if the same schema wrote it.
func (v *values) sumAs(schema int, row []byte) (uint64, error) {
	if mapper := v.cfg.Object.Rewriter(); mapper != nil {
		var err error
		if row, err = mapper.Row(row); err != nil {
			return 0, err
		}
	}
	text, err := v.readers[schema].AppendSame(nil, row, v.cfg.Tenant)
	if err != nil {
		return 0, err
	}
	return sumOf(text)
}

// sumOf is the digest of a row. What the schema has no place for does not
// count: Coupa is asked for it in one way and in another.
func sumOf(row []byte) (uint64, error) {
	var members any
	d := json.NewDecoder(bytes.NewReader(row))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return 0, err
	}
	withoutUnmapped(members)
	text, err := json.Marshal(members) // with sorted keys
	return xxhash.Sum64(text), err
}

func withoutUnmapped(value any) {
	switch v := value.(type) {
	case map[string]any:
		delete(v, "unmapped")
		for _, member := range v {
			withoutUnmapped(member)
		}
	case []any:
		for _, element := range v {
			withoutUnmapped(element)
		}
	}
}

// reader gives what reads a value, and the id of its schema.
func (v *values) reader(ctx context.Context, value []byte) (*schemas.Reader, int, error) {
	const framing = 5
	id, json := noSchema, v.cfg.Object.ValueFormat != config.FormatAvro
	if !json {
		if len(value) <= framing || value[0] != 0 {
			return nil, 0, errors.New("the value does not begin with the id of a schema")
		}
		id = int(binary.BigEndian.Uint32(value[1:]))
	}
	if r := v.readers[id]; r != nil {
		return r, id, nil
	}
	var r *schemas.Reader
	var err error
	if json {
		r, err = v.jsonReader()
	} else {
		r, err = v.avroReader(ctx, id)
	}
	if err == nil {
		v.readers[id] = r
	}
	return r, id, err
}

func (v *values) jsonReader() (*schemas.Reader, error) {
	schema, err := schemas.For(v.cfg.Object.Path, v.cfg.Object.SchemaOptions())
	if err != nil {
		return nil, err
	}
	return schema.JSONReader(v.list)
}

func (v *values) avroReader(ctx context.Context, id int) (*schemas.Reader, error) {
	text, err := v.cfg.Schemas.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := schemas.NewReader(text, v.list)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	return r, nil
}
