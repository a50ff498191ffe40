package schemas

import (
	_ "embed" // for objectsFile
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

//go:embed catalogue/objects.json
var objectsFile []byte

// documented is what Coupa's API description says that each
// object has: by object, the names as plainKey gives them.
var documented = sync.OnceValue(func() map[string]map[string]bool {
	var file struct {
		Objects map[string]map[string]json.RawMessage `json:"objects"`
	}
	if err := json.Unmarshal(objectsFile, &file); err != nil {
		panic("reading the embedded catalogue: " + err.Error()) // a file of this very program
	}
	all := make(map[string]map[string]bool, len(file.Objects))
	for object, fields := range file.Objects {
		names := make(map[string]bool, len(fields))
		for name := range fields {
			names[plainKey(name)] = true
		}
		all[object] = names
	}
	return all
})

// documentedOf gives, for each record of a schema that has
// custom fields, the names that its object is documented with.
func documentedOf(row *schematext.Record) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	row.Walk(func(r *schematext.Record) {
		if slices.ContainsFunc(r.Fields, func(f schematext.Field) bool { return f.Role == schematext.RoleCustomFields }) {
			all[r.Name] = documented()[r.Object]
		}
	})
	return all
}

// Documented lists what Coupa's API description says that an object (a
// schema's coupa.object) has, in Coupa's names: more than its record holds.
func Documented(object string) []string {
	var names []string
	for name := range documented()[object] {
		names = append(names, strings.ReplaceAll(name, "_", "-"))
	}
	slices.Sort(names)
	return names
}

// plainKey spells a key of a row without regard to hyphens:
// some of Coupa's older endpoints answer with underscores.
func plainKey(key string) string { return strings.ReplaceAll(key, "-", "_") }
