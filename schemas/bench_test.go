package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// The rows of the benchmarks: an invoice of ten lines with 40 fields each, and one of a single line.
var benchRows = []string{"invoice.json", "invoice-one-line.json"}

// BenchmarkPlan is the encoder on a row with its keys in the schema's order and on one with them in reverse.
func BenchmarkPlan(b *testing.B) {
	avsc := string(readTestdata(b, "invoice.avsc"))
	for _, name := range benchRows {
		row := readTestdata(b, name)
		b.Run(name, func(b *testing.B) { benchmarkPlan(b, avsc, row) })
		b.Run(name+"/reversed", func(b *testing.B) { benchmarkPlan(b, avsc, reversed(b, row)) })
	}
}

// BenchmarkPlanCatalogue is the encoder with the catalogue's
// own schema, which lets some of the row go to unmapped, in each form of that.
func BenchmarkPlanCatalogue(b *testing.B) {
	for _, mode := range unmappedModes {
		s := schemaAs(b, mode, Options{})
		for _, name := range benchRows {
			b.Run(name+"/"+string(mode), func(b *testing.B) { benchmarkPlan(b, s.JSON(), readTestdata(b, name)) })
		}
	}
}

func benchmarkPlan(b *testing.B, avsc string, row []byte) {
	e := mustCompile(b, avsc)
	dst, err := e.Append(nil, row)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = e.Append(dst[:0], row); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMapHamba is the ordinary way: encoding/json into a map, which
// is brought into the schema's types for hamba/avro's generic encoder.
func BenchmarkMapHamba(b *testing.B) {
	schema := avro.MustParse(string(readTestdata(b, "invoice.avsc")))
	for _, name := range benchRows {
		row := readTestdata(b, name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := viaMap(schema, row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile is the price of a new schema version.
func BenchmarkCompile(b *testing.B) {
	avsc := string(readTestdata(b, "invoice.avsc"))
	for b.Loop() {
		if _, err := Compile(avsc); err != nil {
			b.Fatal(err)
		}
	}
}

func TestBothWaysOfTheBenchmarkGiveTheSameRecord(t *testing.T) {
	t.Parallel()
	avsc := string(readTestdata(t, "invoice.avsc"))
	for _, name := range benchRows {
		row := readTestdata(t, name)
		other, err := viaMap(avro.MustParse(avsc), row)
		if err != nil {
			t.Fatal(err)
		}
		e := mustCompile(t, avsc)
		for _, row := range [][]byte{row, reversed(t, row)} {
			own, err := e.Append(nil, row)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := decode(t, avsc, own), decode(t, avsc, other); got != want {
				t.Errorf("%s: decoded %s\nwant %s", name, got, want)
			}
		}
	}
}

func viaMap(schema avro.Schema, row []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(row))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	v, err := typed(schema, m)
	if err != nil {
		return nil, err
	}
	return avro.Marshal(schema, v)
}

// typed brings a value of encoding/json into the types that hamba/avro takes for the schema.
func typed(s avro.Schema, v any) (any, error) {
	switch s := s.(type) {
	case *avro.UnionSchema:
		if v == nil {
			return nil, nil
		}
		return typedBranch(s.Types()[1], v)
	case *avro.RefSchema:
		return typed(s.Schema(), v)
	case *avro.RecordSchema:
		return typedRecord(s, v.(map[string]any))
	case *avro.ArraySchema:
		list := v.([]any)
		for i := range list {
			var err error
			if list[i], err = typed(s.Items(), list[i]); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *avro.MapSchema:
		return typedMap(v.(map[string]any))
	case *avro.PrimitiveSchema:
		return typedScalar(s, v)
	}
	return v, nil
}

// typedBranch names the branch where hamba/avro cannot tell it by the value.
func typedBranch(s avro.Schema, v any) (any, error) {
	v, err := typed(s, v)
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	switch s := s.(type) {
	case *avro.RecordSchema:
		return map[string]any{s.FullName(): v}, err
	case *avro.ArraySchema, *avro.MapSchema:
		return map[string]any{string(s.Type()): v}, err
	}
	return v, err
}

func typedRecord(s *avro.RecordSchema, m map[string]any) (any, error) {
	r := make(map[string]any, len(s.Fields()))
	for _, f := range s.Fields() {
		key, _ := f.Prop(propName).(string)
		v, err := typed(f.Type(), m[key])
		if err != nil {
			return nil, err
		}
		r[f.Name()] = v
	}
	return r, nil
}

func typedMap(m map[string]any) (any, error) {
	r := make(map[string]any, len(m))
	for k, v := range m {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		r[k] = string(b)
	}
	return r, nil
}

func typedScalar(s *avro.PrimitiveSchema, v any) (any, error) {
	text := fmt.Sprint(v)
	switch {
	case s.Logical() != nil && s.Logical().Type() == avro.Decimal:
		r, ok := new(big.Rat).SetString(text)
		if !ok {
			return nil, fmt.Errorf("no decimal")
		}
		return r, nil
	case s.Logical() != nil && s.Logical().Type() == avro.Date:
		return time.Parse(time.DateOnly, text[:10])
	case s.Logical() != nil:
		return time.Parse(time.RFC3339, text)
	case s.Type() == avro.Long:
		return strconv.ParseInt(text, 10, 64)
	case s.Type() == avro.Double:
		return strconv.ParseFloat(text, 64)
	}
	return v, nil
}

// reversed gives the row with the members of every object in reverse order.
func reversed(t testing.TB, row []byte) []byte {
	t.Helper()
	s := rowtext.Scanner{Row: row}
	s.Next()
	b, err := appendReversed(nil, &s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func appendReversed(dst []byte, s *rowtext.Scanner) ([]byte, error) {
	c, at := s.Peek(), s.Pos
	if c != '{' && c != '[' {
		err := s.Skip(0)
		return append(dst, s.Row[at:s.Pos]...), err
	}
	s.Pos++
	var parts []string
	for first := true; ; first = false {
		var key []byte
		var more bool
		var err error
		if c == '{' {
			key, more, err = s.Member(first)
		} else {
			more, err = s.Element(first)
		}
		if err != nil {
			return dst, err
		}
		if !more {
			break
		}
		var part []byte
		if c == '{' {
			part = append(strconv.AppendQuote(nil, string(key)), ':')
		}
		if part, err = appendReversed(part, s); err != nil {
			return dst, err
		}
		parts = append(parts, string(part))
	}
	if c == '[' {
		return append(dst, "["+strings.Join(parts, ",")+"]"...), nil
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return append(dst, "{"+strings.Join(parts, ",")+"}"...), nil
}

// BenchmarkEveryPlan makes the schema and plan of every object of the
// catalogue, as a worker that streams them all does at its start.
func BenchmarkEveryPlan(b *testing.B) {
	for b.Loop() {
		for _, path := range Objects() {
			s, err := build(path, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Plan(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
