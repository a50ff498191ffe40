package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// fieldsInFull lists the fields of an object's full view. Coupa shows id and the two
// timestamps first, then plain fields, then associations, created-by and updated-by last
// (every recorded answer since 2014); within that, the listed order and behind it names.
func (c *Catalogue) fieldsInFull(object string) []string {
	listed := c.choice.Order[object]
	first := map[string]int{"id": -3, "created-at": -2, "updated-at": -1}
	rank := func(field string) int {
		association := strings.Contains(c.objects[object][field], ":")
		at := slices.Index(listed, field)
		switch {
		case field == "created-by" || field == "updated-by":
			return 4_000_000
		case at >= 0 && !association:
			return at
		case first[field] != 0:
			return first[field]
		case !association:
			return 1_000_000
		case at >= 0:
			return 2_000_000 + at
		}
		return 3_000_000
	}
	var fields []string
	for _, field := range sortedKeys(c.objects[object]) {
		if !c.leaveOut[field] && !c.leaveOut[object+"."+field] {
			fields = append(fields, field)
		}
	}
	slices.SortStableFunc(fields, func(a, b string) int { return rank(a) - rank(b) })
	return fields
}

// identity lists the fields of an object's reference.
func (c *Catalogue) identity(object string) []string {
	if fields := c.choice.References[object]; fields != nil {
		return fields
	}
	var fields []string
	for _, field := range []string{"id", "name", "number", "code"} {
		if typ, ok := c.objects[object][field]; ok && !strings.Contains(typ, ":") {
			fields = append(fields, field)
		}
	}
	return fields
}

// namingOrder puts the fields in the order in which they claim Avro names: those that need no more than -
// for _ before those that lose a character, so that is-default has its plain name whatever stands beside it.
func namingOrder(fields []string) []string {
	plain := func(field string) int {
		if strings.Trim(field, "-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" {
			return 0
		}
		return 1
	}
	ordered := slices.Sorted(slices.Values(fields))
	slices.SortStableFunc(ordered, func(a, b string) int { return plain(a) - plain(b) })
	return ordered
}

// Decimals are wide: a scale can never change under the registry's compatibility rules, a company
// may keep more digits than the description says, and a value that does not fit is not rounded
// but goes to `unmapped`, where few look for it. 38 digits are what the common warehouses hold.
const (
	decimalPrecision = 38
	// descriptions with 2 to 4 digits are of amounts, which some currencies and engines refine
	decimalMinScale = 6
	// nothing described: rates and percentages, of which exchange rates have the most digits, 9
	decimalOpenScale = 9
	decimalMaxScale  = 20 // as prices have it; it leaves 18 digits before the point
)

// plainType is the nullable Avro type of a field that is no association.
func plainType(kind, field string) (schematext.Type, error) {
	t := schematext.Type{Nullable: true}
	switch {
	// time: 08:00 without a day, which no Avro type holds as sent
	case kind == "string", kind == "any", kind == "time":
		t.Name = "string"
	case kind == "integer":
		t.Name = "long"
	case kind == "boolean":
		t.Name = "boolean"
	case kind == "date", kind == "datetime" && calendarDay(field):
		t.Name, t.Logical = "int", "date"
	case kind == "datetime", kind == "instant":
		t.Name, t.Logical = "long", "timestamp-millis"
	case strings.HasPrefix(kind, "decimal"):
		scale, err := decimalScale(kind)
		if err != nil {
			return t, err
		}
		t.Name, t.Logical, t.Precision, t.Scale = "bytes", "decimal", decimalPrecision, scale
	default:
		return t, fmt.Errorf("its type %q is unknown; use string, integer, boolean, decimal(p,s), date, instant, ref:Object or array:Object", kind)
	}
	return t, nil
}

// calendarDay tells by the name whether a timestamp stands for a day: Coupa describes both
// as datetime and sends a day as the company's local midnight (net-due-date as 23:59:59).
func calendarDay(field string) bool {
	return strings.HasSuffix(field, "-date") || strings.HasPrefix(field, "date-") || strings.Contains(field, "-date-")
}

// decimalScale gives the scale for decimal or decimal(p,s).
func decimalScale(kind string) (int, error) {
	if kind == "decimal" {
		return decimalOpenScale, nil
	}
	var precision, scale int
	if _, err := fmt.Sscanf(kind, "decimal(%d,%d)", &precision, &scale); err != nil {
		return 0, fmt.Errorf("its type %q is no decimal(precision,scale)", kind)
	}
	return min(max(scale, decimalMinScale), decimalMaxScale), nil
}
