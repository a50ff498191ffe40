package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
	"github.com/coupastream/coupastream/schemas/nearest"
)

//go:embed avsc
var avscFiles embed.FS

// ParentKey is the key of ParentField in the JSON of a row that
// is below another one: none that Coupa gives to anything.
var ParentKey = schematext.ComputedKey(ParentField)

// mainObjects are those that a connector streams unless told otherwise, and that are listed first.
var mainObjects = []string{"invoices", "purchase_orders", "suppliers", "requisitions", "expense_reports", "contracts", "users"}

// listed is what avsc holds, by name behind mainObjects.
var listed = sync.OnceValue(func() []string {
	all := slices.Clone(mainObjects)
	err := fs.WalkDir(avscFiles, "avsc", func(file string, entry fs.DirEntry, err error) error {
		path := strings.TrimSuffix(strings.TrimPrefix(file, "avsc/"), ".avsc")
		if err == nil && !entry.IsDir() && !slices.Contains(mainObjects, path) {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		panic("reading the embedded schemas: " + err.Error()) // a file of this very program
	}
	slices.Sort(all[len(mainObjects):])
	return all
})

// Objects lists the objects that have a schema, by the path of their collection below Coupa's
// /api: first those that a connector streams unless told otherwise, then the others by name.
func Objects() []string { return slices.Clone(listed()) }

// readObject gives the schema of an object as it is kept in avsc.
func readObject(path string) (*schematext.Record, error) {
	if !slices.Contains(Objects(), path) {
		remedy := "coupastream objects lists all"
		if near := nearest.Of(path, Objects(), "-_"); near != "" {
			remedy = fmt.Sprintf("the nearest is %q (%s)", near, remedy)
		}
		return nil, fmt.Errorf("there is no schema for the object %q; %s", path, remedy)
	}
	text, err := avscFiles.ReadFile("avsc/" + path + ".avsc")
	if err != nil {
		return nil, fmt.Errorf("the schema of %s is not in this build; run go generate ./schemas: %w", path, err)
	}
	return schematext.Parse(text)
}
