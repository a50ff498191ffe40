package connector

import (
	"fmt"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/coupastream/coupastream/coupa/coupatest"
)

func TestPagesAndTransactionsAreTracedWithoutWhatRowsHold(t *testing.T) {
	simulate(t, coupatest.Config{Seed: 110, Rows: 60}, func(h *harness) {
		spans := tracetest.NewSpanRecorder()
		h.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		row := h.tenant.Rows("suppliers")[3]
		h.tenant.SetMember("suppliers", row.ID, "name", `"planted text"`)
		h.start()
		h.settle()
		h.tenant.Inject(coupatest.Fault{Kind: coupatest.ServerError500, Count: 1})
		h.settle()
		h.stop()
		rows, records, failed := int64(0), int64(0), 0
		for _, s := range spans.Ended() {
			if strings.Contains(fmt.Sprint(s.Attributes(), s.Status(), s.Events()), "planted text") {
				t.Errorf("span %s holds a row's text", s.Name())
			}
			if s.Status().Description != "" {
				failed++
			}
			for _, a := range s.Attributes() {
				switch a.Key {
				case "coupa.rows":
					rows += a.Value.AsInt64()
				case "messaging.batch.message_count":
					records += a.Value.AsInt64()
				}
			}
		}
		if published := len(h.records("coupa.invoices")) + len(h.records("coupa.suppliers")); records != int64(published) || rows < records || failed == 0 {
			t.Errorf("spans of %d rows and %d records, %d of them failed; %d records were published", rows, records, failed, published)
		}
	})
}
