package schemas

import (
	"testing"
	"time"
)

// BenchmarkFormats is a row made into a value of each format.
func BenchmarkFormats(b *testing.B) {
	s, err := For("invoices", Options{})
	if err != nil {
		b.Fatal(err)
	}
	plan, err := s.Plan()
	if err != nil {
		b.Fatal(err)
	}
	row, e := readTestdata(b, benchRows[0]), plan.Encoder()
	origin := Origin{Version: "v1", Name: "acme", Tenant: "acme", Object: "invoices"}
	inAvro, inJSON := NewEnvelope(origin), NewJSONEnvelope(origin)
	var avro []byte
	asAvro := func(dst []byte) ([]byte, error) { return e.Append(dst, row) }
	asJSON := func(dst []byte) ([]byte, error) {
		var err error
		if avro, err = e.Append(avro[:0], row); err != nil {
			return dst, err
		}
		return plan.AppendJSON(dst, avro)
	}
	within := func(envelope *Envelope, value func([]byte) ([]byte, error)) func([]byte) ([]byte, error) {
		at := time.Unix(1_700_000_000, 0)
		return func(dst []byte) ([]byte, error) {
			dst, err := value(envelope.Open(dst))
			return envelope.Close(dst, at, at, false), err
		}
	}
	for _, f := range []struct {
		name  string
		value func([]byte) ([]byte, error)
	}{
		{"avro", asAvro}, {"avro-debezium", within(inAvro, asAvro)}, {"json", asJSON}, {"json-debezium", within(inJSON, asJSON)},
	} {
		b.Run(f.name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if dst, err = f.value(dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(dst)), "B/value")
		})
	}
}
