package schemas

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func decimalOf(precision, scale int) string {
	return fmt.Sprintf(`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}`, precision, scale)
}

// What registries let through and readers bend is found wherever it
// stands, and nothing else is: docs, tags and further fields go on.
func TestDifferencesAreThoseThatReadersBend(t *testing.T) {
	t.Parallel()
	const date, micros = `{"type":"int","logicalType":"date"}`, `{"type":"long","logicalType":"timestamp-micros"}`
	array := func(items string) string { return `{"type":"array","items":` + items + `}` }
	union := func(types string) string { return `{"name":"a","type":["null",` + types + `],"default":null}` }
	for name, c := range map[string]struct {
		last, next []string
		want       string // "" for none
		widens     bool
	}{
		"another scale":               {[]string{field("a", decimalOf(38, 2))}, []string{field("a", decimalOf(38, 4))}, "a was decimal(38,2), is decimal(38,4)", false},
		"another precision":           {[]string{field("a", decimalOf(38, 2))}, []string{field("a", decimalOf(20, 2))}, "a was decimal(38,2), is decimal(20,2)", false},
		"a decimal becomes bytes":     {[]string{field("a", decimalOf(38, 2))}, []string{field("a", `"bytes"`)}, "a was decimal(38,2), is bytes", false},
		"a decimal becomes a string":  {[]string{field("a", decimalOf(38, 2))}, []string{field("a", `"string"`)}, "a was decimal(38,2), is string", true},
		"a string becomes a decimal":  {[]string{field("a", `"string"`)}, []string{field("a", decimalOf(38, 2))}, "a was string, is decimal(38,2)", true},
		"millis become micros":        {[]string{field("a", instantType)}, []string{field("a", micros)}, "a was timestamp-millis, is timestamp-micros", false},
		"a date becomes a number":     {[]string{field("a", date)}, []string{field("a", `"int"`)}, "a was date, is int", false},
		"a number becomes an instant": {[]string{field("a", `"long"`)}, []string{field("a", instantType)}, "a was long, is timestamp-millis", false},
		"in a record":                 {[]string{field("r", inner("R", field("a", decimalOf(38, 2))))}, []string{field("r", inner("R", field("a", decimalOf(38, 4))))}, "r.a was decimal(38,2), is decimal(38,4)", false},
		"in a record of another name": {[]string{field("r", inner("R", field("a", date)))}, []string{field("r", inner("R_r", field("a", `"int"`)))}, "r.a was date, is int", false},
		"in the records of a list":    {[]string{field("l", array(inner("R", field("a", date))))}, []string{field("l", array(inner("R", field("a", `"int"`))))}, "l.a was date, is int", false},
		"in the items of a list":      {[]string{field("l", array(date))}, []string{field("l", array(`"int"`))}, "l was date, is int", false},
		"in a record by its name": {[]string{field("r", inner("R", field("a", date))), field("s", `"R"`)}, []string{field("s", inner("R", field("a", `"int"`))), field("r", `"R"`)},
			"s.a was date, is int", false},
		"a branch of a union":         {[]string{union(`"string",` + decimalOf(38, 2))}, []string{union(`"string",` + decimalOf(38, 4))}, "a was string or decimal(38,2), is string or decimal(38,4)", false},
		"a branch that goes":          {[]string{union(`"long","string"`)}, []string{field("a", `"long"`)}, "a was long or string, is long", true},
		"a branch more":               {[]string{field("a", `"long"`)}, []string{union(`"long","string"`)}, "", false},
		"other docs, names and tags":  {[]string{field("a", date, `,"doc":"x","coupa.name":"b"`)}, []string{field("a", date, `,"doc":"y","coupa.name":"c","confluent:tags":["PII"]`)}, "", false},
		"fields that one of both has": {[]string{field("gone", date)}, []string{field("new", decimalOf(38, 2))}, "", false},
		"what every registry refuses": {[]string{field("a", `"string"`)}, []string{field("a", inner("R", field("b", date)))}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			last, next := mustSchema(t, c.last...), mustSchema(t, c.next...)
			var got []string
			for _, d := range Differences(last.JSON(), next.JSON()) {
				got = append(got, d.String())
				if d.Widens != c.widens {
					t.Errorf("%s: a union may have both: %v, want %v", d, d.Widens, c.widens)
				}
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// Every object: another decimal.handling.mode differs in each of its decimals, within the
// envelope and in lines too, and what is widened by that differs in none of them any more.
func TestAnotherDecimalModeIsADifferenceOfEveryObject(t *testing.T) {
	t.Parallel()
	for _, path := range Objects() {
		for _, envelope := range []bool{false, true} {
			last, next := schemaIn(t, path, DecimalPrecise, envelope), schemaIn(t, path, DecimalString, envelope)
			found := Differences(last.JSON(), next.JSON())
			if has := strings.Contains(last.JSON(), `"decimal"`); has != (len(found) > 0) {
				t.Errorf("%s: %d differences, decimals: %v", path, len(found), has)
			}
			if i := slices.IndexFunc(found, func(d Difference) bool { return d.Is != "string" || !d.Widens }); i >= 0 {
				t.Errorf("%s: %s", path, found[i])
			}
			wide, err := next.Widen(last.JSON())
			if err != nil {
				t.Fatal(err)
			}
			if found := Differences(last.JSON(), wide.JSON()); len(found) > 0 {
				t.Errorf("%s, widened: %v", path, found)
			}
			if found := Differences(last.JSON(), last.JSON()); len(found) > 0 {
				t.Errorf("%s differs from itself: %v", path, found)
			}
		}
	}
}

func schemaIn(t *testing.T, path string, mode DecimalMode, envelope bool) *Schema {
	t.Helper()
	s, err := For(path, Options{Decimals: mode, Envelope: envelope})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASchemaOfSomebodyElseIsLeftToTheRegistry(t *testing.T) {
	t.Parallel()
	s := mustSchema(t, field("a", `"long"`)).JSON()
	for _, last := range []string{"", `"string"`, `{"type":"record","name":"Thing","fields":[{"name":"a","type":["string","null"]}]}`} {
		if found := Differences(last, s); len(found) > 0 {
			t.Errorf("%s: %v", last, found)
		}
	}
}
