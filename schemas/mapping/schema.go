package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/avroname"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Apply changes the schema, and gives what is to be asked of Coupa for it: what is kept,
// what expressions need, and the stamps of lines, by which their changes are found.
//
// A record that is used in several places and is not to be the same in all of
// them has a name of its own in each place where the rules change it: SupplierRef
// at supplier becomes SupplierRef_supplier, with its former name in coupa.record.
//
// Tags of personal data are no part of that: a field of a record that stands in
// several places loses them where the rules hide it in all of these.
func (m *Mapping) Apply(row *schematext.Record) (asked *schematext.Record, err error) {
	all := row.Records()
	original := expand(row, all)
	asked = expand(row, all)
	m.top.ask(asked)
	changed := expand(row, all)
	m.top.shape(changed)
	for _, c := range m.computed {
		addComputed(changed, c)
	}
	s := splitter{forms: map[string]map[string]bool{}, original: map[string]string{}, defined: map[string]bool{}}
	if err := s.note(original, true); err != nil {
		return nil, err
	}
	if err := s.note(changed, false); err != nil {
		return nil, err
	}
	if err := s.collapse(changed, ""); err != nil {
		return nil, err
	}
	*row = *changed
	row.Rules = m.top.hidden()
	shown := map[string]bool{}
	m.top.note(row, row.Records(), shown)
	row.Walk(func(r *schematext.Record) {
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Role != schematext.RoleComputed && !shown[r.Name+"."+f.Name] {
				f.Tags = nil
			}
		}
	})
	return asked, nil
}

// note takes in the fields, each behind its record's name and a dot, that show what Coupa sends in a place.
func (p *place) note(r *schematext.Record, all map[string]*schematext.Record, shown map[string]bool) {
	for _, f := range r.Fields {
		child := p.byKey[f.CoupaName]
		if child == nil {
			continue
		}
		if !child.hides() {
			shown[r.Name+"."+f.Name] = true
		}
		if inner := recordOf(f.Type, all); inner != nil && child.byKey != nil {
			child.note(inner, all, shown)
		}
	}
}

// hidden lists what the rules hide in rows, in order: of a mask that it is one, and which
// other masks differ from it, but not what it shows.
func (p *place) hidden() []string {
	var all []string
	add := func(path string, r *rules) {
		switch {
		case r.leftOut:
		case r.hash:
			all = append(all, "hash "+path)
		case r.mask != nil:
			sum := sha256.Sum256(fmt.Append(nil, *r.mask))
			all = append(all, "mask:"+hex.EncodeToString(sum[:4])+" "+path)
		}
	}
	for name, r := range p.extra {
		add(join(p.path, name), r)
	}
	for _, f := range p.fields {
		if f.kept() {
			add(f.path, &f.rules)
			all = append(all, f.hidden()...)
		}
	}
	slices.Sort(all)
	return all
}

// expand copies a record with every record within in its place.
func expand(r *schematext.Record, all map[string]*schematext.Record) *schematext.Record {
	made := *r
	made.Fields = slices.Clone(r.Fields)
	for i := range made.Fields {
		t := &made.Fields[i].Type
		if t.Items != nil {
			items := *t.Items
			t.Items = &items
		}
		if inner := recordOf(*t, all); inner != nil {
			put(t, expand(inner, all), "")
		}
	}
	return &made
}

// put makes a type, or an array's items, a record: in place, or by name.
func put(t *schematext.Type, r *schematext.Record, name string) {
	if t.Items != nil {
		t = t.Items
	}
	t.Record, t.Name = r, name
}

func (p *place) shape(r *schematext.Record) {
	r.Fields = slices.DeleteFunc(r.Fields, func(f schematext.Field) bool { return !p.holds(f) })
	taken := map[string]bool{}
	for i := range r.Fields {
		f := &r.Fields[i]
		child := p.byKey[f.CoupaName]
		if child == nil || len(f.Custom) > 0 || f.Role == schematext.RoleUnmapped {
			continue
		}
		if child.rename != "" {
			f.Name = child.rename
			taken[f.Name] = true
		}
		if child.retype.Name != "" {
			nullable := f.Type.Nullable
			f.Type, f.CoupaType = child.retype, schematext.TypeRetyped
			f.Type.Nullable = nullable
		}
		inner := recordOf(f.Type, nil)
		switch {
		case inner == nil:
		case f.Role == schematext.RoleCustomFields:
			inner.Fields = slices.DeleteFunc(inner.Fields, func(f schematext.Field) bool {
				return len(f.Custom) > 0 && !child.keepsExtra(child.extra[f.CoupaName])
			})
		default:
			child.shape(inner)
		}
	}
	p.yield(r, taken)
}

// holds tells whether a field stays in the record of p.
func (p *place) holds(f schematext.Field) bool {
	child := p.byKey[f.CoupaName]
	switch {
	case f.Role == schematext.RoleUnmapped:
		return true
	case child != nil:
		return child.kept()
	case len(f.Custom) > 0:
		return p.keepsGlobal(f.CoupaName)
	}
	return !p.restricted()
}

// keepsGlobal tells whether a custom field of the global
// namespace stays: it has the rules of custom-fields.NAME.
func (p *place) keepsGlobal(name string) bool {
	custom := p.custom()
	return custom != nil && custom.kept() && custom.keepsExtra(custom.extra[name])
}

// yield gives custom fields of the global namespace, which rows
// alone tell of, other names where the rules have taken theirs.
func (p *place) yield(r *schematext.Record, taken map[string]bool) {
	own := []string{schemas.ParentField} // which a line's record has
	var globals []string
	for _, f := range r.Fields {
		if len(f.Custom) == 0 {
			own = append(own, f.Name)
		}
	}
	for _, f := range r.Fields {
		if len(f.Custom) > 0 {
			globals = append(globals, f.Name)
		}
	}
	if len(taken) == 0 || len(globals) == 0 {
		return
	}
	names := avroname.Fields(append(own, globals...))[len(own):]
	for i := range r.Fields {
		if f := &r.Fields[i]; len(f.Custom) > 0 {
			f.Name, names = names[0], names[1:]
		}
	}
}

func addComputed(r *schematext.Record, c *computed) {
	names := []string{c.name}
	for _, f := range r.Fields {
		names = append(names, f.Name)
	}
	names = avroname.Fields(names)[1:]
	for i := range r.Fields {
		if f := &r.Fields[i]; len(f.Custom) > 0 {
			f.Name = names[i]
		}
	}
	r.Fields = append(r.Fields, schematext.Field{Name: c.name, Type: c.typ, Doc: c.doc, Role: schematext.RoleComputed, Tags: c.tags()})
}

// Reads gives, by the name of each computed field, the fields that its expression reads, by their paths.
func (m *Mapping) Reads() map[string][]string {
	all := map[string][]string{}
	for _, c := range m.computed {
		for _, p := range c.reads {
			if deeper := slices.ContainsFunc(c.reads, func(q *place) bool { return q.parent == p }); !deeper {
				all[c.name] = append(all[c.name], p.path)
			}
		}
	}
	return all
}

// tags are those of what the expression reads, which it may show whatever the rules hide.
func (c *computed) tags() (all []string) {
	for _, p := range c.reads {
		for _, tag := range p.tags {
			if !slices.Contains(all, tag) {
				all = append(all, tag)
			}
		}
	}
	return all
}

// ask leaves in a record what Coupa is to be asked for.
func (p *place) ask(r *schematext.Record) {
	r.Fields = slices.DeleteFunc(r.Fields, func(f schematext.Field) bool {
		child := p.byKey[f.CoupaName]
		if f.Role == schematext.RoleUnmapped || child == nil {
			return !p.holds(f)
		}
		return !child.asked()
	})
	if custom := p.custom(); custom != nil && custom.used && !slices.ContainsFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleCustomFields }) {
		r.Fields = append(r.Fields, schematext.Field{CoupaName: customFields, Role: schematext.RoleCustomFields})
	}
	for _, f := range r.Fields {
		child := p.byKey[f.CoupaName]
		if inner := recordOf(f.Type, nil); inner != nil && child != nil && child.byKey != nil {
			child.ask(inner)
		}
	}
}

// asked tells whether Coupa is asked for the field.
func (p *place) asked() bool {
	return p.used || p.keptThrough() || p.stamps()
}

// stamps tells whether the field is needed to see changes of lines, or to
// have anything to ask for of an object that an expression needs as such.
func (p *place) stamps() bool {
	around := p.parent
	if around.parent == nil || !around.asked() {
		return false
	}
	if line := around.typ.Items != nil && around.parent.parent == nil; line && (p.key == "id" || p.key == "updated-at") {
		return true
	}
	if slices.ContainsFunc(around.fields, func(f *place) bool { return f.used || f.keptThrough() }) {
		return false
	}
	return around.fields[0] == p
}

// splitter names the records of an expanded schema, and puts each where it is used first.
type splitter struct {
	forms    map[string]map[string]bool // by name: the contents that records of that name have
	original map[string]string          // by name: the content without rules
	defined  map[string]bool
}

// note takes in the contents of a record and those within.
func (s *splitter) note(r *schematext.Record, original bool) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if original {
		s.original[r.Name] = string(text)
	} else {
		if s.forms[r.Name] == nil {
			s.forms[r.Name] = map[string]bool{}
		}
		s.forms[r.Name][string(text)] = true
	}
	for _, f := range r.Fields {
		if inner := recordOf(f.Type, nil); inner != nil {
			if err := s.note(inner, original); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *splitter) collapse(r *schematext.Record, path string) error {
	for i := range r.Fields {
		t := &r.Fields[i].Type
		inner := recordOf(*t, nil)
		if inner == nil {
			continue
		}
		at := join(path, r.Fields[i].CoupaName)
		name := inner.Name
		if len(s.forms[name]) > 1 {
			text, err := json.Marshal(inner)
			if err != nil {
				return err
			}
			if string(text) != s.original[name] {
				name += "_" + avroname.Of(strings.ReplaceAll(at, ".", "__"))
			}
		}
		if s.defined[name] {
			put(t, nil, name)
			continue
		}
		s.defined[name] = true
		if err := s.collapse(inner, at); err != nil {
			return err
		}
		if name != inner.Name {
			inner.Record, inner.Name = inner.Name, name
		}
	}
	return nil
}
