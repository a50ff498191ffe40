package schemas

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

//go:embed avsc
var avscFiles embed.FS

// Objects lists the objects that have a schema, by the path of their collection below Coupa's /api, in the order in which a
// connector streams them unless told otherwise.
func Objects() []string {
	return []string{"invoices", "purchase_orders", "suppliers", "requisitions", "expense_reports", "contracts", "users"}
}

// readObject gives the schema of an object as it is kept in avsc.
func readObject(path string) (*schematext.Record, error) {
	if !slices.Contains(Objects(), path) {
		return nil, fmt.Errorf("there is no schema for the object %q; the nearest is %q (there are %s)",
			path, nearestObject(path), strings.Join(Objects(), ", "))
	}
	text, err := avscFiles.ReadFile("avsc/" + path + ".avsc")
	if err != nil {
		return nil, fmt.Errorf("the schema of %s is not in this build; run go generate ./schemas: %w", path, err)
	}
	return schematext.Parse(text)
}

// nearestObject is the path that most resembles a mistyped one, which may also be spelled with hyphens or as one of the row's
// records (invoice, InvoiceHeader).
func nearestObject(path string) string {
	path = strings.ToLower(strings.ReplaceAll(path, "-", "_"))
	return slices.MinFunc(Objects(), func(a, b string) int {
		return levenshtein.ComputeDistance(a, path) - levenshtein.ComputeDistance(b, path)
	})
}
