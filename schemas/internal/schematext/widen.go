package schematext

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Widen adds to ours, which it changes, what theirs, another version of the same record, has besides:
// fields and types. What becomes of a field that both have says schemas.Schema.Widen.
func Widen(ours, theirs *Record) error {
	w := widening{ours: ours.Records(), theirs: theirs.Records(), merged: map[string]bool{}}
	if err := w.record(ours, theirs); err != nil {
		return err
	}
	Define(ours, w.definitions())
	return nil
}

// widening merges two schemas' records by their names.
type widening struct {
	ours, theirs map[string]*Record
	merged       map[string]bool
}

// record adds to one of our records what theirs of the same name has besides.
func (w *widening) record(ours, theirs *Record) error {
	if w.merged[ours.Name] {
		return nil
	}
	w.merged[ours.Name] = true
	for i := range ours.Fields {
		f := &ours.Fields[i]
		at := slices.IndexFunc(theirs.Fields, func(t Field) bool { return t.Name == f.Name })
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
		if slices.ContainsFunc(ours.Fields, func(f Field) bool { return f.Name == t.Name }) {
			continue
		}
		if t.Role == RoleUnmapped { // ours has none, and leaves out what would be there
			continue
		}
		if !t.Type.Nullable {
			return fmt.Errorf("record %s: the registered version has a field %s that can't be null, and rows have nothing for it", ours.Name, t.Name)
		}
		if slices.ContainsFunc(ours.Fields, func(f Field) bool { return t.CoupaName != "" && f.CoupaName == t.CoupaName }) {
			// ours has another name for it: nothing of a row goes there
			t.CoupaName = ComputedKey(t.Name)
		}
		if t.Role == "" {
			t.CoupaType = TypeText // it is not ours: what does not fit is no fault of the row
		}
		ours.Fields = append(ours.Fields, t)
	}
	return nil
}

// field widens one of our fields by theirs of the same name.
func (w *widening) field(f *Field, t Field) error {
	switch {
	case f.Role != t.Role:
		return fmt.Errorf("its meaning (coupa.role) is %q in the registered version", t.Role)
	case f.Role == RoleCustomFields && (f.Type.Record == nil) != (t.Type.Record == nil):
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
	branches := append([]Type(nil), t.Type.Branches...)
	if len(branches) == 0 {
		plain := t.Type
		plain.Nullable = false
		branches = append(branches, plain)
	}
	mine := f.Type
	mine.Nullable = false
	if at := slices.IndexFunc(branches, func(b Type) bool { return sameType(b, mine) }); at >= 0 {
		f.Type, f.Branch = t.Type, at+1
		return nil
	}
	if f.Type.Nullable && isPrimitive(mine) && !slices.ContainsFunc(branches, func(b Type) bool { return !isPrimitive(b) || b.Name == mine.Name }) {
		f.Type = Type{Nullable: true, Branches: append(branches, mine)}
		f.Branch = len(branches) + 1
		return nil
	}
	f.Type, f.Branch, f.CoupaType = t.Type, t.Branch, TypeText
	return nil
}

// within widens the records in a field that is ours alone: their names may be known to theirs.
func (w *widening) within(t Type) error {
	record, _ := w.recordsOf(t, t)
	if record == nil || w.theirs[record.Name] == nil {
		return nil
	}
	return w.record(record, w.theirs[record.Name])
}

// recordsOf gives the records that two types are, or have for items; nil where there is none.
func (w *widening) recordsOf(f, t Type) (ours, theirs *Record) {
	return f.Inner(w.ours), t.Inner(w.theirs)
}

// definitions are the records of the widened schema, by name.
func (w *widening) definitions() map[string]*Record {
	all := make(map[string]*Record, len(w.theirs)+len(w.ours))
	for name, r := range w.theirs {
		all[name] = r
	}
	for name, r := range w.ours {
		all[name] = r
	}
	return all
}

// Define makes every record stand in place where its name
// comes first in the text, and as a name from there on.
func Define(r *Record, all map[string]*Record) { define(r, all, map[string]bool{}) }

func define(r *Record, all map[string]*Record, defined map[string]bool) {
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

func isPrimitive(t Type) bool {
	return t.Name != "" && t.Record == nil && slices.Contains([]string{"string", "boolean", "int", "long", "double", "bytes"}, t.Name)
}

// sameType tells whether two types are one in Avro, but for what records hold.
func sameType(a, b Type) bool {
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

func nameOf(t Type) string {
	if t.Record != nil {
		return t.Record.Name
	}
	return t.Name
}
