package schemas

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas/custom"
	"github.com/coupastream/coupastream/schemas/rowtext"
)

// Every object of the catalogue, with its custom fields in every form and its decimals in
// every mode: what a reader sees of random rows is what was sent (see reader.roundTrip).
func TestRowsOfEveryObjectArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	inShapes(t, []string{"map", "off", "typed"}, arrives)
}

// arrives makes rows of the shape that the schema gives them
// without options, and sends them through the shape of o.
func arrives(t *testing.T, g rowMaker, path string, o Options) {
	t.Helper()
	s, err := For(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Delete(shapeOf(path, o)) // or the test keeps all of them
	r := newReader(t, s.JSON())
	for range 3 {
		row := g.row(t, path)
		if err := r.roundTrip([]byte(row)); err != nil {
			t.Fatalf("decimals %s, unmapped %s, custom fields %t as %s: %v\n%s", o.Decimals, o.Unmapped, !o.WithoutCustomFields, mustMarshal(t, o.Custom), err, row)
		}
	}
}

func TestDecimalsOfTwoWordsAreThoseOfBigIntegers(t *testing.T) {
	t.Parallel()
	e := (&Plan{}).Encoder()
	g := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		text := strings.TrimRight(fmt.Sprint(g.Uint64()>>g.IntN(64)), "0") + "1"
		d, _ := rowtext.ParseDecimal([]byte(text[max(0, len(text)-19):]))
		d.Negative, d = g.IntN(2) == 0, d.Significant()
		shift := g.IntN(38 - d.Digits() + 1)
		got, v, err := e.appendDecimal(nil, d, 38, shift)
		if want := appendBig(nil, d, shift); v != stored || err != nil || string(got) != string(want) {
			t.Fatalf("%s × 10^%d, negative %t: %x, want %x", text, shift, d.Negative, got, want)
		}
	}
}

// rowMaker makes rows as JSON text. They hold what Coupa might ever send, and no text
// that a declared number, boolean or time cannot be read from: that is an error.
type rowMaker struct {
	*rand.Rand
	custom bool // records have custom fields
}

func (g rowMaker) one(n int) bool { return g.IntN(n) == 0 }

func (g rowMaker) pick(texts ...string) string { return texts[g.IntN(len(texts))] }

// row makes a row of an object of the catalogue.
func (g rowMaker) row(t testing.TB, path string) string {
	t.Helper()
	s, err := For(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, known := ofRows.Load(path)
	if !known {
		if parsed, err = avro.ParseWithCache(s.JSON(), "", &avro.SchemaCache{}); err != nil {
			t.Fatal(err)
		}
		ofRows.Store(path, parsed)
	}
	return g.object(parsed.(*avro.RecordSchema), 2+g.IntN(12))
}

var ofRows sync.Map // path → its schema, parsed

// taught is what a few rows tell of their custom fields.
func (g rowMaker) taught(t testing.TB, path string) *custom.Fields {
	t.Helper()
	d, err := NewDiscovery(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 23 {
		row := `{"id":1,"custom-fields":` + g.customMembers(12) + `}`
		if i < 3 {
			row = g.row(t, path)
		}
		if err := d.Observe([]byte(row)); err != nil {
			t.Fatal(err)
		}
	}
	return d.Fields()
}

// object makes an object of which one field in sparse has no value.
func (g rowMaker) object(s *avro.RecordSchema, sparse int) string {
	var members []string
	for _, f := range s.Fields() {
		key, named := f.Prop(propName).(string)
		_, optional := f.Type().(*avro.UnionSchema)
		switch {
		case !named:
		case !optional:
			members = append(members, g.member(key, fmt.Sprint(g.Int64())))
		case sparse > 4 && !g.one(sparse-3) || g.one(3):
			if g.one(4) {
				members = append(members, g.member(key, "null"))
			}
		default:
			members = append(members, g.sent(key, g.value(f, sparse+2))...)
		}
	}
	for range g.IntN(3) {
		members = append(members, g.member(g.unknown(), g.anything(3)))
	}
	if g.one(2) {
		g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	if g.one(3) && len(members) > 0 { // a first value that does not count
		key, _, _ := strings.Cut(members[len(members)-1], ":")
		members = append([]string{key + ":" + g.pick("null", "7")}, members...)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// sent gives a value under its key, the underscored twin of that, or both.
func (g rowMaker) sent(key, value string) []string {
	twin := strings.ReplaceAll(key, "-", "_")
	switch g.IntN(20) {
	case 0:
		return []string{g.member(twin, value)}
	case 1:
		return []string{g.member(twin, value), g.member(key, value)}
	}
	return []string{g.member(key, value)}
}

// unknown is a key that no field has, or that only resembles one's.
func (g rowMaker) unknown() string {
	return g.pick("novel", "new-0", "new_0", "unmapped", "custom_fields-1", "custom-field-8", "Id", "id-", "größe", "", " ", `a\"b`, `\u0000`, `\ud83d\ude80`, `\ud800`)
}

// member joins a key, at times with an escape, and a value, at times with white space.
func (g rowMaker) member(key, value string) string {
	if g.one(10) {
		key = strings.Replace(key, "-", `\u002d`, 1)
	}
	space := strings.Repeat(" \n\t\r", g.IntN(2))
	return space + `"` + key + `"` + space + ":" + space + value + space
}

// value makes a value of a field, and now and then of quite another type.
func (g rowMaker) value(f *avro.Field, sparse int) string {
	s, _ := branchOf(f.Type(), nil)
	switch {
	case f.Prop(propRole) == roleCustomFields && !g.custom:
		return g.pick("null", "{}")
	case f.Prop(propRole) == roleCustomFields:
		return g.customMembers(12)
	case g.one(15) && s.Type() == avro.String:
		return g.anything(2)
	case g.one(15):
		return g.pick(`{"x": [1, {}]}`, `[[], {"x":1}]`, `""`, `{}`)
	case f.Prop(propType) == typeText && g.one(4):
		return g.text()
	}
	return g.typed(s, sparse)
}

func (g rowMaker) typed(s avro.Schema, sparse int) string {
	switch s := s.(type) {
	case *avro.RecordSchema:
		if g.one(6) {
			return g.pick(`""`, `[]`, `[ ]`, `{}`, `{ "id" : null }`, `null`, `7`, `"text"`, `[{"id":1}]`)
		}
		return g.object(s, sparse)
	case *avro.ArraySchema:
		return g.list(s, sparse)
	}
	return g.scalar(s.(*avro.PrimitiveSchema))
}

func (g rowMaker) list(s *avro.ArraySchema, sparse int) string {
	items, _ := branchOf(s.Items(), nil)
	if ref, ok := s.Items().(*avro.RefSchema); ok {
		items = ref.Schema()
	}
	if g.one(8) { // a lone object
		return g.object(items.(*avro.RecordSchema), sparse)
	}
	var elements []string
	for range g.IntN(4) {
		element := g.pick("null", `""`, "[]", "{}")
		if !g.one(4) {
			element = g.object(items.(*avro.RecordSchema), sparse)
		}
		elements = append(elements, element)
	}
	if g.one(15) {
		elements = append(elements, g.pick("7", `"text"`, "true"))
	}
	return "[" + strings.Join(elements, " , ") + "]"
}

func (g rowMaker) scalar(s *avro.PrimitiveSchema) string {
	if _, ok := s.Logical().(*avro.DecimalLogicalSchema); ok {
		return g.number()
	}
	switch {
	case s.Type() == avro.Int: // a date
		day := time.Date(g.IntN(9999), time.January, 1+g.IntN(365), g.IntN(24), 0, 0, 0, time.FixedZone("", 60*g.IntN(600)))
		return g.pick(day.Format(`"2006-01-02"`), day.Format(`"2006-01-02T15:04:05Z07:00"`), day.Format(`"2006-01-02T15:04:05"`), fmt.Sprint(g.IntN(99999)))
	case s.Logical() != nil:
		at := time.UnixMilli(g.Int64N(4e12) - 2e12).Add(time.Duration(g.IntN(1e6))).In(time.FixedZone("", 60*(g.IntN(1400)-700)))
		return g.pick(at.Format(`"2006-01-02T15:04:05.999Z07:00"`), at.Format(`"2006-01-02T15:04:05.999999999Z07:00"`), at.Format(`"2006-01-02T15:04:05Z07:00"`),
			at.Format(`"2006-01-02t15:04:05-0700"`), at.Format(`"2006-01-02 15:04:05-0700"`), at.Format(`"2006-01-02"`), fmt.Sprint(at.Unix()),
			`"9999-12-31`+at.Format(`T15:04:05Z07:00"`), `"0001-01-01`+at.Format(`T15:04:05Z07:00"`))
	case s.Type() == avro.Long:
		n := g.Int64() >> g.IntN(64) * int64(1-2*g.IntN(2))
		return g.pick(fmt.Sprint(n), fmt.Sprint(n), fmt.Sprintf(`"%d"`, n), fmt.Sprintf(`%d.0`, n), `9223372036854775807`, `-9223372036854775808`,
			`9223372036854775808`, `-9223372036854775809`, `1e3`, `"-0"`, g.number())
	case s.Type() == avro.Boolean:
		return g.pick("true", "false", `"true"`, `"false"`, "0", "1", `"1"`, "2", "1.0")
	}
	return g.text()
}

// number makes a decimal of any size and scale, at times with an exponent, at times as text.
func (g rowMaker) number() string {
	digits := new(big.Int)
	for range 1 + g.IntN(4) {
		digits.Lsh(digits, uint(g.IntN(40))).Add(digits, big.NewInt(g.Int64N(1000)))
	}
	text := g.pick("", "-") + digits.String()
	if n := g.IntN(22); n > 0 {
		text += "." + fmt.Sprintf("%0*d", n, g.IntN(1000)) + strings.Repeat("0", g.IntN(4))
	}
	text += g.pick("", "", "", "", "e2", "E+1", "e-2", "e-30", "e400", "E0")
	return g.pick(text, `"`+text+`"`, `"`+text+`"`, `"0`+strings.TrimPrefix(text, "-")+`"`, `"+`+strings.TrimPrefix(text, "-")+`"`, `".5"`, `"5."`, "-0.0", `"-0"`)
}

// text makes a JSON text: plain, escaped, with halves of surrogates and bytes that are no UTF-8.
func (g rowMaker) text() string {
	var b strings.Builder
	for range g.IntN(8) {
		b.WriteString(g.pick("a", "1", " ", `\"`, `\\`, "/", `\/`, `\n`, `\b\f\r\t`, `\u0001`, `\u0000`, "\x7f", "é", "€", "🚀", "<&", "\u2028", "\u00a0", `\u00e9`,
			`\uD83D\uDE80`, `\ud83d`, `\uDE80`, `\ud83d\u0061`, "\xff", "\xe2\x82"))
	}
	return `"` + b.String() + `"`
}

// anything makes JSON of no type in particular, now and then of many objects and lists in one another.
func (g rowMaker) anything(depth int) string {
	if depth == 0 {
		return g.text()
	}
	inner := g.anything(depth - 1)
	if g.one(40) {
		return strings.Repeat(`{"a":[`, 20) + g.text() + strings.Repeat(`]}`, 20)
	}
	return g.pick(g.text(), g.number(), `null`, `""`, `-1.5e+10`, `true`, `{"a":`+inner+`,"b":null}`, `[`+inner+`, 2]`, `[]`, `{}`)
}
