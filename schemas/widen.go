package schemas

import (
	"fmt"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// Widen gives a schema that rows can be encoded by as by s, and that has besides what
// registered, the text of another version of the same record, has: its fields, null in
// every row that has nothing there, and its types. Where a field has another type there,
// it becomes a union of both if Avro allows that, and values are written as s would. If
// not, it keeps the registered type, and values that do not fit it are kept in unmapped.
//
// That lets readers who know the registered version's data go on (BACKWARD). The
// error: registered is no record of that name that such a schema can follow.
func (s *Schema) Widen(registered string) (*Schema, error) {
	theirs, err := schematext.Parse([]byte(registered))
	if err != nil {
		return nil, fmt.Errorf("the registered version is none that coupastream could have made: %w", err)
	}
	ours, err := schematext.Parse([]byte(s.text)) // of its own: what follows changes it
	if err != nil {
		return nil, err
	}
	if s.enveloped == (schematext.RowOf(theirs) != theirs) {
		ours, theirs = schematext.RowOf(ours), schematext.RowOf(theirs)
	}
	if theirs.Namespace != ours.Namespace || theirs.Name != ours.Name {
		return nil, fmt.Errorf("the registered version is of another record, %s.%s", theirs.Namespace, theirs.Name)
	}
	if err := schematext.Widen(ours, theirs); err != nil {
		return nil, err
	}
	asked := ours
	if s.asked != s.row {
		asked = s.asked
	}
	return newSchema(ours, asked, s.path, s.enveloped)
}
