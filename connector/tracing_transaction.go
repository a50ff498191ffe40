package connector

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

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
