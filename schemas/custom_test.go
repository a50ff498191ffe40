package schemas

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas/custom"
)

// discovered is what rows with these custom fields of an invoice teach.
func discovered(t testing.TB, members ...string) *custom.Fields {
	t.Helper()
	d := newDiscovery(t)
	for _, c := range members {
		if err := d.Observe([]byte(`{"id":1,"custom-fields":` + c + `}`)); err != nil {
			t.Fatal(err)
		}
	}
	return d.Fields()
}

func newDiscovery(t testing.TB) *custom.Discovery {
	t.Helper()
	d, err := NewDiscovery("invoices")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func customSchema(t testing.TB, c *custom.Fields) *Schema {
	t.Helper()
	s, err := For("invoices", Options{Custom: c})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustMarshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWorkersThatSeeTheSameRowsMakeTheSameSchema(t *testing.T) {
	t.Parallel()
	for seed := range uint64(histories(t, 4, 15)) {
		g := rowMaker{Rand: rand.New(rand.NewPCG(seed, 7))}
		rows := make([]string, 30)
		for i := range rows {
			rows[i] = g.customRow(40)
		}
		one, other := newDiscovery(t), newDiscovery(t)
		observe := func(d *custom.Discovery, row string) {
			if err := d.Observe([]byte(row)); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range rows {
			observe(one, row)
		}
		g.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for i, row := range rows {
			observe(other, row)
			observe(other, rows[g.IntN(i+1)]) // again
		}
		x, y := customSchema(t, one.Fields()), customSchema(t, other.Fields())
		if x != y {
			t.Fatalf("seed %d: two schemas\n%s\n%s", seed, x.JSON(), y.JSON())
		}
	}
}

// customRow makes an invoice with custom fields, of up to n names, on the header and a line.
func (g rowMaker) customRow(n int) string {
	return fmt.Sprintf(`{"id":1,"custom-fields":%s,"invoice-lines":[{"id":2,"custom-fields":%s}]}`, g.customMembers(n), g.customMembers(n))
}

// customMembers makes custom fields; most members have values of one type, by their name.
func (g rowMaker) customMembers(n int) string {
	var members []string
	for _, i := range g.Perm(n)[:g.IntN(n+1)] {
		kind := i % 8
		if g.one(6) {
			kind = g.IntN(9)
		}
		name := fmt.Sprintf(g.pick("cf-%d", "cf_%d", "cf %d"), i)
		members = append(members, g.member(name, g.customValue(kind)))
	}
	if i := len(members); i > 0 && g.one(4) {
		members = append(members, `"unmapped":`+g.customValue(0), `"cf-0?":true`)
	}
	if len(members) == 0 {
		return g.pick(`{}`, `null`, `""`)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g rowMaker) customValue(kind int) string {
	text := g.text()
	switch kind {
	case 0:
		return text
	case 1:
		return g.pick("true", "false")
	case 2:
		return fmt.Sprint(g.Int64() >> g.IntN(64))
	case 3:
		return g.pick(`"12.50"`, `-0.5`, `12`, `"7"`, `"007"`, `1e3`, `"0.0000000001"`, `"-0.00"`, fmt.Sprintf(`"%d.%d"`, g.Int64(), g.IntN(1000)))
	case 4:
		return g.pick(`"2024-04-01T12:30:59+03:00"`, `"1969-12-31T23:59:59.5Z"`, `"2024-04-01"`, `"2024-04-01T00:00:60Z"`)
	case 5:
		return `{"id":` + g.pick("5", `"x"`, "null") + `,"active":` + g.pick("true", `"maybe"`) + `,"name":` + text + `,"external-ref-num":` + g.anything(1) + `,"lookup":` + g.anything(2) + `}`
	case 6:
		return "[" + g.customValue(2) + ",null," + g.customValue(2) + "]"
	case 7:
		return "[" + g.customValue(5) + "]"
	}
	return g.pick("null", `""`, "[]", "{}", g.anything(2))
}

func TestTypedCustomFieldsAreReadAsTheyWereSent(t *testing.T) {
	t.Parallel()
	for _, mode := range []DecimalMode{DecimalPrecise, DecimalString} {
		for seed := range uint64(histories(t, 4, 12)) {
			g := rowMaker{Rand: rand.New(rand.NewPCG(seed, 3))}
			d, known := newDiscovery(t), new(custom.Fields)
			var rows []string
			for i := range 12 {
				rows = append(rows, g.customRow(24))
				if i < 8 { // later rows have what the schema does not know
					if err := d.Observe([]byte(rows[i])); err != nil {
						t.Fatal(err)
					}
				}
				if i%3 == 2 {
					known = known.Evolve(d.Fields())
				}
			}
			s, err := For("invoices", Options{Decimals: mode, Custom: known})
			if err != nil {
				t.Fatal(err)
			}
			r := newReader(t, s.JSON())
			for _, row := range rows {
				if err := r.roundTrip([]byte(row)); err != nil {
					t.Fatalf("seed %d, %s: %v\nof %s\nas %s", seed, mode, err, row, mustMarshal(t, known))
				}
			}
		}
	}
}

func TestWhatAFieldDoesNotHoldExactlyGoesToUnmapped(t *testing.T) {
	t.Parallel()
	known := discovered(t, `{"n":1,"d":1.5,"b":true,"at":"2024-04-01T00:00:00Z","l":{"id":1},"ns":[1],"end":"9999-12-31T23:59:59-08:00"}`)
	p, err := customSchema(t, known).Plan()
	if err != nil {
		t.Fatal(err)
	}
	row := `{"id":1,"custom-fields":{"n":"012","d":"1e3","b":"yes","at":"2024-04-01","l":"x","ns":[1,"a"],"new":{"x":[]},"end":"9999-12-31T23:59:59-08:00"}}`
	b, err := p.Encoder().Append(nil, []byte(row))
	if err != nil {
		t.Fatal(err)
	}
	want := `custom_fields:{unmapped:{at:"\"2024-04-01\"" b:"\"yes\"" d:"\"1e3\"" end:"\"9999-12-31T23:59:59-08:00\"" l:"\"x\"" n:"\"012\"" new:"{\"x\":[]}" ns:"[1,\"a\"]"}}`
	if got := decode(t, customSchema(t, known).JSON(), b); !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAReaderOfTheNextSchemaReadsTheLast(t *testing.T) {
	t.Parallel()
	for _, mode := range []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble} {
		for seed := range uint64(histories(t, 25, 4)) {
			g := rowMaker{Rand: rand.New(rand.NewPCG(seed, 11))}
			known := new(custom.Fields)
			var last avro.Schema
			for range 4 {
				d := newDiscovery(t)
				for range 5 {
					if err := d.Observe([]byte(g.customRow(16))); err != nil {
						t.Fatal(err)
					}
				}
				known = known.Evolve(d.Fields())
				s, err := For("invoices", Options{Decimals: mode, Custom: known})
				if err != nil {
					t.Fatal(err)
				}
				next, err := avro.ParseWithCache(s.JSON(), "", &avro.SchemaCache{})
				if err != nil {
					t.Fatal(err)
				}
				if last != nil {
					if err := avro.NewSchemaCompatibility().Compatible(next, last); err != nil {
						t.Fatalf("seed %d, %s: %v", seed, mode, err)
					}
				}
				last = next
			}
		}
	}
}

func TestTheRequestForTypedCustomFieldsIsThatForAll(t *testing.T) {
	t.Parallel()
	for _, path := range Objects() {
		plain, err := For(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		typed, err := For(path, Options{Custom: new(custom.Fields)})
		if err != nil {
			t.Fatal(err)
		}
		if typed.Fields() != plain.Fields() {
			t.Errorf("%s: %s, want %s", path, typed.Fields(), plain.Fields())
		}
		if _, err := typed.Plan(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzCustomFields: whatever the custom fields are, a row
// that Observe takes is encoded, and no member is lost.
func FuzzCustomFields(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":"12.50","c":{"id":"x","name":null,"z":[1]}}`), []byte(`{"a":"012","b":[{}],"c":[],"d":true}`))
	f.Add([]byte(`{"a":["2024-04-01T00:00:00Z",null],"b":"","unmapped":1,"x?":2,"x":3}`), []byte(`{"a":"","unmapped":{},"x_":1e400}`))
	f.Fuzz(func(t *testing.T, taught, sent []byte) {
		if !json.Valid(taught) || !json.Valid(sent) {
			return // it may end the row's object and begin anything
		}
		d := newDiscovery(t)
		rows := []string{`{"id":1,"custom-fields":` + string(taught) + `}`, `{"id":1,"custom-fields":` + string(sent) + `}`}
		if d.Observe([]byte(rows[0])) != nil {
			return
		}
		s := customSchema(t, d.Fields())
		// or the run keeps all of them
		defer made.Delete(shapeOf("invoices", Options{Custom: d.Fields()}))
		r := newReader(t, s.JSON())
		for _, row := range rows {
			if newDiscovery(t).Observe([]byte(row)) != nil {
				continue
			}
			if err := r.roundTrip([]byte(row)); err != nil {
				t.Fatalf("%v\nof %s\nas %s", err, row, mustMarshal(t, d.Fields()))
			}
		}
	})
}

func TestATypeThatNoCustomFieldHasIsRefused(t *testing.T) {
	t.Parallel()
	field := func(avroType string) string {
		return `{"name":"a","type":` + avroType + `,"coupa.custom":true}`
	}
	for _, bad := range []string{
		`"long"`, `["long","null"]`, `["null",{"type":"array","items":"long"}]`,
		`["null","long",{"type":"array","items":"long"}]`, `["null","bytes"]`,
	} {
		if _, err := Compile(recordOf("r", field(bad))); err == nil || !strings.Contains(err.Error(), "field a") {
			t.Errorf("%s: %v, want an error that names the field", bad, err)
		}
	}
	if _, err := Compile(recordOf("r", field(`["null","long","string"]`))); err != nil {
		t.Error(err)
	}
}
