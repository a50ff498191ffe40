package schemas

import (
	"strings"
	"sync"

	"github.com/coupastream/coupastream/schemas/internal/jsonschema"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Difference is one between two versions of a schema that readers don't see: see Differences.
type Difference = schematext.Difference

// alike has the digests of texts between which Differences found none: registries may give a text back with
// its members in another order, and a thousand tenants that share a topic ask of the same two.
var alike sync.Map // two of schematext.Digest → true

// Differences lists what a registry lets through and readers bend, of the text of a subject's last version
// and of the one that is to follow it: another scale, decimal for string, millis for micros, a date for a
// number. A reader who takes one version's values by the other's schema gets others, without an error.
// What a mapping hides counts likewise, as values that were shown and hashed ones are of one type.
//
// Of JSON Schemas, whose values say what they are, that alone counts. A last
// version that coupastream can't have made has none: the registry alone decides.
func Differences(last, next string) []Difference {
	if last == next {
		return nil
	}
	if strings.HasPrefix(next, jsonschema.Start) {
		return schematext.RuleDifferences(jsonschema.Rules(last), jsonschema.Rules(next))
	}
	digests := [2][schematext.DigestSize]byte{schematext.Digest(last), schematext.Digest(next)}
	if _, known := alike.Load(digests); known {
		return nil
	}
	was, err := schematext.Parse([]byte(last))
	if err != nil {
		return nil
	}
	is, err := schematext.Parse([]byte(next))
	if err != nil {
		return nil
	}
	found := schematext.Differences(schematext.RowOf(was), schematext.RowOf(is))
	if len(found) == 0 {
		alike.Store(digests, true)
	}
	return found
}
