package schemas

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkPlanCustom is the invoice of one line with 40 custom fields: in
// the map, and typed; and the same row without any, with the schema of each.
func BenchmarkPlanCustom(b *testing.B) {
	row := string(readTestdata(b, "invoice-one-line.json"))
	at := strings.IndexByte(row, '{') + 1
	bare := strings.Replace(row, `"custom-fields"`, `"other-fields"`, 1)
	with := row[:at] + `"custom-fields":` + fortyCustomFields() + `,` + bare[at:]
	d := newDiscovery(b)
	if err := d.Observe([]byte(with)); err != nil {
		b.Fatal(err)
	}
	plain, err := For("invoices", Options{})
	if err != nil {
		b.Fatal(err)
	}
	typed := customSchema(b, d.Fields())
	b.Run("none/map", func(b *testing.B) { benchmarkPlan(b, plain.JSON(), []byte(bare)) })
	b.Run("none/typed", func(b *testing.B) { benchmarkPlan(b, typed.JSON(), []byte(bare)) })
	b.Run("40/map", func(b *testing.B) { benchmarkPlan(b, plain.JSON(), []byte(with)) })
	b.Run("40/typed", func(b *testing.B) { benchmarkPlan(b, typed.JSON(), []byte(with)) })
}

func fortyCustomFields() string {
	values := []string{`"Berlin office"`, `true`, `4711`, `"12.50"`, `"2024-04-01T00:00:00+03:00"`, `null`, `""`,
		`{"id":5,"active":true,"name":"North","external-ref-num":"N-1","external-ref-code":""}`}
	var members []string
	for i := range 40 {
		members = append(members, fmt.Sprintf(`"cf-%02d":%s`, i, values[i%len(values)]))
	}
	return "{" + strings.Join(members, ",") + "}"
}
