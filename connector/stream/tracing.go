package stream

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/coupastream/coupastream/coupa"
)

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
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
