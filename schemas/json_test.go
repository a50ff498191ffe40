package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/coupastream/coupastream/schemas/custom"
)

// What a row is as JSON is what another implementation decodes of its
// Avro, and its JSON Schema admits it: of every object, in every mode.
func TestARowAsJSONIsWhatItsAvroSaysAndItsJSONSchemaAdmits(t *testing.T) {
	t.Parallel()
	inShapes(t, []string{"map", "typed"}, rendered)
}

func rendered(t *testing.T, g rowMaker, path string, o Options) {
	t.Helper()
	s, err := For(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Delete(shapeOf(path, o)) // or the test keeps all of them
	r, admits := newReader(t, s.JSON()), validator(t, s)
	for range 3 {
		row := g.row(t, path)
		value, err := r.plan.Encoder().Append(nil, []byte(row))
		if err != nil {
			t.Fatal(err)
		}
		text, err := r.plan.AppendJSON([]byte("before"), value)
		if err != nil {
			t.Fatalf("%v\n%s", err, row)
		}
		text, _ = bytes.CutPrefix(text, []byte("before"))
		var want any
		in := avro.NewReader(nil, 0).Reset(value)
		in.ReadVal(r.schema, &want)
		got := unmarshal(t, text)
		if err := sameJSON(r.schema, want, got); err != nil {
			t.Fatalf("%v\n%s\n%s", err, row, text)
		}
		if err := admits(got); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, damaged := range [][]byte{value[:len(value)-1], append(value[:len(value):len(value)], 0)} {
			if kept, err := r.plan.AppendJSON([]byte("before"), damaged); err == nil || string(kept) != "before" {
				t.Fatal("a value that is cut, or followed by something, is rendered")
			}
		}
	}
}

// unmarshal reads JSON with numbers as they are written, and fails on members that stand there twice.
func unmarshal(t *testing.T, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// validator gives what tells whether a value is one of the JSON Schema's.
func validator(t *testing.T, s *Schema) func(any) error {
	t.Helper()
	text, err := s.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("row.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("row.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate
}

// sameJSON compares JSON with a decoded value.
func sameJSON(s avro.Schema, want, got any) error {
	if u, ok := s.(*avro.UnionSchema); ok && len(u.Types()) > 2 {
		return samePlain(nil, want, got)
	}
	s, want = branchOf(s, want)
	switch s := s.(type) {
	case *avro.RecordSchema:
		return sameMembers(s, want.(map[string]any), got)
	case *avro.ArraySchema:
		list, ok := got.([]any)
		if !ok || len(list) != len(want.([]any)) {
			return fmt.Errorf("%v, want a list like %v", got, want)
		}
		for i, w := range want.([]any) {
			if w == nil && list[i] == nil {
				continue
			}
			if err := sameJSON(s.Items(), w, list[i]); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	case *avro.MapSchema:
		members, ok := got.(map[string]any)
		if !ok || len(members) != len(want.(map[string]any)) {
			return fmt.Errorf("%v, want what %v says", got, want)
		}
		for name, text := range want.(map[string]any) {
			dec := json.NewDecoder(strings.NewReader(text.(string)))
			dec.UseNumber()
			var v any
			if err := dec.Decode(&v); err != nil || !reflect.DeepEqual(v, members[name]) {
				return fmt.Errorf("%s: %v, want %v, %v", name, members[name], text, err)
			}
		}
		return nil
	}
	return samePlain(s, want, got)
}

func sameMembers(s *avro.RecordSchema, want map[string]any, got any) error {
	members, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%v, want an object", got)
	}
	filled := 0
	for _, f := range s.Fields() {
		w, there := want[f.Name()], false
		if w == nil {
			if _, there = members[f.Name()]; there {
				return fmt.Errorf("%s is there, and null in Avro", f.Name())
			}
			continue
		}
		filled++
		if err := sameJSON(f.Type(), w, members[f.Name()]); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	if filled != len(members) {
		return fmt.Errorf("%d members, want %d", len(members), filled)
	}
	return nil
}

// samePlain compares a value that is no container. s is nil of a union of several types.
func samePlain(s avro.Schema, want, got any) error {
	if m, wrapped := want.(map[string]any); wrapped && len(m) == 1 {
		for _, inner := range m {
			want = inner
		}
	}
	differs := fmt.Errorf("%T %v, want %T %v", got, got, want, want)
	number := func() *big.Rat {
		n, ok := got.(json.Number)
		if !ok {
			return new(big.Rat).SetInt64(-1 << 62)
		}
		r, _ := new(big.Rat).SetString(n.String())
		return r
	}
	switch want := want.(type) {
	case *big.Rat:
		if number().Cmp(want) != 0 || strings.HasSuffix(got.(json.Number).String(), ".") {
			return differs
		}
	case int, int64:
		if fmt.Sprint(want) != number().RatString() {
			return differs
		}
	case float64:
		if f, _ := number().Float64(); f != want {
			return differs
		}
	case time.Time:
		layout := "2006-01-02T15:04:05.999Z07:00"
		if s != nil && s.Type() == avro.Int {
			layout = time.DateOnly
		}
		if got != want.UTC().Format(layout) {
			return differs
		}
	default:
		if !reflect.DeepEqual(want, got) {
			return differs
		}
	}
	return nil
}

func TestDecimalsAsJSONHaveAllTheirDigitsAndNoMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		unscaled string
		scale    int
		want     string
	}{
		{"0", 0, "0"}, {"0", 6, "0"}, {"1250", 2, "12.5"}, {"-1250", 2, "-12.5"}, {"-5", 3, "-0.005"}, {"5", 0, "5"}, {"500", 2, "5"}, {"500", 0, "500"},
		{"-9223372036854775808", 2, "-92233720368547758.08"}, {"123456789012345678901234567890", 10, "12345678901234567890.123456789"},
		{"-123456789012345678901234567890", 30, "-0.12345678901234567890123456789"}, {"-1", 0, "-1"}, {"128", 0, "128"}, {"-129", 1, "-12.9"},
	} {
		n, _ := new(big.Int).SetString(c.unscaled, 10)
		b := twosComplement(n)
		if got := string(appendDecimal(nil, b, c.scale)); got != c.want {
			t.Errorf("%s at scale %d: %s, want %s", c.unscaled, c.scale, got, c.want)
		}
	}
}

func twosComplement(n *big.Int) []byte {
	length := n.BitLen()/8 + 1
	if n.Sign() < 0 {
		n = new(big.Int).Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*length)))
	}
	return n.FillBytes(make([]byte, length))
}

// Debezium's envelope, as Avro and as JSON, is read by others as its schemas say.
func TestTheEnvelopeIsWhatItsSchemasSay(t *testing.T) {
	t.Parallel()
	s, err := For("suppliers", Options{Envelope: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Name() != "coupa.suppliers.Envelope" {
		t.Errorf("it is called %s", s.Name())
	}
	if text, err := s.JSONSchema(); err != nil || !strings.Contains(text, `"title":"coupa.suppliers.Envelope","description"`) {
		t.Errorf("the JSON Schema is called otherwise: %.200s (%v)", text, err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	row := []byte(`{"id":7,"name":"Säge \"& Söhne\"","created-at":"2026-01-02T03:04:05-08:00"}`)
	origin := Origin{Version: "v1", Name: `a"b`, Tenant: "acme", Object: "suppliers"}
	updatedAt, now := time.UnixMilli(1_700_000_000_000), time.UnixMilli(1_700_000_001_234)
	for op, snapshot := range map[string]bool{"r": true, "u": false} {
		e := NewEnvelope(origin)
		value, err := plan.Encoder().Append(e.Open(nil), row)
		if err != nil {
			t.Fatal(err)
		}
		value = e.Close(value, updatedAt, now, snapshot)
		want := fmt.Sprintf(`{after:{created_at:2026-01-02T11:04:05Z id:7 name:"Säge \"& Söhne\""} op:%q source:{connector:"coupa" db:"acme" name:"a\"b" snapshot:"%t" table:"suppliers" ts_ms:1700000000000 version:"v1"} ts_ms:1700000001234}`, op, snapshot)
		if got := decode(t, s.JSON(), value); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		e = NewJSONEnvelope(origin)
		encoded, err := plan.Encoder().Append(nil, row)
		if err != nil {
			t.Fatal(err)
		}
		text, err := plan.AppendJSON(e.Open(nil), encoded)
		if err != nil {
			t.Fatal(err)
		}
		text = e.Close(text, updatedAt, now, snapshot)
		if err := validator(t, s)(unmarshal(t, text)); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		wantText := fmt.Sprintf(`{"before":null,"after":{"id":7,"created_at":"2026-01-02T11:04:05Z","name":"Säge \"& Söhne\""},"source":{"version":"v1","connector":"coupa","name":"a\"b","ts_ms":1700000000000,"snapshot":"%t","db":"acme","table":"suppliers"},"op":%q,"ts_ms":1700000001234}`, snapshot, op)
		if !reflect.DeepEqual(unmarshal(t, text), unmarshal(t, []byte(wantText))) {
			t.Errorf("got  %s\nwant %s", text, wantText)
		}
	}
}

// No record of a row has the name of one of the envelope's, and
// the custom fields of a schema in an envelope are found.
func TestEverySchemaFitsInAnEnvelope(t *testing.T) {
	t.Parallel()
	for i, path := range Objects() {
		g := rowMaker{Rand: rand.New(rand.NewPCG(uint64(i), 3)), custom: true}
		fields := g.taught(t, path)
		s, err := For(path, Options{Envelope: true, Custom: fields})
		if err != nil {
			t.Fatal(err)
		}
		back, typed, err := custom.FromSchema(s.JSON())
		if err != nil || !typed && fields.Hash() != new(custom.Fields).Hash() || back.Hash() != fields.Hash() {
			t.Errorf("%s: its custom fields are read back as typed %t %s, %v; want %s", path, typed, mustMarshal(t, back), err, mustMarshal(t, fields))
		}
		wide, err := s.Widen(s.JSON())
		if err != nil || wide.JSON() != s.JSON() {
			t.Errorf("%s: widened by itself it is another: %v", path, err)
		}
		validator(t, s)
	}
}

func FuzzAppendJSON(f *testing.F) {
	s, err := For("invoices", Options{})
	if err != nil {
		f.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		f.Fatal(err)
	}
	value, err := plan.Encoder().Append(nil, []byte(`{"id":7,"invoice-lines":[{"id":1,"price":"1.5"}],"x":[1]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add(binary.AppendVarint(nil, 1<<40))
	f.Fuzz(func(t *testing.T, value []byte) {
		if text, err := plan.AppendJSON(nil, value); err != nil && len(text) > 0 {
			t.Error("something is rendered of what is none")
		}
	})
}

// Numbers of up to 16 bytes are written without math/big, which decides here.
func TestDecimalsAsJSONAgreeWithMathBig(t *testing.T) {
	t.Parallel()
	check := func(n *big.Int) {
		unscaled := twosComplement(n)
		if got := string(appendDecimal(nil, unscaled, 0)); got != n.String() {
			t.Errorf("%x is %s, want %s", unscaled, got, n)
		}
	}
	one := big.NewInt(1)
	for shift := range uint(140) {
		for _, by := range []int64{-1, 0, 1} {
			n := new(big.Int).Add(new(big.Int).Lsh(one, shift), big.NewInt(by))
			check(n)
			check(new(big.Int).Neg(n))
		}
	}
	for digits := range int64(42) {
		for _, by := range []int64{-1, 0, 1} {
			n := new(big.Int).Add(new(big.Int).Exp(big.NewInt(10), big.NewInt(digits), nil), big.NewInt(by))
			check(n)
			check(new(big.Int).Neg(n))
		}
	}
}

func TestAnInstantThatFitsNoReaderIsTextInUnmappedOfEveryFormat(t *testing.T) {
	t.Parallel()
	row := []byte(`{"id":1,"created-at":"9999-12-31T23:59:59-08:00","updated-at":"0001-01-01T00:00:00+14:00","delivery-date":"9999-12-31T23:59:59-08:00"}`)
	s, err := For("invoices", Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Encoder().Append(nil, row)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":1,"delivery_date":"9999-12-31","unmapped":{"created-at":"9999-12-31T23:59:59-08:00","updated-at":"0001-01-01T00:00:00+14:00"}}`
	got, err := p.AppendJSON(nil, b)
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	want = `unmapped:{created-at:"\"9999-12-31T23:59:59-08:00\"" updated-at:"\"0001-01-01T00:00:00+14:00\""}`
	if got := decode(t, s.JSON(), b); !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
