package mapping_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/coupastream/coupastream/schemas"
	"github.com/coupastream/coupastream/schemas/mapping"
)

// What rules cost beside the encoding of a row: rename and
// retype nothing, the others a pass over it each way.
func BenchmarkRow(b *testing.B) {
	text, err := os.ReadFile("../testdata/rows/invoices.json")
	if err != nil {
		b.Fatal(err)
	}
	var rows []json.RawMessage
	if json.Unmarshal(text, &rows) != nil {
		rows = []json.RawMessage{text}
	}
	for _, test := range []struct{ name, rules string }{
		{"none", "fields: {status: {rename: state}}"},
		{"leave-out", "leave-out: [invoice-lines.description, internal-note]"},
		{"hash", "fields: {created-by.email: {hash: true}}"},
		{"compute", `compute: {x: {expression: "double(row.gross_total) * 1.1", type: double}}`},
		{"compute over lines", `compute: {x: {expression: "row.invoice_lines.exists(l, double(l.price) > 1e9)", type: boolean}}`},
	} {
		b.Run(test.name, func(b *testing.B) {
			l, err := mapping.Parse("", []byte(under("invoices", test.rules)))
			if err != nil {
				b.Fatal(err)
			}
			m, err := mapping.Compile("invoices", l)
			if err != nil {
				b.Fatal(err)
			}
			s, err := schemas.For("invoices", schemas.Options{Mapping: m})
			if err != nil {
				b.Fatal(err)
			}
			plan, err := s.Plan()
			if err != nil {
				b.Fatal(err)
			}
			r, enc := m.Rewriter("0123456789abcdef"), plan.Encoder()
			var out []byte
			b.SetBytes(int64(len(rows[0])))
			b.ReportAllocs()
			for b.Loop() {
				row, err := r.Row(rows[0])
				if err == nil {
					out, err = enc.Append(out[:0], row)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	text := []byte(under("invoices", "leave-out: [status]\n"+`compute: {x: {expression: "double(row.gross_total) * 1.1", type: double}}`))
	for b.Loop() {
		l, err := mapping.Parse("", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := mapping.Compile("invoices", l); err != nil {
			b.Fatal(err)
		}
	}
}
