package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
)

// A reader sees rows as another implementation decodes them:
// it knows the schema's text and nothing of plans.
type reader struct {
	schema *avro.RecordSchema
	plan   *Plan
}

func newReader(t testing.TB, avsc string) reader {
	t.Helper()
	parsed, err := avro.ParseWithCache(avsc, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(avsc)
	if err != nil {
		t.Fatal(err)
	}
	return reader{parsed.(*avro.RecordSchema), p}
}

// roundTrip encodes a row, decodes it and compares key by key
// what is there with what was sent. Nothing may differ but:
//
//   - null is absent, and of a key given twice the last counts;
//   - what says nothing is null: "" except as text, an associated
//     object of "", [] or nothing but that, also in a list;
//   - numbers and booleans may be sent as texts and texts as numbers, a list of one as the object alone;
//   - an instant is in UTC, floored to the millisecond, and a date the day that was written;
//   - a double is the nearest to the number that was sent;
//   - what is not UTF-8 is U+FFFD;
//   - what has no place is nowhere, where a record has no unmapped.
//
// A *rowtext.FieldError is the encoder's own: it refuses the row.
func (r reader) roundTrip(row []byte) error {
	b, err := r.plan.Encoder().Append(nil, row)
	if err != nil {
		return err
	}
	in := avro.NewReader(nil, 0).Reset(b)
	var v any
	in.ReadVal(r.schema, &v)
	if in.Error != nil {
		return fmt.Errorf("decoding: %w", in.Error)
	}
	if in.Peek(); !errors.Is(in.Error, io.EOF) {
		return fmt.Errorf("bytes are left behind the row: %w", in.Error)
	}
	return compareObject(r.schema, row, v)
}

// compareObject compares every member of an object with its
// field or with unmapped, and looks for what was not sent.
func compareObject(r *avro.RecordSchema, sent json.RawMessage, record any) error {
	members, err := membersOf(sent)
	if err != nil {
		return err
	}
	got, ok := record.(map[string]any)
	if !ok {
		return fmt.Errorf("%.200s became %T", sent, record)
	}
	kept, err := takeUnmapped(r, got)
	if err != nil {
		return err
	}
	lead := fieldsByKey(r, members)
	for _, key := range slices.Sorted(maps.Keys(members)) {
		text, f := members[key], lead[key]
		if kept == nil {
			if err := compareOrLeftOut(f, text, got); err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			continue
		}
		held, isKept := kept[key]
		delete(kept, key)
		if isKept && held != repairedText(text) {
			return fmt.Errorf("%q: unmapped has %.200v, want %.200s", key, held, text)
		}
		switch {
		case f == nil && isKept != (string(text) != "null"):
			return fmt.Errorf("%q, an unknown key, is lost or a null: %.200s", key, text)
		case f != nil:
			if err := compareField(f, text, got[f.Name()], isKept); err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			delete(got, f.Name())
		}
	}
	for name, v := range got {
		if v != nil {
			return fmt.Errorf("%s is %v, and nobody sent it", name, v)
		}
	}
	for key := range kept {
		return fmt.Errorf("unmapped has %q, and nobody sent it", key)
	}
	return nil
}

// takeUnmapped gives the content of the record's unmapped and takes it out; nil: the record has none.
func takeUnmapped(r *avro.RecordSchema, got map[string]any) (map[string]any, error) {
	for _, f := range r.Fields() {
		if f.Prop(propRole) != roleUnmapped {
			continue
		}
		_, v := branchOf(f.Type(), got[f.Name()])
		kept, _ := v.(map[string]any)
		if text, ok := v.(string); ok {
			members, err := membersOf(json.RawMessage(text))
			if err != nil {
				return nil, err
			}
			kept = map[string]any{}
			for key, member := range members {
				kept[key] = string(member)
			}
		}
		if v != nil && len(kept) == 0 {
			return nil, errors.New("unmapped is empty, not null")
		}
		delete(got, f.Name())
		all := map[string]any{}
		maps.Copy(all, kept)
		return all, nil
	}
	return nil, nil
}

// compareOrLeftOut compares a field, or nil, of a record without unmapped: what it can't hold is nowhere.
func compareOrLeftOut(f *avro.Field, text json.RawMessage, got map[string]any) error {
	if f == nil {
		return nil
	}
	s, v := branchOf(f.Type(), got[f.Name()])
	delete(got, f.Name())
	if v == nil && (saysNothing(s, text) || !isEmptied(s, text) && !fits(s, text, f.Prop(propCustom) != nil)) {
		return nil
	}
	return same(s, text, v)
}

// isEmptied tells of an object, or a lone one in the place of a list, that may be null since all that it
// has is left out.
func isEmptied(s avro.Schema, text json.RawMessage) bool {
	if list, ok := s.(*avro.ArraySchema); ok {
		s, _ = branchOf(list.Items(), nil)
	}
	r, ok := s.(*avro.RecordSchema)
	return ok && text[0] == '{' && !slices.ContainsFunc(r.Fields(), func(f *avro.Field) bool { return f.Prop(propRole) == roleUnmapped })
}

// fieldsByKey gives the field that each key of an object leads to: the one of that key, else
// the only one of which it is the underscored twin, unless that one's own key is there too.
func fieldsByKey(r *avro.RecordSchema, members map[string]json.RawMessage) map[string]*avro.Field {
	lead, owners := map[string]*avro.Field{}, map[string][]*avro.Field{}
	keys := map[*avro.Field]string{}
	for _, f := range r.Fields() {
		if f.Prop(propRole) == roleUnmapped {
			continue
		}
		key, ok := f.Prop(propName).(string)
		if !ok {
			key = strings.ReplaceAll(f.Name(), "_", "-")
		}
		lead[key], keys[f] = f, key
		if twin := strings.ReplaceAll(key, "-", "_"); f.Prop(propCustom) == nil {
			owners[twin] = append(owners[twin], f)
		}
	}
	for twin, fields := range owners {
		_, exact := members[keys[fields[0]]]
		if lead[twin] == nil && len(fields) == 1 && !exact {
			lead[twin] = fields[0]
		}
	}
	return lead
}

// compareField compares what a field shows of a value: all
// of it, or null where it says nothing or unmapped keeps it.
func compareField(f *avro.Field, text json.RawMessage, got any, kept bool) error {
	custom := f.Prop(propCustom) != nil
	s, v := branchOf(f.Type(), got)
	switch {
	case v != nil && kept:
		return errors.New("the value is in its field and in unmapped")
	case v != nil:
		return same(s, text, v)
	case kept && fits(s, text, custom):
		return fmt.Errorf("unmapped has %.200s, which the field can hold", text)
	case !kept && !saysNothing(s, text):
		return fmt.Errorf("lost: %.200s", text)
	}
	return nil
}

// branchOf gives the type behind a union and its value without the {"type": value} that
// hamba/avro puts around some. For null and for unions of several types it is that of the first.
func branchOf(s avro.Schema, v any) (avro.Schema, any) {
	u, ok := s.(*avro.UnionSchema)
	if ok {
		s = u.Types()[1]
	}
	if m, wrapped := v.(map[string]any); ok && wrapped && len(m) == 1 {
		for _, inner := range m {
			v = inner
		}
	}
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	return s, v
}

// same tells whether a decoded value, not null, is what text says.
func same(s avro.Schema, text json.RawMessage, got any) error {
	differs := fmt.Errorf("sent %.200s, got %T %.200v", text, got, got)
	switch got := got.(type) {
	case nil:
		if list, ok := s.(*avro.ArraySchema); ok {
			s, _ = branchOf(list.Items(), nil)
		}
		if isEmptied(s, text) {
			return compareObject(s.(*avro.RecordSchema), text, map[string]any{})
		}
	case map[string]any:
		if r, ok := s.(*avro.RecordSchema); ok {
			return compareObject(r, text, got)
		}
		return sameMap(text, got)
	case []any:
		return sameList(s.(*avro.ArraySchema).Items(), text, got)
	case string:
		if got == plainText(text) {
			return nil
		}
	case bool:
		if word := plainText(text); got == (word == "true" || word == "1") && (got || word == "false" || word == "0") {
			return nil
		}
	case time.Time:
		if at, ok := instantOf(plainText(text)); ok && got.UnixMilli() == at.UnixMilli() || sameDay(s, text, got) {
			return nil
		}
	case int:
		if n, ok := numberOf(text); ok && n.Cmp(new(big.Rat).SetInt64(int64(got))) == 0 {
			return nil
		}
	case int64:
		if n, ok := numberOf(text); ok && n.Cmp(new(big.Rat).SetInt64(got)) == 0 {
			return nil
		}
	case *big.Rat:
		if n, ok := numberOf(text); ok && n.Cmp(got) == 0 {
			return nil
		}
	case float64:
		if f, err := strconv.ParseFloat(plainText(text), 64); err == nil && f == got {
			return nil
		}
	}
	return differs
}

// sameMap compares a map of JSON text with the members of an object.
func sameMap(text json.RawMessage, got map[string]any) error {
	members, err := membersOf(text)
	if err != nil {
		return err
	}
	for key, value := range members {
		held, ok := got[key]
		if ok != (string(value) != "null") || ok && held != repairedText(value) {
			return fmt.Errorf("%q: sent %.200s, got %.200v", key, value, held)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		return fmt.Errorf("%v was not sent", got)
	}
	return nil
}

// sameList compares element by element. A list of records has no nulls: what says nothing is left out.
func sameList(items avro.Schema, text json.RawMessage, got []any) error {
	sent := elementsOf(text)
	if _, nullable := items.(*avro.UnionSchema); !nullable {
		items, _ = branchOf(items, nil)
		sent = slices.DeleteFunc(sent, func(e json.RawMessage) bool { return saysNothing(items, e) && e[0] != '{' })
	}
	if len(sent) != len(got) {
		return fmt.Errorf("%d elements of %.200s, got %d", len(sent), text, len(got))
	}
	for i, e := range sent {
		s, v := branchOf(items, got[i])
		if v == nil && saysNothing(s, e) {
			continue
		}
		if err := same(s, e, v); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// saysNothing tells of values that a field of type s shows as null.
func saysNothing(s avro.Schema, text json.RawMessage) bool {
	word := string(text)
	switch s := s.(type) {
	case *avro.RecordSchema:
		if word[0] != '{' {
			return word == "null" || word == `""` || len(elementsOf(text)) == 0 && word[0] == '['
		}
		members, _ := membersOf(text)
		lead := fieldsByKey(s, members)
		for key, value := range members {
			if f := lead[key]; f == nil && string(value) != "null" {
				return false
			} else if f != nil {
				if inner, _ := branchOf(f.Type(), nil); !saysNothing(inner, value) {
					return false
				}
			}
		}
		return true
	case *avro.ArraySchema:
		items, _ := branchOf(s.Items(), nil)
		_, nullable := s.Items().(*avro.UnionSchema)
		return word == "null" || word == `""` || nullable && word[0] == '{' && saysNothing(items, text)
	case *avro.MapSchema:
		members, err := membersOf(text)
		none := !slices.ContainsFunc(slices.Collect(maps.Values(members)), func(v json.RawMessage) bool { return string(v) != "null" })
		return word == "null" || word == `""` || err == nil && none || word[0] == '[' && len(elementsOf(text)) == 0
	}
	return word == "null" || word == `""` && s.Type() != avro.String
}

// fits tells that a field of type s can hold what text says, all of it. Of a custom field it
// is true of values of the type itself alone: what else it takes is for the encoder to say.
func fits(s avro.Schema, text json.RawMessage, custom bool) bool {
	c := text[0]
	switch s := s.(type) {
	case *avro.RecordSchema, *avro.MapSchema:
		return c == '{'
	case *avro.ArraySchema:
		return !custom && (c == '{' || c == '[' && !slices.ContainsFunc(elementsOf(text), func(e json.RawMessage) bool {
			items, _ := branchOf(s.Items(), nil)
			return !saysNothing(items, e) && !fits(items, e, custom)
		}))
	case *avro.PrimitiveSchema:
		if c == '{' || c == '[' {
			return false
		}
		if custom {
			return s.Type() == avro.Boolean && (c == 't' || c == 'f') || s.Type() == avro.String
		}
		return fitsPlain(s, text)
	}
	return false
}

func fitsPlain(s *avro.PrimitiveSchema, text json.RawMessage) bool {
	word := plainText(text)
	n, isNumber := numberOf(text)
	switch d, decimal := s.Logical().(*avro.DecimalLogicalSchema); {
	case decimal:
		if !isNumber {
			return false
		}
		n.Mul(n, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Scale())), nil)))
		return n.IsInt() && len(new(big.Int).Abs(n.Num()).String()) <= d.Precision()
	case s.Logical() != nil:
		at, ok := instantOf(word)
		return ok && text[0] == '"' && at.UTC().Year() >= 1 && at.UTC().Year() <= 9999
	case s.Type() == avro.Boolean:
		return slices.Contains([]string{"true", "false", "0", "1"}, word)
	case s.Type() == avro.Long:
		return isNumber && n.IsInt() && n.Num().IsInt64()
	case s.Type() == avro.Int:
		return isNumber && n.IsInt() && n.Num().IsInt64() && n.Num().Int64() == int64(int32(n.Num().Int64()))
	case s.Type() == avro.Double:
		f, err := strconv.ParseFloat(word, 64)
		return err == nil && isNumber && !math.IsInf(f, 0)
	}
	return true
}

func membersOf(text json.RawMessage) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, fmt.Errorf("no object: %.200s", text)
	}
	return members, nil
}

// elementsOf gives those of a list; anything else is a list of itself.
func elementsOf(text json.RawMessage) []json.RawMessage {
	var elements []json.RawMessage
	if text[0] != '[' || json.Unmarshal(text, &elements) != nil {
		return []json.RawMessage{text}
	}
	return elements
}

// plainText is what a text says, and of any other value its spelling.
func plainText(text json.RawMessage) string {
	var s string
	if text[0] == '"' && json.Unmarshal(text, &s) == nil {
		return s
	}
	return string(text)
}

// repairedText is JSON text with U+FFFD for each byte that is not UTF-8.
func repairedText(text json.RawMessage) string { return string([]rune(string(text))) }

var (
	numbers = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?0*[0-9]{1,4})?$`)
	zeros   = regexp.MustCompile(`^[+-]?(0+\.?0*|\.0+)([eE][+-]?[0-9]+)?$`)
)

// numberOf reads a number, sent as one or as a text. Exponents
// of five digits and more are beyond every type, but for zero.
func numberOf(text json.RawMessage) (*big.Rat, bool) {
	word := plainText(text)
	switch {
	case zeros.MatchString(word):
		return new(big.Rat), true
	case !numbers.MatchString(word):
		return nil, false
	}
	return new(big.Rat).SetString(word)
}

var instants = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?)?$`)

// instantOf reads an instant; a day alone is its midnight in UTC.
func instantOf(word string) (time.Time, bool) {
	part := instants.FindStringSubmatch(word)
	if part == nil {
		return time.Time{}, false
	}
	n := make([]int, 9)
	for i := 1; i <= 6; i++ {
		n[i], _ = strconv.Atoi(part[i])
	}
	nanos, _ := strconv.Atoi((strings.TrimPrefix(part[7], ".") + "000000000")[:9])
	east := 0
	if zone := strings.ReplaceAll(part[8], ":", ""); len(zone) == 5 {
		h, _ := strconv.Atoi(zone[1:3])
		m, _ := strconv.Atoi(zone[3:])
		if east = 60 * (60*h + m); zone[0] == '-' {
			east = -east
		}
	}
	at := time.Date(n[1], time.Month(n[2]), n[3], n[4], n[5], n[6], nanos, time.FixedZone("", east))
	day := time.Date(n[1], time.Month(n[2]), n[3], 0, 0, 0, 0, time.UTC)
	return at, day.Format("2006-01-02") == word[:10] && n[4] < 24 && n[5] < 60 && n[6] <= 60
}

func sameDay(s avro.Schema, text json.RawMessage, got time.Time) bool {
	word := plainText(text)
	return s.Type() == avro.Int && len(word) >= 10 && got.UTC().Format("2006-01-02T15:04:05") == word[:10]+"T00:00:00"
}
