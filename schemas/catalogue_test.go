package schemas_test

import (
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/internal/catalogue"
	"github.com/coupastream/coupastream/schemas/internal/schematext"
)

func TestSchemasAreThoseThatTheCatalogueGives(t *testing.T) {
	t.Parallel()
	c, err := catalogue.Load(os.DirFS("catalogue"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Streams(), schemas.Objects()) {
		t.Errorf("selection.yaml streams %v, Objects() are %v", c.Streams(), schemas.Objects())
	}
	for _, path := range c.Streams() {
		row, err := c.Draft(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := schematext.Pretty(row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join("avsc", path+".avsc")); err != nil || string(got) != string(want) {
			t.Errorf("avsc/%s.avsc is not what the catalogue gives (%v); run go generate ./schemas", path, err)
		}
	}
	for _, path := range c.Streams() {
		row, _ := c.Draft(path)
		row.Walk(func(r *schematext.Record) {
			for _, f := range r.Fields {
				if len(f.Doc) < 3 || !strings.HasSuffix(f.Doc, ".") {
					t.Errorf("%s: %s.%s is documented with %q", path, r.Name, f.Name, f.Doc)
				}
			}
		})
	}
	files := 0
	err = fs.WalkDir(os.DirFS("avsc"), ".", func(_ string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != len(c.Streams()) {
		t.Errorf("avsc holds %d files (%v), want one for each of %d streams", files, err, len(c.Streams()))
	}
}

var updatePersonal = flag.Bool("update-personal", false, "write testdata/personal.txt")

// suspect is what the name of a text with personal data may look like.
var suspect = regexp.MustCompile(`name|mail|inbox|phone|fax|photo|avatar|attention|login|user|employee|sso|person|birth|gender|passport|social|contact|mention|payee|owner|adjuster|` +
	`street|address|postal|po-box|bank|iban|swift|bic|bsb|ifsc|sort-code|routing|transit-number|account-number|card|cvv|expiry|tax|vat-|fiscal|ssn`)

// The list is for people: a new field that is marked, or looks as if it should be, shows in a review.
func TestPersonalDataIsMarkedAsListed(t *testing.T) {
	t.Parallel()
	marked := map[string]string{}
	for _, path := range schemas.Objects() {
		text, err := os.ReadFile(filepath.Join("avsc", path+".avsc"))
		if err != nil {
			t.Fatal(err)
		}
		row, err := schematext.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		row.Walk(func(r *schematext.Record) {
			for _, f := range r.Fields {
				at := r.Object + "." + f.CoupaName
				tags := strings.Join(f.Tags, " ")
				if before, known := marked[at]; known && before != tags {
					t.Errorf("%s: %s has the tags %q and %q", path, at, before, tags)
				}
				if plain := f.Type.Name == "string" && f.Type.Logical == ""; tags != "" || plain && suspect.MatchString(f.CoupaName) {
					marked[at] = tags
				}
			}
		})
	}
	var list strings.Builder
	for _, at := range slices.Sorted(maps.Keys(marked)) {
		fmt.Fprintf(&list, "%-70s %s\n", at, cmp.Or(marked[at], "-"))
	}
	const file = "testdata/personal.txt"
	if *updatePersonal {
		if err := os.WriteFile(file, []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != list.String() {
		t.Errorf("%s is not what the schemas mark (%v); see what differs with -update-personal and git diff, and correct personal in selection.yaml", file, err)
	}
}

// catalogueOf is a catalogue of two objects and the given selection.
func catalogueOf(selection string) fs.FS {
	const objects = `{"collections": {"things": "Thing"}, "objects": {
		"Thing": {"id": "integer", "name": "string", "x": "boolean", "x?": "boolean", "price": "decimal(46,20)", "rate": "decimal(8,2)",
			"share": "decimal", "due-date": "datetime", "due-at": "datetime", "parts": "array:Part", "parent": "ref:Thing", "spare": "ref:Thing", "owner": "ref:Part",
			"created-by": "ref:Part", "about": "any"},
		"Part": {"id": "integer", "code": "string", "size": "integer", "whole": "ref:Thing"}}}`
	return fstest.MapFS{"objects.json": {Data: []byte(objects)}, "values.json": {Data: []byte(`{"Thing":{"name":{"max":40}},"Part":{"code":{"values":["a","b"]}}}`)}, "selection.yaml": {Data: []byte("streams: [things]\n" + selection)}}
}

func TestDraft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		selection string
		want      []string // parts of the schema's text
		without   string
	}{
		{"the id alone is never null", "", []string{`{"name":"id","type":"long","doc":"Coupa's id.","coupa.name":"id"}`}, ""},
		{"a described scale is kept up to 20", "", []string{`"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":20}]`}, ""},
		{"a small scale becomes 6", "", []string{`"rate","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":6}]`}, ""},
		{"no scale at all becomes 9", "", []string{`"share","type":["null",{"type":"bytes","logicalType":"decimal","precision":38,"scale":9}]`}, ""},
		{"a date by its name is a day", "", []string{`"due_date","type":["null",{"type":"int","logicalType":"date"}]`}, ""},
		{"any other time is an instant", "", []string{`"due_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}]`}, ""},
		{"an override beats the name", "types: {Thing.due-date: instant}", []string{`"due_date","type":["null",{"type":"long","logicalType":"timestamp-millis"}]`}, ""},
		{"names that meet stay two", "", []string{`"name":"x",`, `"name":"x__2",`, `"coupa.name":"x?"`}, ""},
		{"an association is cut, and cycles with it", "", []string{`"name":"ThingRef","coupa.object":"Thing"`, `"name":"PartRef","coupa.object":"Part"`}, `"size"`},
		{"a part is shown in full", "full: [Thing.parts]", []string{`"name":"Part","coupa.object":"Part"`, `"size"`, `"owner","type":["null",{"type":"record","name":"PartRef"`}, ""},
		{"a part that lacks what its own row has is another record", "full: [Thing.spare]\nleave-out-of-parts: [{reason: test, fields: [Thing.parent, Thing.spare, Thing.created-by]}]",
			[]string{`"name":"Thing","namespace":"coupa"`, `"name":"ThingPart","coupa.object":"Thing"`, `"name":"parent",`, `"doc":"Spare: in full."`}, ""},
		{"a reference shows what is listed", "references: {Part: [id, size]}", []string{`"size"`}, `"code"`},
		{"what is left out is not there", "leave-out: [{reason: test, fields: [Thing.price, owner]}]", []string{`"rate"`}, `"price"`},
		{"a name becomes a sentence", "", []string{`"doc":"Due date; the calendar day that Coupa shows."`, `"doc":"Due at; an instant."`, `"doc":"X; true or false."`, `"doc":"Rate."`}, ""},
		{"what is described of a text is told", "", []string{`"doc":"Name; at most 40 characters."`, `"doc":"Code; known values: a, b."`}, ""},
		{"an association's parts are told", "full: [Thing.parts]", []string{`"doc":"Parts: each in full."`, `"doc":"Parent: id, name."`, `"doc":"Who created it: id, code."`}, ""},
		{"what is chosen to be said is said", "docs: {Thing.rate: What it is worth.}", []string{`"doc":"What it is worth."`}, `"Rate.`},
		{"personal data is marked, by the field before its name", "personal: {PII: [code], PII_NAME: [name], PII_ID: [Part.code]}",
			[]string{`"coupa.name":"name","confluent:tags":["PII","PII_NAME"]}`, `"coupa.name":"code","confluent:tags":["PII","PII_ID"]}`}, `["PII"]`},
		{"personal data of no kind is marked alone", "personal: {PII: [code]}", []string{`"coupa.name":"code","confluent:tags":["PII"]}`}, ""},
		{"custom fields stand before unmapped", "custom-fields: [Thing]", []string{`"coupa.name":"custom-fields","coupa.role":"custom-fields"},`}, ""},
		{"custom fields are asked of a row whatever its object", "", []string{`"coupa.name":"custom-fields","coupa.role":"custom-fields"},`}, ""},
		{"a later record is named only", "", []string{`{"name":"created_by","type":["null","PartRef"],"default":null,"doc":"Who created it: id, code.","coupa.name":"created-by"}`}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := catalogue.Load(catalogueOf(tt.selection))
			if err != nil {
				t.Fatal(err)
			}
			row, err := c.Draft("things")
			if err != nil {
				t.Fatal(err)
			}
			pretty, err := schematext.Pretty(row)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range tt.want {
				if !strings.Contains(string(pretty), part) {
					t.Errorf("the schema lacks %s:\n%s", part, pretty)
				}
			}
			if tt.without != "" && strings.Contains(string(pretty), tt.without) {
				t.Errorf("the schema has %s:\n%s", tt.without, pretty)
			}
		})
	}
}

func TestCatalogueRefusesWhatLeadsNowhere(t *testing.T) {
	t.Parallel()
	for selection, want := range map[string]string{
		"full: [Thing.wheels]":                                         "Thing.wheels",
		"types: {Nothing.at-all: string}":                              "Nothing.at-all",
		"leave-out: [{reason: test, fields: [colour]}]":                "colour",
		"references: {Part: [weight]}":                                 "Part.weight",
		"order: {Part: [weight]}":                                      "Part.weight",
		"custom-fields: [Nothing]":                                     "Nothing",
		"docs: {Part.weight: heavy}":                                   "Part.weight",
		"leave-out-of-parts: [{reason: test, fields: [Thing.weight]}]": "Thing.weight",
		"leave-out-of-parts: [{reason: test, fields: [Part.size]}]":    "move Part.size to leave-out",
		"personal: {PII_NAME: [Part.weight]}":                          "Part.weight",
		"personal: {PII_NAME: [name], PII_ID: [name]}":                 "name is listed under PII_ID and PII_NAME",
		"unheard-of: 1":                                                "unheard-of",
		"full: [Thing.parent]":                                         "would contain itself in full",
		"references: {Part: [id, whole], Thing: [owner]}":              "holds itself",
		"types: {Thing.x: complex}":                                    `"complex" is unknown`,
		"types: {Thing.x: ref:Nothing}":                                "no known object",
	} {
		c, err := catalogue.Load(catalogueOf(selection))
		if err == nil {
			_, err = c.Draft("things")
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", selection, err, want)
		}
	}
}
