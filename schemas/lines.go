package schemas

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// ParentField is the field of a line's record that holds the id of the row that
// the line is of, where it stands first; and of the record of a row that is below
// another one, that one's id. No field of Coupa's has its name in the same record.
const ParentField = schematext.ParentField

// Lists gives the lists of an object whose elements can have records of their own, by Coupa's
// names: those at the top of its rows that are shown in full, and whose elements have an id. A
// list of references (named ...Ref) is none: what it refers to lives elsewhere. Rows that are
// below others have none: they are read whole, and nothing tells of each line what became of it.
func Lists(path string) ([]string, error) {
	if known, ok := lists.Load(path); ok {
		return slices.Clone(known.([]string)), nil
	}
	row, err := readObject(path)
	if err != nil {
		return nil, err
	}
	names := listsOf(row)
	lists.Store(path, names)
	return slices.Clone(names), nil
}

var lists sync.Map // what Lists gives, by path: streams begin more often than objects differ

func listsOf(row *schematext.Record) (names []string) {
	if slices.ContainsFunc(row.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleParent }) {
		return nil
	}
	all := row.Records()
	for _, f := range row.Fields {
		if f.Type.Items == nil {
			continue
		}
		line := f.Type.Inner(all)
		if line != nil && !strings.HasSuffix(line.Name, "Ref") && slices.ContainsFunc(line.Fields, isID) {
			names = append(names, f.CoupaName)
		}
	}
	return names
}

func isTenant(f schematext.Field) bool { return f.Role == schematext.RoleTenant }

func isID(f schematext.Field) bool { return f.CoupaName == "id" && f.Type.Name == "long" }

// Split is a schema taken apart: rows and the lines of each of their lists.
type Split struct {
	// Row is the schema of the rows: without the lists, or with them where they stay.
	Row   *Schema
	Lists []List

	whole *Schema
	keep  bool
}

// List is a list of a row whose elements, its lines, have records of their own.
type List struct {
	Name   string  // of the row's field
	Coupa  string  // the same as Coupa spells it
	Schema *Schema // of a line's record: ParentField and then the fields that it has within the row
}

// Split takes the lists that the object can have apart (see Lists), as far as the schema holds them.
// keep leaves them in the rows too. A line's record is named by the row's and the list,
// coupa.InvoiceHeader_invoice_lines, and has the name that it has within the row in coupa.record. The
// error is that of a mapping that takes from lines what they need. The result is shared between callers.
func (s *Schema) Split(keep bool) (*Split, error) {
	if keep {
		return s.splits[1]()
	}
	return s.splits[0]()
}

func (s *Schema) split(keep bool) (*Split, error) {
	names, err := Lists(s.path)
	if err != nil {
		return nil, err
	}
	split := &Split{Row: s, whole: s, keep: keep}
	for _, name := range names {
		i := slices.IndexFunc(s.row.Fields, func(f schematext.Field) bool { return f.CoupaName == name })
		if i < 0 {
			continue
		}
		line, err := s.line(i)
		if err != nil {
			return nil, fmt.Errorf("lines of %s in %s: %w", name, s.path, err)
		}
		split.Lists = append(split.Lists, List{Name: s.row.Fields[i].Name, Coupa: name, Schema: line})
	}
	if !keep && len(split.Lists) > 0 {
		split.Row, err = s.without(split.Lists)
	}
	return split, err
}

// Unsplit is the schema with its rows as they are: no list is taken apart.
func (s *Schema) Unsplit() *Split { return &Split{Row: s, whole: s, keep: true} }

// Whole is the schema that was split: rows are encoded by it.
func (s *Split) Whole() *Schema { return s.whole }

// copied is the record of the rows, of its own.
func (s *Schema) copied() (*schematext.Record, error) {
	whole, err := schematext.Parse([]byte(s.text))
	if err != nil {
		return nil, err
	}
	return schematext.RowOf(whole), nil
}

// line makes the schema of the lines of a list, the i-th field of the row.
func (s *Schema) line(i int) (*Schema, error) {
	row, err := s.copied()
	if err != nil {
		return nil, err
	}
	f, all := row.Fields[i], row.Records()
	line := f.Type.Inner(all)
	if f.Type.Items == nil || line == nil {
		return nil, fmt.Errorf("the mapping makes the list a %s; leave it as it is, or write lines=embedded for the object", f.Type.Name)
	}
	if !slices.ContainsFunc(line.Fields, isID) {
		return nil, fmt.Errorf("the mapping leaves them without their id, which is the key of their records; leave id as it is, or write lines=embedded for the object")
	}
	if slices.ContainsFunc(line.Fields, func(f schematext.Field) bool { return f.Name == ParentField }) {
		return nil, fmt.Errorf("the mapping names a field %s, which is the name of the parent's id; choose another name, or write lines=embedded for the object", ParentField)
	}
	own := *line
	own.Record, own.Name, own.Namespace = cmp.Or(line.Record, line.Name), row.Name+"_"+f.Name, row.Namespace
	own.Fields = append([]schematext.Field{{
		Name: ParentField, Type: schematext.Type{Name: "long"}, Role: schematext.RoleParent, Doc: "Id of the " + row.Name + " that the line is of.",
	}}, line.Fields...)
	if i := slices.IndexFunc(row.Fields, isTenant); i >= 0 {
		if err := putTenant(&own, 1, row.Fields[i].Name); err != nil {
			return nil, err
		}
	}
	own.Rules = schematext.RulesBelow(row.Rules, f.CoupaName)
	schematext.Define(&own, all)
	return newSchema(&own, &own, s.path+"."+f.Name, s.enveloped)
}

// without makes the schema of the rows without lists.
func (s *Schema) without(lists []List) (*Schema, error) {
	row, err := s.copied()
	if err != nil {
		return nil, err
	}
	all := row.Records()
	row.Fields = slices.DeleteFunc(row.Fields, func(f schematext.Field) bool {
		return slices.ContainsFunc(lists, func(l List) bool { return l.Name == f.Name })
	})
	for _, l := range lists {
		row.Rules = schematext.RulesBeside(row.Rules, l.Coupa)
	}
	schematext.Define(row, all)
	return newSchema(row, row, s.path, s.enveloped)
}

// WidenLines is Widen by a version of the schema of one of the lists' lines.
func (s *Schema) WidenLines(list List, registered string) (*Schema, error) {
	theirs, err := schematext.Parse([]byte(registered))
	if err != nil {
		return nil, fmt.Errorf("the registered version is none that coupastream could have made: %w", err)
	}
	if s.enveloped == (schematext.RowOf(theirs) != theirs) {
		theirs = schematext.RowOf(theirs)
	}
	if len(theirs.Fields) == 0 || theirs.Fields[0].Name != ParentField {
		return nil, fmt.Errorf("the registered version's first field is not %s", ParentField)
	}
	row, err := s.copied()
	if err != nil {
		return nil, err
	}
	// As if the row's own schema had been registered with this list alone, and such lines in it.
	row.Fields = slices.DeleteFunc(row.Fields, func(f schematext.Field) bool { return f.Type.Nullable && f.Name != list.Name })
	i := slices.IndexFunc(row.Fields, func(f schematext.Field) bool { return f.Name == list.Name })
	within := row.Fields[i].Type.Inner(s.row.Records())
	line := *theirs
	line.Name, line.Record, line.Namespace, line.Fields = within.Name, within.Record, "", slices.DeleteFunc(slices.Clone(theirs.Fields[1:]), isTenant)
	items := *row.Fields[i].Type.Items
	items.Name, items.Record = "", &line
	row.Fields[i].Type.Items = &items
	as, err := newSchema(row, row, s.path, s.enveloped)
	if err != nil {
		return nil, err
	}
	return s.Widen(as.text)
}

// ParseParent reads from the value of a line's record, as it stands in a topic, the id of the row that
// the line is of: Avro or JSON behind the registry's framing, or JSON alone, in Debezium's envelope or
// without. ParentField is the first of a line's record, and ids are above 0: Avro begins with a zero
// where the envelope's before stands, and with a brace, which would be a negative id, nowhere.
func ParseParent(value []byte) (int64, error) {
	const framing = 5
	switch {
	case len(value) > 0 && value[0] == '{':
		return parseJSONParent(value)
	case len(value) <= framing || value[0] != 0:
		return 0, errNoParent
	case value[framing] == '{':
		return parseJSONParent(value[framing:])
	}
	avro := value[framing:]
	if after, enveloped := bytes.CutPrefix(avro, []byte{0, 2}); enveloped {
		avro = after
	}
	id, read := binary.Varint(avro)
	if read <= 0 || id <= 0 {
		return 0, errNoParent
	}
	return id, nil
}

func parseJSONParent(b []byte) (int64, error) {
	type line struct {
		Parent int64 `json:"parent_id"`
	}
	var value struct {
		line
		After line `json:"after"`
	}
	if err := json.Unmarshal(b, &value); err != nil {
		return 0, errNoParent
	}
	if id := max(value.Parent, value.After.Parent); id > 0 {
		return id, nil
	}
	return 0, errNoParent
}

var errNoParent = errors.New("the value is no record of a line in the registry's framing, nor the same in JSON")
