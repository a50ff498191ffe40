package schemas

import (
	"encoding/json"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// requestFields writes the value of Coupa's parameter `fields` for a schema.
func requestFields(row *schematext.Record) string { return requestWith(row, nil) }

// requestWith asks for members besides, by record.
func requestWith(row *schematext.Record, more map[string][]string) string {
	r := request{records: row.Records(), more: more}
	return string(r.appendFields(nil, row))
}

// request writes what is asked for. Records that stand in the
// text by name are looked up in records; schemas have no cycles.
type request struct {
	records map[string]*schematext.Record
	more    map[string][]string
}

// appendFields appends the JSON array that asks for a record's fields.
func (q request) appendFields(dst []byte, r *schematext.Record) []byte {
	dst = append(dst, '[')
	asked := map[string]bool{}
	for _, f := range r.Fields {
		if f.Role == schematext.RoleUnmapped || f.Role == schematext.RoleComputed || f.Role == schematext.RoleParent || f.Role == schematext.RoleTenant {
			continue // no field of Coupa's
		}
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = q.appendRequested(dst, f)
		asked[plainKey(f.CoupaName)] = true
	}
	for _, name := range q.more[r.Name] {
		if !asked[plainKey(name)] {
			dst = q.appendRequested(append(dst, ','), schematext.Field{CoupaName: name})
		}
	}
	return append(dst, ']')
}

func (q request) appendRequested(dst []byte, f schematext.Field) []byte {
	name, _ := json.Marshal(plainKey(f.CoupaName)) // text always has a JSON form
	if f.Role == schematext.RoleCustomFields {
		return append(append(append(dst, '{'), name...), ":{}}"...)
	}
	if len(f.Custom) > 0 { // what of an associated object is asked for is Coupa's choice
		return append(dst, name...)
	}
	inner := f.Type.Inner(q.records)
	if inner == nil {
		return append(dst, name...)
	}
	dst = append(append(append(dst, '{'), name...), ':')
	return append(q.appendFields(dst, inner), '}')
}
