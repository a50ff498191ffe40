package mapping

import (
	"strings"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// place is a field of an object's record, or of a record within, wherever
// that record is used: rules are of places, records are of names. It holds
// what is to become of the field. It does not change once Compile is done.
type place struct {
	path   string // Coupa's names: invoice-lines.description; "" for the row
	key    string // the last of them
	name   string // as Avro has it
	typ    schematext.Type
	role   string
	tags   []string // of personal data
	parent *place
	object string // Coupa's name of the record's object
	fields []*place
	byKey  map[string]*place // of fields, by key

	rules
	// of a place that is an object of members that have no field, by key:
	// of custom-fields, and of what Coupa documents and the record has not
	extra map[string]*rules
	used  bool // an expression needs it, or something in it

	guards     bool            // rules change rows somewhere within
	documented map[string]bool // what Coupa's API description says that the object has
}

// rules is what becomes of a field.
type rules struct {
	chosen  bool // as it is, with all that is in it
	partly  bool // something in it was chosen
	leftOut bool
	rename  string
	retype  schematext.Type // no name: as it is
	mask    *mask
	hash    bool
	renamed position
}

func (r *rules) hides() bool { return r.mask != nil || r.hash }

// customFields is the key of an object's custom fields.
const customFields = "custom-fields"

// treeOf makes the places of a record.
func treeOf(row *schematext.Record) *place {
	top := &place{object: row.Object}
	top.grow(row, row.Records())
	return top
}

func (p *place) grow(r *schematext.Record, all map[string]*schematext.Record) {
	p.object, p.byKey, p.extra, p.documented = r.Object, map[string]*place{}, map[string]*rules{}, map[string]bool{}
	for _, name := range schemas.Documented(r.Object) {
		p.documented[name] = true
	}
	for _, f := range r.Fields {
		if f.Role == schematext.RoleUnmapped {
			continue
		}
		child := &place{path: join(p.path, f.CoupaName), key: f.CoupaName, name: f.Name, typ: f.Type, role: f.Role, tags: f.Tags, parent: p}
		if f.Role == schematext.RoleCustomFields {
			child.extra = map[string]*rules{}
		} else if inner := recordOf(f.Type, all); inner != nil {
			child.grow(inner, all)
		}
		p.fields = append(p.fields, child)
		p.byKey[child.key] = child
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// recordOf is the record that a type, or an array's items, is of; nil for plain types.
func recordOf(t schematext.Type, all map[string]*schematext.Record) *schematext.Record {
	if t.Items != nil {
		t = *t.Items
	}
	if t.Record != nil {
		return t.Record
	}
	return all[t.Name[strings.LastIndexByte(t.Name, '.')+1:]]
}

// isObject tells whether the place has fields, or the map of custom fields.
func (p *place) isObject() bool { return p.byKey != nil || p.extra != nil }

// documents tells whether Coupa's API description knows a member of the object.
func (p *place) documents(name string) bool { return p.documented[name] }

// settle finds where rows are to be changed.
func (p *place) settle() bool {
	p.guards = p.restricted()
	for _, r := range p.extra {
		p.guards = p.guards || r.leftOut || r.hides()
	}
	for _, f := range p.fields {
		inner := f.settle()
		p.guards = p.guards || inner || f.leftOut || f.hides()
	}
	return p.guards
}

// custom is the place of the object's custom fields. Those
// of the global namespace stand beside its own fields.
func (p *place) custom() *place { return p.byKey[customFields] }

// restricted tells whether just what is chosen is kept in the object.
func (p *place) restricted() bool { return p.partly && !p.chosen && !p.wholly() }

// wholly tells whether an object around the place was chosen as it is.
func (p *place) wholly() bool {
	for up := p.parent; up != nil; up = up.parent {
		if up.chosen {
			return true
		}
	}
	return false
}

// kept tells whether the field is in the record.
func (p *place) kept() bool {
	if p.parent == nil {
		return true
	}
	if p.parent.parent == nil && (p.key == "id" || p.key == "updated-at" || p.role == schematext.RoleParent) {
		return true
	}
	return !p.leftOut && (!p.parent.restricted() || p.chosen || p.partly)
}

// keptThrough tells whether the field is in the record, and all that it is in.
func (p *place) keptThrough() bool {
	for at := p; at != nil; at = at.parent {
		if !at.kept() {
			return false
		}
	}
	return true
}

// keepsExtra tells whether a member of the object without a field is
// kept: of custom-fields, or of the global namespace, or unknown.
func (p *place) keepsExtra(r *rules) bool {
	if r != nil && r.leftOut {
		return false
	}
	return !p.restricted() || r != nil && r.chosen
}

// target is what a path leads to.
type target struct {
	*place
	extra string // the name of a member of place that has no field; "" for place itself
}

func (t target) rules() *rules {
	if t.extra == "" {
		return &t.place.rules
	}
	r := t.place.extra[t.extra]
	if r == nil {
		r = &rules{}
		t.place.extra[t.extra] = r
	}
	return r
}

// find follows a path; false: it leads nowhere, or with a place to custom fields without saying which.
func (p *place) find(path string) (t target, ok bool) {
	at := p
	for rest := path; ; {
		key, more, deeper := strings.Cut(rest, ".")
		child := at.byKey[key]
		switch {
		case child != nil && !deeper:
			return target{place: child}, true
		case child != nil && child.role == schematext.RoleCustomFields:
			return target{child, more}, more != ""
		case child == nil && !deeper && at.documents(key):
			return target{at, key}, true
		case child == nil || child.byKey == nil:
			return target{}, false
		}
		at, rest = child, more
	}
}

// paths lists the paths of all fields.
func (p *place) paths() []string {
	var all []string
	for _, f := range p.fields {
		all = append(all, f.path)
		if f.role != schematext.RoleCustomFields {
			all = append(all, f.paths()...)
		}
	}
	return all
}
