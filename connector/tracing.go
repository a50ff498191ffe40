package connector

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coupastream/coupastream/coupa"
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

// tracePage begins the span of a page.
func (ps *pass) tracePage(ctx context.Context, q coupa.Query) (context.Context, trace.Span) {
	return ps.p.tracer.Start(ctx, "coupa fetch", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("coupa.tenant", ps.p.stream.Tenant), attribute.String("coupa.object", ps.p.stream.Object),
		attribute.String("coupa.walk", ps.walk.Kind.String()), attribute.String("coupa.window", q.Window.String()), attribute.Int64("coupa.after_id", q.After),
	))
}

// endPage ends the span of a page.
func endPage(span trace.Span, page coupa.Page, err error) {
	span.SetAttributes(attribute.Int("coupa.rows", page.Rows))
	endSpan(span, err)
}

// traceTransaction begins the span of a transaction.
func (s *shard) traceTransaction(ctx context.Context, batch []*submission) (context.Context, trace.Span) {
	records, bytes := 0, 0
	for _, sub := range batch {
		records += len(sub.records)
		bytes += sub.bytes
	}
	return s.tracer.Start(ctx, "kafka transaction", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.Int("coupastream.shard", int(s.partition)), attribute.Int("messaging.batch.message_count", records),
		attribute.Int("coupastream.bytes", bytes), attribute.Int("coupastream.submissions", len(batch)),
	))
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
