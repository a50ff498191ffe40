package schemas_test

import (
	"slices"
	"testing"

	"github.com/coupastream/coupastream/schemas"
)

func TestAReaderFindsTheLinesOfAValue(t *testing.T) {
	s, err := schemas.For("invoices", schemas.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		t.Fatal(err)
	}
	value, err := plan.Encoder().Append(schemas.AppendHeader(nil, 1), []byte(`{"id":1,"invoice-lines":[{"id":7,"updated-at":"2024-01-02T03:04:05-08:00"},{"id":8}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := schemas.NewReader(s.JSON(), "invoice_lines")
	if err != nil || !r.HasLines() {
		t.Fatalf("no lines: %v", err)
	}
	want := []schemas.LineVersion{{ID: 7, UpdatedAt: "2024-01-02T11:04:05Z"}, {ID: 8}}
	if lines, err := r.Lines(value); !slices.Equal(lines, want) || err != nil {
		t.Errorf("%v, %v; want %v", lines, err, want)
	}
	for n := range len(value) - 1 {
		if _, err := r.AppendRow(nil, value[:n]); err == nil {
			t.Errorf("%d bytes of %d, and no error", n, len(value))
		}
	}
	if r, err = schemas.NewReader(s.JSON(), "supplier"); err != nil || r.HasLines() {
		t.Errorf("what is no list of lines is one: %v", err)
	}
}
