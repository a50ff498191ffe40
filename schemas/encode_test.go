package schemas

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	twmb "github.com/twmb/avro"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

const unmappedField = `{"name":"unmapped","type":["null",{"type":"map","values":"string"}],"default":null,"coupa.role":"unmapped"}`

// recordOf is the schema of a record with a required id, the given fields and unmapped.
func recordOf(name string, fields ...string) string {
	all := append([]string{`{"name":"id","type":"long"}`}, fields...)
	return fmt.Sprintf(`{"type":"record","name":%q,"fields":[%s]}`, name, strings.Join(append(all, unmappedField), ","))
}

// nullable is a field of a schema that may be null.
func nullable(name, avroType string) string {
	return fmt.Sprintf(`{"name":%q,"type":["null",%s],"default":null}`, name, avroType)
}

func mustCompile(t testing.TB, avsc string) *Encoder {
	t.Helper()
	p, err := Compile(avsc)
	if err != nil {
		t.Fatal(err)
	}
	return p.Encoder()
}

// decode reads Avro with two other implementations, which must agree and leave no byte over.
func decode(t testing.TB, avsc string, b []byte) string {
	t.Helper()
	s, err := twmb.Parse(avsc)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	rest, err := s.Decode(b, &v)
	if err != nil || len(rest) > 0 {
		t.Fatalf("twmb/avro: %v, %d bytes left of %x", err, len(rest), b)
	}
	h, err := avro.ParseWithCache(avsc, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	var w any
	if err := avro.Unmarshal(h, b, &w); err != nil {
		t.Fatalf("hamba/avro: %v", err)
	}
	got, other := show(v), show(bare(h, w))
	if got != other {
		t.Fatalf("decoders differ:\ntwmb  %s\nhamba %s", got, other)
	}
	return got
}

// bare strips the {"type": value} that hamba/avro wraps a
// union's value in where it cannot tell the branch by the value.
func bare(s avro.Schema, v any) any {
	switch s := s.(type) {
	case *avro.UnionSchema:
		if m, ok := v.(map[string]any); ok && len(m) == 1 {
			for _, inner := range m {
				v = inner
			}
		}
		if v == nil {
			return nil
		}
		return bare(s.Types()[1], v)
	case *avro.RefSchema:
		return bare(s.Schema(), v)
	case *avro.ArraySchema:
		list := v.([]any)
		for i := range list {
			list[i] = bare(s.Items(), list[i])
		}
	case *avro.RecordSchema:
		m := v.(map[string]any)
		for _, f := range s.Fields() {
			m[f.Name()] = bare(f.Type(), m[f.Name()])
		}
	}
	return v
}

// show spells a decoded value, nulls of records left out.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", v)
	case *big.Rat:
		return v.RatString()
	case *big.Int:
		return v.String()
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, show(x))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case map[string]any:
		var parts []string
		for k, x := range v {
			if x != nil {
				parts = append(parts, k+":"+show(x))
			}
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, " ") + "}"
	}
	return fmt.Sprint(v)
}

func TestValuesBecomeWhatTheirTypeDeclares(t *testing.T) {
	t.Parallel()
	const (
		dec    = `{"type":"bytes","logicalType":"decimal","precision":10,"scale":4}`
		wide   = `{"type":"bytes","logicalType":"decimal","precision":60,"scale":20}`
		ts     = `{"type":"long","logicalType":"timestamp-millis"}`
		date   = `{"type":"int","logicalType":"date"}`
		record = `{"type":"record","name":"R","fields":[{"name":"name","type":["null","string"],"default":null},` + unmappedField + `]}`
		list   = `{"type":"array","items":` + record + `}`
		texts  = `{"type":"array","items":"string"}`
		longs  = `{"type":"array","items":["null","long"]}`
	)
	kept := func(value string) string { return fmt.Sprintf("unmapped:{a:%q}", value) }
	tests := []struct {
		name, avroType, value string
		want                  string // the decoded record beside its id; "error" where the row is refused
	}{
		{"a text stays as it is", `"string"`, `"Zürich 🚀"`, `a:"Zürich 🚀"`},
		{"an empty text stays empty", `"string"`, `""`, `a:""`},
		{"escapes are read", `"string"`, `"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude80"`, `a:"a\"\\/\b\f\n\r\té🚀"`},
		{"a lone surrogate becomes U+FFFD", `"string"`, `"\ud83dx\ude80"`, `a:"�x�"`},
		{"two high surrogates and a low one keep the pair", `"string"`, `"\ud83d\ud83d\ude80"`, `a:"�🚀"`},
		{"bytes that are not UTF-8 become U+FFFD", `"string"`, "\"a\xffb\"", `a:"a�b"`},
		{"a number becomes its text", `"string"`, `1.50e+3`, `a:"1.50e+3"`},
		{"a boolean becomes its text", `"string"`, `true`, `a:"true"`},
		{"null is null", `"string"`, `null`, ``},
		{"an object for a text is kept", `"string"`, `{"x": [1]}`, kept(`{"x": [1]}`)},
		{"a list for a text is kept", `"string"`, `[]`, kept(`[]`)},
		{"kept text is repaired to UTF-8", `"string"`, "[\"\xff\"]", kept("[\"\uFFFD\"]")},

		{"an integer", `"long"`, `-776`, `a:-776`},
		{"an integer in a text", `"long"`, `"776"`, `a:776`},
		{"an empty text for an integer is null", `"long"`, `""`, ``},
		{"a whole number with a fraction of zeros", `"long"`, `1.00`, `a:1`},
		{"a whole number with an exponent", `"long"`, `"12.5e1"`, `a:125`},
		{"the largest integer", `"long"`, `9223372036854775807`, `a:9223372036854775807`},
		{"the smallest integer", `"long"`, `-9223372036854775808`, `a:-9223372036854775808`},
		{"one beyond the largest integer is kept", `"long"`, `9223372036854775808`, kept(`9223372036854775808`)},
		{"a huge exponent is kept", `"long"`, `1e99999999999999999999`, kept(`1e99999999999999999999`)},
		{"zero with a huge exponent is zero", `"long"`, `0e99999999999999999999`, `a:0`},
		{"a fraction for an integer is kept", `"long"`, `"1.5"`, kept(`"1.5"`)},
		{"a boolean for an integer is kept", `"long"`, `false`, kept(`false`)},
		{"a word for an integer is an error", `"long"`, `"many"`, `error`},
		{"a blank for an integer is an error", `"long"`, `" "`, `error`},
		{"an int beyond 32 bits is kept", `"int"`, `2147483648`, kept(`2147483648`)},

		{"true", `"boolean"`, `true`, `a:true`},
		{"0 is false", `"boolean"`, `0`, `a:false`},
		{"1 in a text is true", `"boolean"`, `"1"`, `a:true`},
		{"false in a text", `"boolean"`, `"false"`, `a:false`},
		{"an empty text for a boolean is null", `"boolean"`, `""`, ``},
		{"2 for a boolean is kept", `"boolean"`, `2`, kept(`2`)},
		{"another word for a boolean is an error", `"boolean"`, `"perhaps"`, `error`},

		{"a double", `"double"`, `0.1`, `a:0.1`},
		{"a double in a text", `"double"`, `"-2.50"`, `a:-2.5`},
		{"an empty text for a double is null", `"double"`, `""`, ``},
		{"a number beyond any double is kept", `"double"`, `1e400`, kept(`1e400`)},
		{"NaN is no number", `"double"`, `"NaN"`, `error`},
		{"hexadecimal is no number", `"double"`, `"0x10"`, `error`},

		{"a decimal in a text", dec, `"567.07"`, `a:56707/100`},
		{"a decimal as a number", dec, `-0.0001`, `a:-1/10000`},
		{"zeros in front and behind don't count", dec, `"+000123456.12340000"`, `a:617280617/5000`},
		{"a decimal with an exponent", dec, `"1.5E+3"`, `a:1500`},
		{"a negative exponent", dec, `"15e-4"`, `a:3/2000`},
		{"zero", dec, `"0.000000000000"`, `a:0`},
		{"negative zero", dec, `"-0"`, `a:0`},
		{"an empty text for a decimal is null", dec, `""`, ``},
		{"more fraction digits than the scale are kept, unrounded", dec, `"0.00001"`, kept(`"0.00001"`)},
		{"more digits than the precision are kept", dec, `"1234567"`, kept(`"1234567"`)},
		{"the most digits that fit", dec, `"999999.9999"`, `a:9999999999/10000`},
		{"40 whole digits take the slow path", wide, `"-9999999999999999999999999999999999999999.5"`, `a:-19999999999999999999999999999999999999999/2`},
		{"a whole number at a large scale", wide, `"-100"`, `a:-100`},
		{"a comma is no decimal point", dec, `"1,50"`, `error`},
		{"a point alone is no number", dec, `"."`, `error`},
		{"an exponent without digits is no number", dec, `"1e"`, `error`},
		{"a list for a decimal is kept", dec, `[1]`, kept(`[1]`)},

		{"an instant with an offset", ts, `"2024-04-01T02:16:48+03:00"`, `a:2024-03-31T23:16:48Z`},
		{"an instant in UTC", ts, `"2024-02-29T23:59:59Z"`, `a:2024-02-29T23:59:59Z`},
		{"an instant with a fraction is floored", ts, `"1969-12-31T23:59:59.99999-00:30"`, `a:1970-01-01T00:29:59.999Z`},
		{"an offset without a colon", ts, `"2024-04-01 02:16:48+0530"`, `a:2024-03-31T20:46:48Z`},
		{"a bare date is midnight in UTC", ts, `"2024-04-01"`, `a:2024-04-01T00:00:00Z`},
		{"a leap second is the next second", ts, `"2016-12-31T23:59:60Z"`, `a:2017-01-01T00:00:00Z`},
		{"the first instant of the year 1", ts, `"0001-01-01T14:00:00+14:00"`, `a:0001-01-01T00:00:00Z`},
		{"an instant before the year 1 in UTC is kept", ts, `"0001-01-01T00:00:00+14:00"`, kept(`"0001-01-01T00:00:00+14:00"`)},
		{"an instant of the year 0 is kept", ts, `"0000-01-01T00:00:00Z"`, kept(`"0000-01-01T00:00:00Z"`)},
		{"the last instant of the year 9999", ts, `"9999-12-31T15:59:59.9999-08:00"`, `a:9999-12-31T23:59:59.999Z`},
		{"an instant after the year 9999 in UTC is kept", ts, `"9999-12-31T23:59:59-08:00"`, kept(`"9999-12-31T23:59:59-08:00"`)},
		{"a leap second at the end of the year 9999 is kept", ts, `"9999-12-31T23:59:60Z"`, kept(`"9999-12-31T23:59:60Z"`)},
		{"the first day", date, `"0001-01-01T00:00:00+14:00"`, `a:0001-01-01T00:00:00Z`},
		{"the last day", date, `"9999-12-31T23:59:59-08:00"`, `a:9999-12-31T00:00:00Z`},
		{"an empty text for an instant is null", ts, `""`, ``},
		{"a number for an instant is kept", ts, `1712345678`, kept(`1712345678`)},
		{"a time without an offset is an error", ts, `"2024-04-01T02:16:48"`, `error`},
		{"a day that no calendar has is an error", ts, `"2023-02-29T00:00:00Z"`, `error`},
		{"an hour 24 is an error", ts, `"2023-02-28T24:00:00Z"`, `error`},
		{"something behind an instant is an error", ts, `"2023-02-28T20:00:00Z "`, `error`},

		{"a date is the day as written", date, `"2024-04-01T00:00:00+13:00"`, `a:2024-04-01T00:00:00Z`},
		{"a date at the day's last second", date, `"2026-03-06T23:59:59-08:00"`, `a:2026-03-06T00:00:00Z`},
		{"a date before 1970", date, `"1582-10-15"`, `a:1582-10-15T00:00:00Z`},
		{"a leap day of a century", date, `"2000-02-29"`, `a:2000-02-29T00:00:00Z`},
		{"a leap day that a century does not have is an error", date, `"1900-02-29"`, `error`},
		{"an empty text for a date is null", date, `""`, ``},
		{"a word behind a date is an error", date, `"2024-04-01 soon"`, `error`},

		{"an object", record, `{"name":"x"}`, `a:{name:"x"}`},
		{"what an object has more goes to its own unmapped", record, `{"y":{"z":1}}`, `a:{unmapped:{y:"{\"z\":1}"}}`},
		{"an object of nulls is null", record, `{"name":null}`, ``},
		{"an object of nothing is null", record, `{}`, ``},
		{"an empty text for an object is null", record, `""`, ``},
		{"an empty list for an object is null", record, `[ ]`, ``},
		{"a text for an object is kept", record, `"x"`, kept(`"x"`)},
		{"a list for an object is kept", record, `[{"name":"x"}]`, kept(`[{"name":"x"}]`)},
		{"a number for an object is kept", record, `12`, kept(`12`)},

		{"a list of objects", list, `[{"name":"x"},{"name":"y"}]`, `a:[{name:"x"} {name:"y"}]`},
		{"an empty list stays a list", list, `[]`, `a:[]`},
		{"an empty text for a list is null", list, `""`, ``},
		{"nulls in a list are left out", list, `[null,{"name":"x"},""]`, `a:[{name:"x"}]`},
		{"an object of nulls in a list stays", list, `[{},{"name":null}]`, `a:[{} {}]`},
		{"a lone object is a list of one", list, `{"name":"x"}`, `a:[{name:"x"}]`},
		{"a text for a list is kept", list, `"x"`, kept(`"x"`)},
		{"a list with an element of another kind is kept whole", list, `[{"name":"x"},7]`, kept(`[{"name":"x"},7]`)},
		{"a list of texts", texts, `["", "a", 1]`, `a:["" "a" "1"]`},
		{"an object for a list of texts is kept", texts, `{}`, kept(`{}`)},
		{"nulls in a list of nullables stay", longs, `[null,"",3]`, `a:[null null 3]`},
		{"a list whose number does not fit is kept whole", longs, `[1,1.5]`, kept(`[1,1.5]`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			avsc := recordOf("T", nullable("a", tt.avroType))
			e := mustCompile(t, avsc)
			dst := []byte("before")
			got, err := e.Append(dst, []byte(`{"id":1,"a":`+tt.value+`}`))
			if tt.want == "error" {
				var f *rowtext.FieldError
				if !errors.As(err, &f) || f.Path != "a" || string(got) != "before" {
					t.Fatalf("Append = %q, %v; want a rowtext.FieldError of a and dst as it was", got, err)
				}
				if word := strings.Trim(tt.value, `" `); len(word) > 1 && strings.Contains(err.Error(), word) {
					t.Errorf("the error prints the value: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := "{" + strings.TrimSpace("id:1 "+tt.want) + "}"
			if strings.HasPrefix(tt.want, "a:") {
				want = "{" + tt.want + " id:1}"
			}
			if got := decode(t, avsc, got[len("before"):]); got != want {
				t.Errorf("decoded %s\nwant    %s", got, want)
			}
		})
	}
}

// Zeros that don't change a number don't change its bytes either, whatever its sign and length.
func TestZerosAroundANumberDoNotCount(t *testing.T) {
	t.Parallel()
	e := (&Plan{}).Encoder()
	for _, same := range [][]string{
		{"0", "-0", "0.00", "-0.00", "-0e5", "0.0000000000000000000000000"},
		{"7", "007", "7.0", "7e0", "70e-1", "7.00000000000000000000000000"},
		{"-120", "-120.00", "-12e1", "-00000000000000000000000120"},
	} {
		var want []byte
		var whole int64 = math.MinInt64
		for _, text := range same {
			d, ok := rowtext.ParseDecimal([]byte(text))
			got, v, err := e.appendDecimal(nil, d, 38, 9)
			long, fits := e.asLong(d)
			if want == nil {
				want, whole = got, long
			}
			if !ok || err != nil || v != stored || string(got) != string(want) || !fits || long != whole {
				t.Errorf("%s: % x, %d (%t), want % x, %d", text, got, long, fits, want, whole)
			}
		}
	}
}
