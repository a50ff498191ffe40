package schemas

import (
	"encoding/json"
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// requestFields writes the value of Coupa's parameter `fields` for a schema.
func requestFields(row *schematext.Record) string {
	records := row.Records()
	return string(appendFields(nil, row, records))
}

// appendFields appends the JSON array that asks for a record's fields. Records that stand in the text by name are looked up
// in records; schemas have no cycles.
func appendFields(dst []byte, r *schematext.Record, records map[string]*schematext.Record) []byte {
	dst = append(dst, '[')
	for _, f := range r.Fields {
		if f.Role == schematext.RoleUnmapped {
			continue // no field of Coupa's
		}
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = appendRequested(dst, f, records)
	}
	return append(dst, ']')
}

func appendRequested(dst []byte, f schematext.Field, records map[string]*schematext.Record) []byte {
	name, _ := json.Marshal(strings.ReplaceAll(f.CoupaName, "-", "_")) // text always has a JSON form
	if f.Role == schematext.RoleCustomFields {
		return append(append(append(dst, '{'), name...), ":{}}"...)
	}
	inner := innerRecord(f.Type, records)
	if inner == nil {
		return append(dst, name...)
	}
	dst = append(append(append(dst, '{'), name...), ':')
	return append(appendFields(dst, inner, records), '}')
}

// innerRecord is the record that a type, or an array's items, is of; nil for plain types.
func innerRecord(t schematext.Type, records map[string]*schematext.Record) *schematext.Record {
	if t.Items != nil {
		t = *t.Items
	}
	if t.Record != nil {
		return t.Record
	}
	return records[t.Name]
}
