package schemas

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// unreadable are values that no reading of their type is safe for, by the key of an invoice that has them.
var unreadable = []struct{ field, json, says string }{
	{"invoice-date", `"20244-04-01"`, "no calendar date"},
	{"invoice-date", `"0000-00-00"`, "no calendar date"},
	{"invoice-date", `"-0001-11-30"`, "no calendar date"},
	{"invoice-date", `"01.04.2024"`, "no calendar date"},
	{"created-at", `"20244-04-01T00:00:00Z"`, "no RFC 3339 instant"},
	{"created-at", `"2024-04-01T24:00:00Z"`, "no RFC 3339 instant"},
	{"created-at", `"2024-04-01T10:00:00"`, "no RFC 3339 instant"},
	{"created-at", `"2024-04-01T10:00Z"`, "no RFC 3339 instant"},
	{"created-at", `"2024-04-01 10:00:00 UTC"`, "no RFC 3339 instant"},
	{"gross-total", `"NaN"`, "no number"},
	{"gross-total", `"N/A"`, "no number"},
	{"gross-total", `"19%"`, "no number"},
	{"gross-total", `" 12.50 "`, "no number"},
	{"gross-total", `"\u0031 000"`, "no number"},
	{"version", `"two"`, "no number"},
	{"canceled", `"Yes"`, "neither true nor false"},
	{"canceled", `"TRUE"`, "neither true nor false"},
}

// places are where a member of an invoice can stand, which is in place of the %: in
// what Coupa sends and in the record, with the path before it in errors.
func places() map[string]struct{ row, path, record string } {
	return map[string]struct{ row, path, record string }{
		"row":              {`{"id":7,%}`, "", `{"id":7,%}`},
		"record in a row":  {`{"id":7,"supplier":{"id":3,"primary-address":{"id":4,%}}}`, "supplier.primary-address.", `{"id":7,"supplier":{"id":3,"primary_address":{"id":4,%}}}`},
		"line":             {`{"id":7,"invoice-lines":[{"id":1},{"id":2,%}]}`, "invoice-lines[1].", `{"id":7,"invoice_lines":[{"id":1},{"id":2,%}]}`},
		"record in a line": {`{"id":7,"invoice-lines":[{"id":1,"account":{"id":5,%}}]}`, "invoice-lines[0].account.", `{"id":7,"invoice_lines":[{"id":1,"account":{"id":5,%}}]}`},
		"lone line":        {`{"id":7,"invoice-lines":{"id":1,%}}`, "invoice-lines.", `{"id":7,"invoice_lines":[{"id":1,%}]}`},
	}
}

// oneShape is a schema in which the rows, records and lines of places have the fields of unreadable.
func oneShape() string {
	fields := `{"name":"id","type":"long"},{"name":"invoice_date","type":["null",{"type":"int","logicalType":"date"}],"default":null},` +
		`{"name":"created_at","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},` +
		`{"name":"gross_total","type":["null",{"type":"bytes","logicalType":"decimal","precision":20,"scale":4}],"default":null},` +
		`{"name":"version","type":["null","long"],"default":null},{"name":"canceled","type":["null","boolean"],"default":null},` +
		`{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"unmapped"}`
	record := func(name, more string) string {
		return `{"type":"record","name":"` + name + `","fields":[` + fields + more + `]}`
	}
	of := func(name, record string) string {
		return `,{"name":"` + name + `","type":["null",` + record + `],"default":null}`
	}
	line := record("Line", of("account", record("Account", "")))
	return record("Row", of("supplier", record("Supplier", of("primary_address", record("Address", ""))))+
		of("invoice_lines", `{"type":"array","items":`+line+`}`))
}

func TestValuesThatCannotBeReadStayInUnmappedOfTheirRecord(t *testing.T) {
	t.Parallel()
	plan, err := Compile(oneShape())
	if err != nil {
		t.Fatal(err)
	}
	strict, kind := plan.Encoder(), plan.Encoder()
	kind.KeepUnreadable = true
	for place, at := range places() {
		for _, v := range unreadable {
			row := []byte(strings.Replace(at.row, "%", `"`+v.field+`":`+v.json, 1))
			_, err := strict.Append(nil, row)
			fe, is := err.(*rowtext.FieldError)
			if !is || fe.Path != at.path+v.field || !strings.Contains(err.Error(), v.says) {
				t.Errorf("%s, %s: without the mode: %v, want an error of %s that says %s", place, v.json, err, at.path+v.field, v.says)
			}
			value, err := kind.Append(nil, row)
			if err != nil {
				t.Errorf("%s, %s: %v", place, v.json, err)
				continue
			}
			if got := kind.Unreadable(); len(got) != 1 || !strings.HasSuffix(got[0], "."+v.field) {
				t.Errorf("%s, %s: %v are unreadable", place, v.json, got)
			}
			got, err := plan.AppendJSON(nil, value)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(at.record, "%", `"unmapped":{"`+v.field+`":`+v.json+`}`, 1)
			if string(got) != want {
				t.Errorf("%s, %s:\n%s\nwant\n%s", place, v.json, got, want)
			}
		}
	}
}

func TestWhatIsKeptIsNamedOnceForEachValueThatStays(t *testing.T) {
	t.Parallel()
	plan, err := Compile(oneShape())
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Encoder()
	e.KeepUnreadable = true
	for _, tt := range []struct{ row, want string }{
		{`{"id":7,"gross-total":"NaN","invoice-lines":[{"id":1,"canceled":"No"},{"id":2,"canceled":"No"}]}`, "Line.canceled Line.canceled Row.gross-total"},
		{`{"id":7,"gross-total":"NaN","gross-total":"1.5"}`, ""},
		{`{"id":7,"gross-total":"1.5","gross-total":"NaN"}`, "Row.gross-total"},
		{`{"id":7,"gross_total":"NaN"}`, "Row.gross_total"},
		{`{"id":7,"gross-total":1e99,"created-at":5,"canceled":2,"strange":"NaN"}`, ""}, // kept in any mode
		{`{"id":7,"gross-total":"","created-at":null}`, ""},
	} {
		if _, err := e.Append(nil, []byte(tt.row)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(slices.Values(e.Unreadable())), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.row, got, tt.want)
		}
	}
}

// What has no place in any unmapped is an error in every mode, with the same words.
func TestWhatHasNoPlaceIsAnErrorInEveryMode(t *testing.T) {
	t.Parallel()
	plan, err := Compile(oneShape())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`{"id":"seven"}`, `{"id":null}`, `{}`, `{"id":7,"supplier":{"id":"three"}}`, `{"id":7,"gross-total":"NaN}`, `{"id":7,"gross-total":NaN}`, `[]`,
		`{"id":7,"deep":` + strings.Repeat("[", rowtext.MaxDepth+1) + strings.Repeat("]", rowtext.MaxDepth+1) + `}`,
	} {
		kind := plan.Encoder()
		kind.KeepUnreadable = true
		_, strict := plan.Encoder().Append(nil, []byte(row))
		_, err := kind.Append(nil, []byte(row))
		if strict == nil || err == nil || err.Error() != strict.Error() {
			t.Errorf("%s: %v, without the mode %v", row, err, strict)
		}
		if _, err := kind.Append(nil, []byte(`{"id":7,"gross-total":1e99}`)); err != nil || kind.Unreadable() != nil {
			t.Errorf("the next row after %s: %v, %v", row, err, kind.Unreadable())
		}
	}
}

// A list of plain values has no unmapped of its own: the record around it keeps all of it.
func TestAListOfPlainValuesIsKeptWhole(t *testing.T) {
	t.Parallel()
	plan, err := Compile(`{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"sizes","type":["null",{"type":"array","items":"long"}],"default":null},` +
		`{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"unmapped"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Encoder()
	e.KeepUnreadable = true
	value, err := e.Append(nil, []byte(`{"id":7,"sizes":[1,"two",3]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := plan.AppendJSON(nil, value); err != nil || string(got) != `{"id":7,"unmapped":{"sizes":[1,"two",3]}}` || len(e.Unreadable()) != 1 {
		t.Errorf("%s, %v, %v", got, err, e.Unreadable())
	}
}

// Rows that can be read have the same bytes in both modes.
func TestTheModeChangesNothingOfRowsThatCanBeRead(t *testing.T) {
	t.Parallel()
	for _, path := range objectsWithRow(t) {
		s, err := For(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		row := readTestdata(t, "rows/"+path+".json")
		kind := plan.Encoder()
		kind.KeepUnreadable = true
		strict, err := plan.Encoder().Append(nil, row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := kind.Append(nil, row); err != nil || string(got) != string(strict) || kind.Unreadable() != nil {
			t.Errorf("%s: %v, %v", path, err, kind.Unreadable())
		}
	}
}

// Lines that are cut out of their rows have what can't be read in
// their own unmapped, and count as changed when it changes.
func TestLinesOfTheirOwnKeepWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, err := For("invoices", Options{})
	if err != nil {
		t.Fatal(err)
	}
	split, err := s.Split(false)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	splitter, err := split.Splitter()
	if err != nil {
		t.Fatal(err)
	}
	e := plan.Encoder()
	e.KeepUnreadable = true
	digests := map[uint64]bool{}
	for _, price := range []string{`"NaN"`, `"N/A"`} {
		value, err := e.Append(nil, []byte(`{"id":7,"gross-total":"19%","invoice-lines":[{"id":1,"price":`+price+`},{"id":2,"price":"1.5"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := splitter.Split(7, value); err != nil {
			t.Fatal(err)
		}
		lines := splitter.Lines()
		if len(lines) != 2 {
			t.Fatalf("%d lines", len(lines))
		}
		digests[lines[0].Digest] = true
		i := slices.IndexFunc(split.Lists, func(l List) bool { return l.Name == "invoice_lines" })
		if got, want := kept(t, split.Lists[i].Schema, lines[0].Value), map[string]string{"price": price}; !maps.Equal(got, want) {
			t.Errorf("the line keeps %v, want %v", got, want)
		}
		if got := kept(t, split.Lists[i].Schema, lines[1].Value); len(got) != 0 {
			t.Errorf("the other line keeps %v", got)
		}
		if got, want := kept(t, split.Row, splitter.Row()), map[string]string{"gross-total": `"19%"`}; !maps.Equal(got, want) {
			t.Errorf("the row keeps %v, want %v", got, want)
		}
	}
	if len(digests) != 2 {
		t.Error("a line with another text that can't be read has the same digest")
	}
}

// kept reads unmapped of a value's record.
func kept(t *testing.T, s *Schema, value []byte) map[string]string {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	text, err := plan.AppendJSON(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ Unmapped map[string]json.RawMessage }
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for key, raw := range record.Unmapped {
		all[key] = string(raw)
	}
	return all
}
