package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

func mustSplit(t testing.TB, s *Schema, keep bool) (*Split, *Splitter) {
	t.Helper()
	split, err := s.Split(keep)
	if err != nil {
		t.Fatal(err)
	}
	sp, err := split.Splitter()
	if err != nil {
		t.Fatal(err)
	}
	return split, sp
}

func encoded(t testing.TB, s *Schema, row string) []byte {
	t.Helper()
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	b, err := plan.Encoder().Append(nil, []byte(row))
	if err != nil {
		t.Fatalf("%v\n%s", err, row)
	}
	return b
}

func TestWhichListsAreLines(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"invoices": {"invoice-lines", "invoice-charges", "tax-lines"}, "purchase_orders": {"order-lines"}, "expense_reports": {"expense-lines", "approvals", "events"},
		"users": nil, "contracts": {"contract-terms", "contract-clauses", "contract-parties"}, "asn/headers": {"lines"},
	} {
		if got, err := Lists(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v, want %v", path, got, err, want)
		}
	}
}

// Whatever the object, its custom fields and its decimals: what is cut out of an encoded row are the bytes
// that the rows without lines, and the lines by themselves, have when they are encoded by their own schemas.
func TestWhatIsCutOutIsWhatIsEncodedAlone(t *testing.T) {
	t.Parallel()
	for i, path := range Objects() {
		lists, err := Lists(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(lists) == 0 {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for form, custom := range []string{"map", "off", "typed"} {
				g := rowMaker{Rand: rand.New(rand.NewPCG(uint64(100*i+form), 3)), custom: custom != "off"}
				shape := Options{WithoutCustomFields: custom == "off", Decimals: []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble}[(i+form)%3]}
				if custom == "typed" {
					shape.Custom = g.taught(t, path)
				}
				s, err := For(path, shape)
				if err != nil {
					t.Fatal(err)
				}
				defer made.Delete(shapeOf(path, shape))
				cutsAsEncoded(t, s, g, lists)
			}
		})
	}
}

func cutsAsEncoded(t *testing.T, s *Schema, g rowMaker, lists []string) {
	t.Helper()
	split, sp := mustSplit(t, s, false)
	both, whole := mustSplit(t, s, true)
	if len(split.Lists) != len(lists) || both.Row != s {
		t.Fatalf("%d lists of %d", len(split.Lists), len(lists))
	}
	for range 3 {
		row, lines := g.withLines(t, s, lists)
		value := encoded(t, s, row)
		if err := errors.Join(sp.Split(41, value), whole.Split(41, value)); err != nil {
			t.Fatalf("%v\n%s", err, row)
		}
		if !bytes.Equal(whole.Row(), value) || len(whole.Lines()) != len(sp.Lines()) {
			t.Fatal("where lists stay in the row, it is not what it was")
		}
		without := row
		for _, l := range lists {
			without = cutMember(t, without, l)
		}
		if want := encoded(t, split.Row, without); !bytes.Equal(sp.Row(), want) {
			t.Fatalf("the row is %x, want %x\n%s", sp.Row(), want, row)
		}
		if len(sp.Lines()) != len(lines) {
			t.Fatalf("%d lines, want %d\n%s", len(sp.Lines()), len(lines), row)
		}
		for i, line := range sp.Lines() {
			of := split.Lists[line.List]
			want := encoded(t, of.Schema, `{"=parent_id":41,`+lines[i].text[1:])
			if of.Coupa != lines[i].list || line.ID != lines[i].id || !bytes.Equal(line.Value, want) {
				t.Fatalf("line %d of %s is\n%x, want\n%x\n%s", line.ID, of.Coupa, line.Value, want, lines[i].text)
			}
		}
	}
}

type madeLine struct {
	list, text string
	id         int64
}

// withLines makes a row of a schema whose lists hold lines with ids.
func (g rowMaker) withLines(t *testing.T, s *Schema, lists []string) (row string, lines []madeLine) {
	t.Helper()
	row = g.row(t, s.path)
	for _, l := range lists {
		row = cutMember(t, row, l)
	}
	plain, err := For(s.path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	split, _ := mustSplit(t, plain, true)
	var members []string
	for _, l := range split.Lists {
		var all []string
		of := newReader(t, l.Schema.JSON()).schema
		for id := range int64(g.IntN(4)) {
			text := g.object(of, 3)
			text = cutMember(t, cutMember(t, text, "id"), "=parent_id")
			text = cutMember(t, text, "parent-id")
			text = fmt.Sprintf(`{"id":%d,`, 7+3*id) + text[1:]
			text = strings.Replace(text, ",}", "}", 1)
			all = append(all, text)
			lines = append(lines, madeLine{l.Coupa, text, 7 + 3*id})
		}
		members = append(members, `"`+l.Coupa+`":[`+strings.Join(all, ",")+`]`)
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(append(members, row[1:]), ","), lines
}

// cutMember takes a member, under any spelling, out of an object.
func cutMember(t *testing.T, object, key string) string {
	t.Helper()
	var c rowtext.Cursor
	var members []string
	c.Open([]byte(object))
	err := c.Object(func(name []byte, at int) error {
		cut := strings.ReplaceAll(string(name), "_", "-") == strings.ReplaceAll(key, "_", "-")
		_, err := c.Skip()
		if !cut {
			members = append(members, string(c.Since(at)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func digestsOf(t *testing.T, s *Schema, row string) []uint64 {
	t.Helper()
	_, sp := mustSplit(t, s, false)
	if err := sp.Split(1, encoded(t, s, row)); err != nil {
		t.Fatal(err)
	}
	var all []uint64
	for _, l := range sp.Lines() {
		all = append(all, l.Digest)
	}
	return all
}

func TestTheDigestOfALineIsThatOfItsContent(t *testing.T) {
	t.Parallel()
	plain := customSchema(t, nil)
	line := func(text string) string { return `{"id":1,"invoice-lines":[` + text + `]}` }
	base := digestsOf(t, plain, line(`{"id":7,"description":"a","price":"1.5","custom-fields":{"x":{"p":1,"q":[1,2]},"y":2},"odd":{"m":[{"u":1,"v":2}],"n":null}}`))
	if want := uint64(0x429bd379cc9a84a2); base[0] != want {
		t.Errorf("digest %#x, want %#x: with another, every line goes out again when its row changes", base[0], want)
	}
	same := []string{
		`{"odd":{"n":null,"m":[{"v":2, "u":1}]},"custom-fields":{"y":2,"x":{"q":[1, 2],"p":1}},"price":"1.5","description":"a","id":7}`,
		`{"id":7,"description":"a","price":"1.50","quantity":null,"custom-fields":{"x":{"p":1,"q":[1,2]},"y":2},"odd":{"m":[{"u":1,"v":2}],"n":null}}`,
	}
	for _, text := range same {
		if got := digestsOf(t, plain, line(text)); got[0] != base[0] {
			t.Errorf("%s: another digest", text)
		}
	}
	seen := map[uint64]string{base[0]: "the first"}
	for _, text := range []string{
		`{"id":8,"description":"a","price":"1.5"}`, `{"id":7,"description":"a","price":"1.5"}`, `{"id":7,"description":"b","price":"1.5"}`, `{"id":7,"description":"a"}`, `{"id":7,"description":""}`, `{"id":7}`,
		`{"id":7,"odd":[1,2]}`, `{"id":7,"odd":[2,1]}`, `{"id":7,"odd":[[1],2]}`, `{"id":7,"odd":[1,[2]]}`, `{"id":7,"odd":{"a":1,"b":2}}`, `{"id":7,"odd":{"a":2,"b":1}}`, `{"id":7,"odd":"1"}`, `{"id":7,"odd":1}`,
		`{"id":7,"odd":[]}`, `{"id":7,"odd":{}}`, `{"id":7,"even":1}`, `{"id":7,"custom-fields":{"odd":1}}`, `{"id":7,"tax-lines":[{"id":1},{"id":2}]}`, `{"id":7,"tax-lines":[{"id":2},{"id":1}]}`, `{"id":7,"tax-lines":[]}`,
	} {
		d := digestsOf(t, plain, line(text))[0]
		if before, there := seen[d]; there {
			t.Errorf("%s has the digest of %s", text, before)
		}
		seen[d] = text
	}
}

// A field that the schema gets changes the bytes of every line, and the digest of those alone that have it.
func TestTheDigestOutlivesVersionsOfTheSchema(t *testing.T) {
	t.Parallel()
	learned := func(rows ...string) *Schema {
		d := newDiscovery(t)
		for _, r := range rows {
			if err := d.Observe([]byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		return customSchema(t, d.Fields())
	}
	first := `{"id":1,"invoice-lines":[{"id":7,"custom-fields":{"a":"x","b":1}},{"id":9}]}`
	before := learned(first)
	after := learned(first, `{"id":2,"invoice-lines":[{"id":8,"custom-fields":{"a":1,"c":true},"custom-field-9":"g"}]}`)
	if a, b := digestsOf(t, before, first), digestsOf(t, after, first); !slices.Equal(a, b) {
		t.Errorf("digests %x before and %x after", a, b)
	}
	_, sp := mustSplit(t, before, false)
	_, next := mustSplit(t, after, false)
	if err := errors.Join(sp.Split(1, encoded(t, before, first)), next.Split(1, encoded(t, after, first))); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(sp.Lines()[0].Value, next.Lines()[0].Value) {
		t.Error("the bytes are the same, so that nothing was shown")
	}
}

func TestRowsWhoseLinesCannotBeToldApart(t *testing.T) {
	t.Parallel()
	s := customSchema(t, nil)
	_, sp := mustSplit(t, s, false)
	for row, want := range map[string]string{
		`{"id":1,"invoice-lines":[{"id":7},{"description":"x"}]}`:        "invoice-lines[1]",
		`{"id":1,"tax-lines":[{"id":7},{"id":5},{"id":9},{"id":7}]}`:     "tax-lines[3]",
		`{"id":1,"tax-lines":[{"id":7},{"id":7}]}`:                       "tax-lines[1]",
		`{"id":1,"invoice-lines":[{"id":-7}]}`:                           "invoice-lines[0]",
		`{"id":1,"tax-lines":[{"id":9},{"id":7},{"id":8},{"rate":"1"}]}`: "tax-lines[3]",
	} {
		err := sp.Split(1, encoded(t, s, row))
		if f, ok := errors.AsType[*rowtext.FieldError](err); !ok || f.Path != want {
			t.Errorf("%s: %v, want it at %s", row, err, want)
		}
	}
	if err := sp.Split(1, encoded(t, s, `{"id":1,"tax-lines":[{"id":9},{"id":7},{"id":8}],"invoice-lines":[{"id":9}]}`)); err != nil || len(sp.Lines()) != 4 {
		t.Errorf("lines in another order: %v", err)
	}
}

func TestAListThatIsNoneIsUnread(t *testing.T) {
	t.Parallel()
	s := customSchema(t, nil)
	split, sp := mustSplit(t, s, false)
	at := slices.IndexFunc(split.Lists, func(l List) bool { return l.Coupa == "tax-lines" })
	for row, want := range map[string]bool{
		`{"id":1,"tax-lines":[{"id":7},"x"]}`: true, `{"id":1,"tax-lines":"x"}`: true, `{"id":1,"tax_lines":5}`: true,
		`{"id":1,"tax-lines":[]}`: false, `{"id":1}`: false, `{"id":1,"tax-lines":null,"x":1}`: false, `{"id":1,"tax-lines":[{"id":7}],"tax_lines":5}`: false,
	} {
		if err := sp.Split(1, encoded(t, s, row)); err != nil || sp.Unread(at) != want {
			t.Errorf("%s: unread %t %v, want %t", row, sp.Unread(at), err, want)
		}
	}
}

// No field of Coupa's has the name of the parent's id, in any
// line of any object, and a custom field of that name gives way.
func TestNoFieldOfALineIsNamedLikeTheParents(t *testing.T) {
	t.Parallel()
	for _, path := range Objects() {
		s, err := For(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		split, err := s.Split(false)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, l := range split.Lists {
			for i, f := range l.Schema.row.Fields {
				if (f.Name == ParentField) != (i == 0) {
					t.Errorf("%s: field %d is %s", l.Schema.Name(), i, f.Name)
				}
			}
			if _, err := l.Schema.JSONSchema(); err != nil {
				t.Error(err)
			}
		}
	}
	d := newDiscovery(t)
	row := `{"id":1,"invoice-lines":[{"id":7,"custom-fields":{"parent-id":"x"},"parent-id":"g"}]}`
	if err := d.Observe([]byte(row)); err != nil {
		t.Fatal(err)
	}
	s := customSchema(t, d.Fields())
	split, sp := mustSplit(t, s, false)
	if err := sp.Split(41, encoded(t, s, row)); err != nil {
		t.Fatal(err)
	}
	line := split.Lists[sp.Lines()[0].List]
	plan, err := line.Schema.Plan()
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.AppendJSON(nil, sp.Lines()[0].Value)
	if want := `{"parent_id":41,"id":7,"custom_fields":{"parent_id":"x"},"parent_id__2":"g"}`; err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

// Custom fields that lines have are read back from the schema of the lines.
func TestCustomFieldsOfLinesAreReadBack(t *testing.T) {
	t.Parallel()
	d := newDiscovery(t)
	for _, row := range []string{`{"id":1,"custom-fields":{"h":{"id":1}},"invoice-lines":[{"id":7,"custom-fields":{"a":{"id":1},"b":1},"custom-field-9":"g"}]}`} {
		if err := d.Observe([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	s := customSchema(t, d.Fields())
	split, _ := mustSplit(t, s, false)
	read := new(custom.Fields)
	for _, text := range []string{split.Row.JSON(), split.Lists[0].Schema.JSON()} {
		c, typed, err := custom.FromSchema(text)
		if err != nil || !typed {
			t.Fatal(typed, err)
		}
		read = read.Evolve(c)
	}
	if read.Hash() != d.Fields().Hash() {
		t.Errorf("read %s, want %s", mustMarshal(t, read), mustMarshal(t, d.Fields()))
	}
}

// What one of the lines' subjects holds widens the lines within the row, so that what is cut out fits it.
func TestARowIsWidenedByItsLines(t *testing.T) {
	t.Parallel()
	s := customSchema(t, nil)
	split, _ := mustSplit(t, s, false)
	registered := strings.Replace(split.Lists[0].Schema.JSON(), `{"name":"description","type":["null","string"]`,
		`{"name":"legacy","type":["null","long"],"default":null},{"name":"description","type":["null","int"]`, 1)
	if registered == split.Lists[0].Schema.JSON() {
		t.Fatal("nothing was replaced")
	}
	wide, err := s.WidenLines(split.Lists[0], registered)
	if err != nil {
		t.Fatal(err)
	}
	next, sp := mustSplit(t, wide, false)
	var legacy, description string
	for _, f := range next.Lists[0].Schema.row.Fields {
		switch f.Name {
		case "legacy":
			legacy = mustMarshal(t, f.Type)
		case "description":
			description = mustMarshal(t, f.Type)
		}
	}
	if legacy != `["null","long"]` || description != `["null","int","string"]` {
		t.Errorf("legacy %s, description %s", legacy, description)
	}
	if next.Row.JSON() != split.Row.JSON() {
		t.Error("the rows' own schema has changed")
	}
	if err := sp.Split(1, encoded(t, wide, `{"id":1,"invoice-lines":[{"id":7,"description":"x"}]}`)); err != nil || len(sp.Lines()) != 1 {
		t.Fatal(err)
	}
	plan, err := next.Lists[0].Schema.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := plan.AppendJSON(nil, sp.Lines()[0].Value); err != nil || string(got) != `{"parent_id":1,"id":7,"description":"x"}` {
		t.Errorf("%s %v", got, err)
	}
}

func BenchmarkSplit(b *testing.B) {
	s, err := For("invoices", Options{})
	if err != nil {
		b.Fatal(err)
	}
	_, sp := mustSplit(b, s, false)
	for _, name := range benchRows {
		value := encoded(b, s, string(readTestdata(b, name)))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				if err := sp.Split(1, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
