package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Widen gives a schema that rows can be encoded by as by s, and that has besides what
// registered, the text of another version of the same record, has: its fields, null in
// every row that has nothing there, and its types. Where a field has another type there,
// it becomes a union of both if Avro allows that, and values are written as s would. If
// not, it keeps the registered type, and values that do not fit it are kept in unmapped.
//
// That lets readers who know the registered version's data go on (BACKWARD). The
// error: registered is no record of that name that such a schema can follow.
func (s *Schema) Widen(registered string) (*Schema, error) {
	theirs, err := schematext.Parse([]byte(registered))
	if err != nil {
		return nil, fmt.Errorf("the registered version is none that coupastream could have made: %w", err)
	}
	ours, err := schematext.Parse([]byte(s.text)) // of its own: what follows changes it
	if err != nil {
		return nil, err
	}
	if s.enveloped == (rowOf(theirs) != theirs) {
		ours, theirs = rowOf(ours), rowOf(theirs)
	}
	if theirs.Namespace != ours.Namespace || theirs.Name != ours.Name {
		return nil, fmt.Errorf("the registered version is of another record, %s.%s", theirs.Namespace, theirs.Name)
	}
	w := widening{ours: ours.Records(), theirs: theirs.Records(), merged: map[string]bool{}}
	if err := w.record(ours, theirs); err != nil {
		return nil, err
	}
	define(ours, w.definitions(), map[string]bool{})
	asked := ours
	if s.asked != s.row {
		asked = s.asked
	}
	return newSchema(ours, asked, s.path, s.enveloped)
}

// widening merges two schemas' records by their names.
type widening struct {
	ours, theirs map[string]*schematext.Record
	merged       map[string]bool
}

// record adds to one of our records what theirs of the same name has besides.
func (w *widening) record(ours, theirs *schematext.Record) error {
	if w.merged[ours.Name] {
		return nil
	}
	w.merged[ours.Name] = true
	for i := range ours.Fields {
		f := &ours.Fields[i]
		at := slices.IndexFunc(theirs.Fields, func(t schematext.Field) bool { return t.Name == f.Name })
		if at < 0 {
			if !f.Type.Nullable {
				return fmt.Errorf("record %s: the registered version has no field %s, which can't be null", ours.Name, f.Name)
			}
			if err := w.within(f.Type); err != nil {
				return err
			}
			continue
		}
		if err := w.field(f, theirs.Fields[at]); err != nil {
			return fmt.Errorf("record %s, field %s: %w", ours.Name, f.Name, err)
		}
	}
	for _, t := range theirs.Fields {
		if slices.ContainsFunc(ours.Fields, func(f schematext.Field) bool { return f.Name == t.Name }) {
			continue
		}
		if !t.Type.Nullable {
			return fmt.Errorf("record %s: the registered version has a field %s that can't be null, and rows have nothing for it", ours.Name, t.Name)
		}
		if slices.ContainsFunc(ours.Fields, func(f schematext.Field) bool { return t.CoupaName != "" && f.CoupaName == t.CoupaName }) {
			// ours has another name for it: nothing of a row goes there
			t.CoupaName = schematext.ComputedKey(t.Name)
		}
		if t.Role == "" {
			t.CoupaType = schematext.TypeText // it is not ours: what does not fit is no fault of the row
		}
		ours.Fields = append(ours.Fields, t)
	}
	return nil
}

// field widens one of our fields by theirs of the same name.
func (w *widening) field(f *schematext.Field, t schematext.Field) error {
	switch {
	case f.Role != t.Role:
		return fmt.Errorf("its meaning (coupa.role) is %q in the registered version", t.Role)
	case f.Role == schematext.RoleCustomFields && (f.Type.Record == nil) != (t.Type.Record == nil):
		return errors.New("custom fields are typed in one and a map in the other; set custom.fields to typed or map")
	case f.Type.Nullable != t.Type.Nullable:
		return errors.New("one of the two versions can be null")
	}
	if record, other := w.recordsOf(f.Type, t.Type); record != nil && other != nil && (f.Type.Items == nil) == (t.Type.Items == nil) && record.Name == other.Name {
		return w.record(record, other)
	}
	if sameType(f.Type, t.Type) {
		f.Branch = t.Branch
		return nil
	}
	if len(f.Custom) > 0 && len(t.Custom) > 0 {
		return nil // fields and types of custom fields are Evolve's
	}
	branches := append([]schematext.Type(nil), t.Type.Branches...)
	if len(branches) == 0 {
		plain := t.Type
		plain.Nullable = false
		branches = append(branches, plain)
	}
	mine := f.Type
	mine.Nullable = false
	if at := slices.IndexFunc(branches, func(b schematext.Type) bool { return sameType(b, mine) }); at >= 0 {
		f.Type, f.Branch = t.Type, at+1
		return nil
	}
	if f.Type.Nullable && isPrimitive(mine) && !slices.ContainsFunc(branches, func(b schematext.Type) bool { return !isPrimitive(b) || b.Name == mine.Name }) {
		f.Type = schematext.Type{Nullable: true, Branches: append(branches, mine)}
		f.Branch = len(branches) + 1
		return nil
	}
	f.Type, f.Branch, f.CoupaType = t.Type, t.Branch, schematext.TypeText
	return nil
}

// within widens the records in a field that is ours alone: their names may be known to theirs.
func (w *widening) within(t schematext.Type) error {
	record, _ := w.recordsOf(t, t)
	if record == nil || w.theirs[record.Name] == nil {
		return nil
	}
	return w.record(record, w.theirs[record.Name])
}

// recordsOf gives the records that two types are, or have for items; nil where there is none.
func (w *widening) recordsOf(f, t schematext.Type) (ours, theirs *schematext.Record) {
	find := func(t schematext.Type, all map[string]*schematext.Record) *schematext.Record {
		if t.Items != nil {
			t = *t.Items
		}
		if t.Record != nil {
			return t.Record
		}
		return all[t.Name]
	}
	return find(f, w.ours), find(t, w.theirs)
}

// definitions are the records of the widened schema, by name.
func (w *widening) definitions() map[string]*schematext.Record {
	all := make(map[string]*schematext.Record, len(w.theirs)+len(w.ours))
	for name, r := range w.theirs {
		all[name] = r
	}
	for name, r := range w.ours {
		all[name] = r
	}
	return all
}

// define makes every record stand in place where its name
// comes first in the text, and as a name from there on.
func define(r *schematext.Record, all map[string]*schematext.Record, defined map[string]bool) {
	defined[r.Name] = true
	for i := range r.Fields {
		t := &r.Fields[i].Type
		if t.Items != nil {
			items := *t.Items // may be shared with another schema's text
			t.Items = &items
			t = t.Items
		}
		name := t.Name[strings.LastIndexByte(t.Name, '.')+1:]
		if t.Record != nil {
			name = t.Record.Name
		}
		record := all[name]
		switch {
		case record == nil:
		case defined[name] && t.Record == nil:
		case defined[name]:
			t.Record, t.Name = nil, name
		default:
			t.Record, t.Name = record, ""
			define(record, all, defined)
		}
	}
}

func isPrimitive(t schematext.Type) bool {
	return t.Name != "" && t.Record == nil && slices.Contains([]string{"string", "boolean", "int", "long", "double", "bytes"}, t.Name)
}

// sameType tells whether two types are one in Avro, but for what records hold.
func sameType(a, b schematext.Type) bool {
	if a.Nullable != b.Nullable || a.Values != b.Values || a.Logical != b.Logical || a.Precision != b.Precision || a.Scale != b.Scale ||
		(a.Items == nil) != (b.Items == nil) || len(a.Branches) != len(b.Branches) || nameOf(a) != nameOf(b) {
		return false
	}
	for i := range a.Branches {
		if !sameType(a.Branches[i], b.Branches[i]) {
			return false
		}
	}
	return a.Items == nil || sameType(*a.Items, *b.Items)
}

func nameOf(t schematext.Type) string {
	if t.Record != nil {
		return t.Record.Name
	}
	return t.Name
}
