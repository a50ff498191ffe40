package schemas

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
)

// Random rows are made together with what a reader must see: from the rules, with big.Rat and package time where the encoder
// has its own arithmetic.
func TestRandomRowsAreReadAsTheyWereMeant(t *testing.T) {
	avsc := string(readTestdata(t, "invoice.avsc"))
	schema, err := avro.ParseWithCache(avsc, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	e := mustCompile(t, avsc)
	for seed := range uint64(150) {
		g := rowMaker{rand.New(rand.NewPCG(seed, 1))}
		row, want := g.object(schema.(*avro.RecordSchema), true)
		got, err := e.Append(nil, []byte(row))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, row)
		}
		if got := decode(t, avsc, got); got != show(want) {
			t.Fatalf("seed %d: decoded\n%s\nwant\n%s\nof\n%s", seed, got, show(want), row)
		}
	}
}

func TestDecimalsOfTwoWordsAreThoseOfBigIntegers(t *testing.T) {
	e := (&Plan{}).Encoder()
	g := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		text := strings.TrimRight(fmt.Sprint(g.Uint64()>>g.IntN(64)), "0") + "1"
		d, _ := parseDecimal([]byte(text[max(0, len(text)-19):]))
		d.negative, d = g.IntN(2) == 0, d.significant()
		shift := g.IntN(38 - d.digits() + 1)
		got, v, err := e.appendDecimal(nil, d, 38, shift)
		if want := appendBig(nil, d, shift); v != stored || err != nil || string(got) != string(want) {
			t.Fatalf("%s × 10^%d, negative %t: %x, want %x", text, shift, d.negative, got, want)
		}
	}
}

// rowMaker makes JSON and the value that it stands for.
type rowMaker struct{ *rand.Rand }

func (g rowMaker) one(n int) bool { return g.IntN(n) == 0 }

// object makes an object and its record, nil where it holds nothing.
func (g rowMaker) object(s *avro.RecordSchema, withID bool) (string, any) {
	members, want, kept := []string{}, map[string]any{}, map[string]any{}
	filled := false
	for _, f := range s.Fields() {
		key, _ := f.Prop(propName).(string)
		union, optional := f.Type().(*avro.UnionSchema)
		switch {
		case f.Prop(propRole) == roleUnmapped:
		case !optional:
			id := g.Int64()
			members = append(members, g.member(key, fmt.Sprint(id)))
			want[f.Name()], filled = id, true
		case g.one(3): // absent or null
			if g.one(2) {
				members = append(members, g.member(key, "null"))
			}
		default:
			text, v, fits := g.value(union.Types()[1])
			if !fits {
				kept[key] = text
			}
			members = append(members, g.member(key, text))
			want[f.Name()] = v
			filled = filled || v != nil || !fits
		}
	}
	for i := range g.IntN(3) {
		text := g.anything(3)
		members = append(members, g.member(fmt.Sprint("new-", i), text))
		if text != "null" {
			kept[fmt.Sprint("new-", i)] = text
		}
	}
	if len(kept) > 0 {
		want["unmapped"], filled = kept, true
	}
	if g.one(2) {
		g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	if g.one(3) && len(members) > 0 { // a first value that does not count
		key, _, _ := strings.Cut(members[len(members)-1], ":")
		decoy := g.pick("null", `{"x":"y"}`)
		if strings.Contains(key, `"id"`) {
			decoy = "7"
		}
		members = append([]string{key + ":" + decoy}, members...)
	}
	text := "{" + strings.Join(members, ",") + "}"
	if !filled && !withID {
		return text, nil
	}
	return text, want
}

// member joins a key, at times with an escape, and a value, at times with white space.
func (g rowMaker) member(key, value string) string {
	if g.one(10) {
		key = strings.Replace(key, "-", `\u002d`, 1)
	}
	space := strings.Repeat(" \n\t\r", g.IntN(2))
	return space + `"` + key + `"` + space + ":" + space + value + space
}

func (g rowMaker) value(s avro.Schema) (text string, want any, fits bool) {
	switch s := s.(type) {
	case *avro.RefSchema:
		return g.value(s.Schema())
	case *avro.RecordSchema:
		if g.one(5) {
			return g.pick(`""`, `[]`, `{}`, `null`), nil, true
		}
		text, want = g.object(s, false)
		return text, want, true
	case *avro.ArraySchema:
		return g.list(s)
	case *avro.MapSchema:
		return g.custom()
	}
	return g.scalar(s.(*avro.PrimitiveSchema))
}

func (g rowMaker) list(s *avro.ArraySchema) (string, any, bool) {
	texts, list := []string{}, []any{}
	for range g.IntN(4) {
		if g.one(5) {
			texts = append(texts, "null")
			continue
		}
		text, v, fits := g.value(s.Items())
		if !fits {
			continue
		}
		_, isRecord := s.Items().(*avro.RecordSchema)
		if v == nil && isRecord {
			if text[0] == '{' {
				v = map[string]any{}
			} else {
				text, v = `{}`, map[string]any{}
			}
		}
		texts, list = append(texts, text), append(list, v)
	}
	return "[" + strings.Join(texts, " , ") + "]", list, true
}

func (g rowMaker) custom() (string, any, bool) {
	members, want := []string{}, map[string]any{}
	for i := range g.IntN(4) {
		text, key := g.anything(2), fmt.Sprint("cf-", i)
		members = append(members, g.member(key, text))
		if text != "null" {
			want[key] = text
		}
	}
	if len(want) == 0 {
		return "{" + strings.Join(members, ",") + "}", nil, true
	}
	return "{" + strings.Join(members, ",") + "}", want, true
}

func (g rowMaker) scalar(s *avro.PrimitiveSchema) (text string, want any, fits bool) {
	if g.one(12) {
		return `{"x": [1, {}]}`, nil, false
	}
	if d, ok := s.Logical().(*avro.DecimalLogicalSchema); ok {
		return g.decimal(d)
	}
	switch {
	case s.Type() == avro.Int: // a date
		day := time.Date(g.IntN(9999), time.January, 1+g.IntN(365), 0, 0, 0, 0, time.FixedZone("", 60*g.IntN(600)))
		return g.pick(day.Format(`"2006-01-02"`), day.Format(`"2006-01-02T15:04:05Z07:00"`)), time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.UTC), true
	case s.Logical() != nil:
		at := time.UnixMilli(g.Int64N(4e12) - 2e12).In(time.FixedZone("", 60*(g.IntN(1400)-700)))
		return at.Format(`"2006-01-02T15:04:05.999Z07:00"`), at, true
	case s.Type() == avro.Long:
		n := g.Int64() >> g.IntN(64) * int64(1-2*g.IntN(2))
		return g.pick(fmt.Sprint(n), fmt.Sprintf(`"%d"`, n), fmt.Sprintf(`%d.0`, n)), n, true
	case s.Type() == avro.Double:
		f := g.NormFloat64() * 1e6
		return g.pick(fmt.Sprint(f), fmt.Sprintf(`"%g"`, f)), f, true
	case s.Type() == avro.Boolean:
		b := g.one(2)
		return g.pick(fmt.Sprint(b), fmt.Sprintf(`"%t"`, b)), b, true
	}
	return g.text()
}

func (g rowMaker) decimal(d *avro.DecimalLogicalSchema) (string, any, bool) {
	digits := new(big.Int)
	for range 1 + g.IntN(4) {
		digits.Lsh(digits, uint(g.IntN(40))).Add(digits, big.NewInt(g.Int64N(1000)))
	}
	text := g.pick("", "-", "-") + digits.String()
	if n := g.IntN(10); n > 0 {
		text += "." + fmt.Sprintf("%0*d", n, g.IntN(1000)) + strings.Repeat("0", g.IntN(4))
	}
	text += g.pick("", "", "", "e2", "E+1", "e-2")
	want, _ := new(big.Rat).SetString(text)
	text = g.pick(text, `"`+text+`"`)
	unscaled := new(big.Rat).Mul(want, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale())), nil)))
	if !unscaled.IsInt() || len(new(big.Int).Abs(unscaled.Num()).String()) > d.Precision() {
		return text, nil, false
	}
	return text, want, true
}

func (g rowMaker) text() (string, any, bool) {
	runes := make([]rune, g.IntN(8))
	for i := range runes {
		runes[i] = []rune("a\"\\/\n\x01é€🚀<&\u2028 ")[g.IntN(13)]
	}
	b, err := json.Marshal(string(runes)) // escapes <, & and U+2028 as well
	if err != nil {
		panic(err)
	}
	return string(b), string(runes), true
}

// anything makes JSON of no type in particular.
func (g rowMaker) anything(depth int) string {
	text, _, _ := g.text()
	if depth == 0 {
		return text
	}
	inner := g.anything(depth - 1)
	return g.pick(text, `null`, `-1.5e+10`, `true`, `{"a":`+inner+`,"b":null}`, `[`+inner+`, 2]`)
}

func (g rowMaker) pick(texts ...string) string { return texts[g.IntN(len(texts))] }
