package schemas

import (
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Member is a field of a schema's records, for those who describe them in other terms than Avro's.
type Member struct {
	Name string // in Avro and in JSON
	// Path is Coupa's, with a dot for each object and list that the field is within, "invoice-lines.price";
	// "" of what Coupa does not have: the tenant, a mapping's field, what has no place.
	Path string
	Doc  string
	// Type is Avro's, "record", "array" and "map" among them; "union" of a custom field that has several.
	Type             string
	Logical          string // Avro's logicalType, "" for none
	Precision, Scale int    // of a decimal
	Required         bool   // it is never null
	Computed         bool   // a mapping's expression gives the values
	Tags             []string
	Hidden           string  // "hash" or "mask" where a mapping does that to the values, else ""
	Items            *Member // of an array
	Members          []Member
}

// Members lists the fields of the schema's records, with all that is within them wherever it
// stands. below is where lines are, "invoice-lines", if the schema is of these, else "". Where a
// mapping hides a field it has no tags, even if its record has them for the sake of another place.
func (s *Schema) Members(below string) []Member {
	whole := s.row
	if s.enveloped {
		whole = schematext.Enveloped(s.row, s.path)
	}
	d := describer{records: whole.Records(), hidden: map[string]string{}}
	for _, rule := range s.row.Rules {
		kind, path, _ := strings.Cut(rule, " ")
		d.hidden[path], _, _ = strings.Cut(kind, ":")
	}
	return d.members(whole, below)
}

// describer makes members of a schema's records.
type describer struct {
	records map[string]*schematext.Record
	hidden  map[string]string // by path
}

// members are those of a record that stands at a path.
func (d describer) members(r *schematext.Record, path string) []Member {
	all := make([]Member, len(r.Fields))
	for i, f := range r.Fields {
		at := path
		ours := f.CoupaName == "" || strings.HasPrefix(f.CoupaName, schematext.ComputedKey(""))
		if !ours {
			at = strings.TrimPrefix(path+"."+f.CoupaName, ".")
		}
		m := d.typed(f.Type, at)
		m.Name, m.Doc, m.Required, m.Computed = f.Name, f.Doc, !f.Type.Nullable, f.Role == schematext.RoleComputed
		if !ours {
			m.Path, m.Hidden = at, d.hidden[at]
		}
		if m.Hidden == "" {
			m.Tags = f.Tags
		}
		all[i] = m
	}
	return all
}

// typed is a member of a type at a path, without a name.
func (d describer) typed(t schematext.Type, path string) Member {
	t.Name = t.Name[strings.LastIndexByte(t.Name, '.')+1:] // an envelope's has its namespace
	if inner := t.Inner(d.records); t.Items == nil && inner != nil {
		return Member{Type: "record", Members: d.members(inner, path)}
	}
	switch {
	case t.Items != nil:
		items := d.typed(*t.Items, path)
		return Member{Type: "array", Items: &items}
	case t.Values != "":
		return Member{Type: "map"}
	case len(t.Branches) > 0:
		return Member{Type: "union"}
	}
	return Member{Type: t.Name, Logical: t.Logical, Precision: t.Precision, Scale: t.Scale}
}
