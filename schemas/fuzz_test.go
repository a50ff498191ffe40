package schemas

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coupastream/coupastream/schemas/rowtext"
)

// FuzzAppend: what the encoder accepts is JSON, and another implementation reads from its
// Avro, to the last byte, all that the row says. What it refuses leaves dst as it was.
func FuzzAppend(f *testing.F) {
	readers := fuzzedReaders(f)
	rows, err := filepath.Glob("testdata/*/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for i, name := range rows {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), b)
	}
	f.Add(byte(0), []byte(`{"id":1,"ship-to":{"id":2,"postal_code":"\ud83d\ude80 \u00e9"},"lines":[{"id":3,"price":"1.50"},null],"custom-fields":{"a":{"b":[]}},"x":1e5}`))
	f.Add(byte(0), []byte(`{"total":"7","lines":{"id":3,"sub-lines":[[]]},"ship_to":"","ship-to":[ ],"id":1.0,"total":null,"x":"`+"\xff"+`"}`))
	f.Add(byte(0), []byte(`{"id":1,"lines":[`+strings.Repeat(`{"id":1},`, 70)+`{"id":2}]}`))
	g := rowMaker{Rand: rand.New(rand.NewPCG(1, 9)), custom: true}
	for i, path := range fuzzedObjects {
		f.Add(byte(len(readers)-len(fuzzedObjects)+i), []byte(g.row(f, path)))
	}
	f.Fuzz(func(t *testing.T, which byte, row []byte) {
		r := readers[int(which)%len(readers)]
		err := r.roundTrip(row)
		var refused *rowtext.FieldError
		if errors.As(err, &refused) {
			if got, _ := r.plan.Encoder().Append([]byte("before"), row); string(got) != "before" {
				t.Fatalf("%q, want dst as it was", got)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(row) {
			t.Fatalf("accepted what is not JSON: %q", row)
		}
	})
}

var fuzzedObjects = []string{"invoices", "approvals", "exchange_rates", "budget_lines", "coupa_pay/payments", "users"}

// fuzzedReaders are of schemas with all that a schema may have.
func fuzzedReaders(f *testing.F) []reader {
	readers := []reader{newReader(f, shipment), newReader(f, string(readTestdata(f, "golden/sample.avsc")))}
	g := rowMaker{Rand: rand.New(rand.NewPCG(2, 9)), custom: true}
	modes := []DecimalMode{DecimalPrecise, DecimalString, DecimalDouble}
	for i, path := range fuzzedObjects {
		s, err := For(path, Options{Decimals: modes[i%3], Unmapped: unmappedModes[i/2], Custom: g.taught(f, path)})
		if err != nil {
			f.Fatal(err)
		}
		readers = append(readers, newReader(f, s.JSON()))
	}
	return readers
}
