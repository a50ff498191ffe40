package schemas

import (
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

// mustSchema gives a schema of a made-up object, in the order of the fields.
func mustSchema(t *testing.T, fields ...string) *Schema {
	t.Helper()
	text := `{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":"long","coupa.name":"id"},` + strings.Join(fields, ",") +
		`,{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"unmapped"}]}`
	row, err := schematext.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSchema(row, row, "things", false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustParse(t *testing.T, avsc string) avro.Schema {
	t.Helper()
	s, err := avro.ParseWithCache(avsc, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reread encodes a row by a schema and gives what two decoders make of it.
func reread(t *testing.T, s *Schema, row string) string {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	value, err := plan.Encoder().Append(nil, []byte(row))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, s.JSON(), value)
}

func field(name, typ string, more ...string) string {
	return `{"name":"` + name + `","type":["null",` + typ + `],"default":null` + strings.Join(more, "") + `}`
}

const (
	decimalType = `{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}`
	instantType = `{"type":"long","logicalType":"timestamp-millis"}`
)

func inner(name string, fields ...string) string {
	return `{"type":"record","name":"` + name + `","fields":[` + strings.Join(fields, ",") +
		`,{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"unmapped"}]}`
}

// What a widened schema encodes is read with it as it was sent,
// and its readers read what was written by the registered version.
func TestAWidenedSchemaHasTheRegisteredVersionsFieldsAndTypesBesides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ours, theirs []string
		row          string
		field        string // whose type in the result is want
		want         string
		read         string // of the row
	}{
		"another plain type": {[]string{field("total", `"string"`)}, []string{field("total", decimalType)},
			`{"id":1,"total":"12.50"}`, "total", `["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2},"string"]`, `total:"12.50"`},
		"the same plain type with another meaning": {[]string{field("at", instantType)}, []string{field("at", `"long"`)},
			`{"id":1,"at":"2026-11-23T10:00:00Z"}`, "at", `["null","long"]`, `unmapped:{at:"\"2026-11-23T10:00:00Z\""}`},
		"a value that fits the registered type": {[]string{field("total", decimalType)}, []string{field("total", `{"type":"bytes","logicalType":"decimal","precision":10,"scale":1}`)},
			`{"id":1,"total":"12.50"}`, "total", `["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":1}]`, `total:25/2`},
		"a record where a text was": {[]string{field("owner", inner("Owner", field("name", `"string"`)))}, []string{field("owner", `"string"`)},
			`{"id":1,"owner":{"name":"x"}}`, "owner", `["null","string"]`, `unmapped:{owner:"{\"name\":\"x\"}"}`},
		"a union that has ours already": {[]string{field("total", `"double"`)}, []string{`{"name":"total","type":["null","string","double"],"default":null,"coupa.branch":1}`},
			`{"id":1,"total":1.5}`, "total", `["null","string","double"]`, `total:1.5`},
		"a field that is theirs alone": {[]string{field("a", `"long"`)}, []string{field("a", `"long"`), field("gone", `"long"`)},
			`{"id":1,"a":7,"gone":8}`, "gone", `["null","long"]`, `gone:8`},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := mustSchema(t, c.ours...), mustSchema(t, c.theirs...)
			wide, err := ours.Widen(theirs.JSON())
			if err != nil {
				t.Fatal(err)
			}
			parsed := mustParse(t, wide.JSON())
			for _, f := range parsed.(*avro.RecordSchema).Fields() {
				if f.Name() == c.field && f.Type().String() != mustParse(t, c.want).String() {
					t.Errorf("%s is %s, want %s", c.field, f.Type(), c.want)
				}
			}
			if err := avro.NewSchemaCompatibility().Compatible(parsed, mustParse(t, theirs.JSON())); err != nil {
				t.Errorf("a reader of it can't read what was there: %v", err)
			}
			again, err := ours.Widen(wide.JSON())
			if err != nil || again.JSON() != wide.JSON() {
				t.Errorf("widened once more it is\n%s\n%v, want\n%s", again.JSON(), err, wide.JSON())
			}
			if got := reread(t, wide, c.row); !strings.Contains(got, c.read) {
				t.Errorf("the row is read as %s, want %s", got, c.read)
			}
		})
	}
}

func TestRecordsWithinAreWidenedWhereverTheirNamesStand(t *testing.T) {
	t.Parallel()
	owner := inner("Owner", field("name", `"string"`))
	ours := mustSchema(t, field("new", inner("New", field("by", owner))), field("owner", `"Owner"`), field("lines", `{"type":"array","items":`+inner("Line", field("text", `"string"`))+`}`))
	theirs := mustSchema(t, field("old", inner("Old", field("by", inner("Owner", field("name", `"string"`), field("login", `"string"`))))), field("owner", `"Owner"`),
		field("lines", `{"type":"array","items":`+inner("Line", field("text", `"double"`), field("owner", `"Owner"`))+`}`))
	wide, err := ours.Widen(theirs.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if err := avro.NewSchemaCompatibility().Compatible(mustParse(t, wide.JSON()), mustParse(t, theirs.JSON())); err != nil {
		t.Error(err)
	}
	got := reread(t, wide, `{"id":1,"new":{"by":{"name":"n","login":"l"}},"owner":{"login":"m"},"lines":[{"text":"t","owner":{"name":"o"}}]}`)
	for _, want := range []string{`new:{by:{login:"l" name:"n"}}`, `owner:{login:"m"}`, `text:"t"`, `owner:{name:"o"}`} {
		if !strings.Contains(got, want) {
			t.Errorf("the row is read as %s, want %s", got, want)
		}
	}
}

func TestWhatASchemaCantFollowIsNoWideningOfIt(t *testing.T) {
	t.Parallel()
	ours := mustSchema(t, field("a", `"long"`))
	for theirs, want := range map[string]string{
		`{"type":"record","name":"Other","namespace":"coupa","fields":[]}`:                                                      "another record, coupa.Other",
		`{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":["null","long"]}]}`:                  "field id: one of the two versions can be null",
		`{"type":"record","name":"Thing","namespace":"coupa","fields":[]}`:                                                      "has no field id",
		`{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":"long"},{"name":"b","type":"int"}]}`: "field b that can't be null",
		`{"type":"record","name":"Thing","namespace":"coupa","fields":[{"name":"id","type":["string","long"]}]}`:                "none that coupastream could have made",
	} {
		if _, err := ours.Widen(theirs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", theirs, err, want)
		}
	}
	plain, err := For("invoices", Options{})
	if err != nil {
		t.Fatal(err)
	}
	typed, err := For("invoices", Options{Custom: new(custom.Fields)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := typed.Widen(plain.JSON()); err == nil || !strings.Contains(err.Error(), "custom.fields") {
		t.Errorf("typed custom fields behind a map: %v", err)
	}
}

// Every object's schema in one decimal mode can follow that in another.
func TestEverySchemaFollowsAnotherWayToCarryDecimals(t *testing.T) {
	t.Parallel()
	for _, path := range Objects() {
		precise, err := For(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := For(path, Options{Decimals: DecimalString})
		if err != nil {
			t.Fatal(err)
		}
		wide, err := text.Widen(precise.JSON())
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := avro.NewSchemaCompatibility().Compatible(mustParse(t, wide.JSON()), mustParse(t, precise.JSON())); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := wide.Plan(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
