package schemas_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/hamba/avro/v2"
	twmb "github.com/twmb/avro"

	"github.com/coupastream/coupastream/schemas"
)

func TestKeyIsWhatItsSchemaSays(t *testing.T) {
	t.Parallel()
	schema := avro.MustParse(schemas.KeySchema())
	other := twmb.MustParse(schemas.KeySchema())
	type key struct {
		Tenant string `avro:"tenant"`
		ID     int64  `avro:"id"`
	}
	for _, want := range []key{
		{"acme", 92010}, {"", 0}, {"Ünïcode", 1}, {"x", -1}, {"acme", 63}, {"acme", 64},
		{string(bytes.Repeat([]byte("t"), 200)), math.MaxInt64}, {"acme", math.MinInt64},
	} {
		wire := schemas.AppendKey([]byte("before"), want.Tenant, want.ID)
		wire, ok := bytes.CutPrefix(wire, []byte("before"))
		if !ok {
			t.Fatal("AppendKey wrote over what was there")
		}
		if byHamba, err := avro.Marshal(schema, want); err != nil || !bytes.Equal(wire, byHamba) {
			t.Errorf("%+v: got % x, another encoder % x (%v)", want, wire, byHamba, err)
		}
		var got key
		if rest, err := other.Decode(wire, &got); err != nil || len(rest) != 0 || got != want {
			t.Errorf("%+v decoded as %+v, rest % x, %v", want, got, rest, err)
		}
		framed := append(schemas.AppendHeader(nil, 7), wire...)
		if tenant, id, err := schemas.ParseKey(framed); tenant != want.Tenant || id != want.ID || err != nil {
			t.Errorf("%+v parsed as %q, %d, %v", want, tenant, id, err)
		}
		for _, damaged := range [][]byte{nil, framed[:4], framed[:len(framed)-1], append(framed[:len(framed):len(framed)], 0)} {
			if _, _, err := schemas.ParseKey(damaged); err == nil {
				t.Errorf("% x is parsed as a key", damaged)
			}
		}
		text := schemas.AppendJSONKey([]byte("before"), want.Tenant, want.ID)[len("before"):]
		if !json.Valid(text) {
			t.Errorf("%s is no JSON", text)
		}
		for _, wire := range [][]byte{text, append(schemas.AppendHeader(nil, 7), text...)} {
			if tenant, id, err := schemas.ParseKey(wire); tenant != want.Tenant || id != want.ID || err != nil {
				t.Errorf("%s parsed as %q, %d, %v", wire, tenant, id, err)
			}
			if _, _, err := schemas.ParseKey(wire[:len(wire)-1]); err == nil {
				t.Errorf("half of %s is parsed as a key", wire)
			}
		}
	}
}

func TestHeaderIsTheRegistrysFraming(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		id   int
		want []byte
	}{
		{1, []byte{9, 0, 0, 0, 0, 1}}, {0x01020304, []byte{9, 0, 1, 2, 3, 4}}, {math.MaxInt32, []byte{9, 0, 0x7f, 0xff, 0xff, 0xff}},
	} {
		if got := schemas.AppendHeader([]byte{9}, tt.id); !bytes.Equal(got, tt.want) {
			t.Errorf("AppendHeader(9, %d) = % x, want % x", tt.id, got, tt.want)
		}
	}
}
