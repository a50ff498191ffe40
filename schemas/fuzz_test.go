package schemas

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	twmb "github.com/twmb/avro"
)

// FuzzAppend: what the encoder accepts is JSON, its Avro is read by another implementation to the last byte, and texts arrive
// as encoding/json reads them. What it refuses leaves dst as it was and prints nothing of the row.
func FuzzAppend(f *testing.F) {
	rows, err := filepath.Glob("testdata/golden/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range rows {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"id":1,"ship-to":{"id":2,"postal_code":"\ud83d\ude80 \u00e9"},"lines":[{"id":3,"price":"1.50"},null],"custom-fields":{"a":{"b":[]}},"x":1e5}`))
	f.Add([]byte(`{"total":"7","lines":{"id":3,"sub-lines":[[]]},"ship_to":"","ship-to":[ ],"id":1.0,"total":null,"x":"` + "\xff" + `"}`))
	f.Add([]byte(`{"id":1,"lines":[` + strings.Repeat(`{"id":1},`, 70) + `{"id":2}]}`))
	schema := twmb.MustParse(shipment)
	p, err := Compile(shipment)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		got, err := p.Encoder().Append([]byte("before"), row)
		if err != nil {
			checkRefusal(t, got, err)
			return
		}
		if !json.Valid(row) {
			t.Fatalf("accepted what is not JSON: %q", row)
		}
		var v map[string]any
		if rest, err := schema.Decode(got[len("before"):], &v); err != nil || len(rest) > 0 {
			t.Fatalf("%v, %d bytes left", err, len(rest))
		}
		checkTexts(t, row, v)
	})
}

func checkRefusal(t *testing.T, got []byte, err error) {
	t.Helper()
	var f *FieldError
	if !errors.As(err, &f) || string(got) != "before" {
		t.Fatalf("%q, %v; want a FieldError and dst as it was", got, err)
	}
}

// checkTexts compares the postal code, which every spelling of its key but one fills, with what encoding/json makes of it.
func checkTexts(t *testing.T, row []byte, v map[string]any) {
	t.Helper()
	var want map[string]any
	if err := json.Unmarshal(row, &want); err != nil {
		t.Fatal(err)
	}
	address, _ := want["ship-to"].(map[string]any)
	text, ok := address["postal-code"].(string)
	if !ok {
		return
	}
	got, _ := v["ship_to"].(map[string]any)
	if got["postal_code"] != text {
		t.Fatalf("a text became %q, want %q", got["postal_code"], text)
	}
}
