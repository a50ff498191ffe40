package shard

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traceTransaction begins the span of a transaction.
func (s *Shard) traceTransaction(ctx context.Context, batch []*Submission) (context.Context, trace.Span) {
	records, bytes := 0, 0
	for _, sub := range batch {
		records += len(sub.Records)
		bytes += sub.Bytes
	}
	return s.Tracer.Start(ctx, "kafka transaction", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.Int("coupastream.shard", int(s.Partition)), attribute.Int("messaging.batch.message_count", records),
		attribute.Int("coupastream.bytes", bytes), attribute.Int("coupastream.submissions", len(batch)),
	))
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
