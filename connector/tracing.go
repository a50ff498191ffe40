package connector

import (
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Traces show where the time of a change goes: a span a page that is read, a span a transaction. A page
// and the transaction that carries its rows are traces of their own, since one transaction carries
// pages of many streams. Attributes are settings, counts and ids of rows, never what stands in them.

const tracerName = "github.com/coupastream/coupastream/connector"

// tracer is what spans are made with; of a worker without traces, one whose spans go nowhere.
func (c Config) tracer() trace.Tracer {
	if c.Traces == nil {
		return noop.NewTracerProvider().Tracer(tracerName)
	}
	return c.Traces.Tracer(tracerName)
}
