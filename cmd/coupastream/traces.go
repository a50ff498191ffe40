package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/coupastream/coupastream/connector/config"
)

// flushTimeout is how long a stop waits for the last traces.
const flushTimeout = 3 * time.Second

// newTraces makes what sends traces to the collector that the worker's file names, and what
// ends it; nil where it names none. A collector that is away costs nothing but its traces.
func newTraces(ctx context.Context, settings *config.Worker, log *slog.Logger) (*sdktrace.TracerProvider, func(), error) {
	if settings.TracesEndpoint == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(settings.TracesEndpoint))
	if err != nil {
		return nil, nil, fmt.Errorf("otel.exporter.otlp.endpoint = %s: %w", settings.TracesEndpoint, err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("traces could not be sent", "error", err) }))
	traces := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(settings.TracesRatio))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "coupastream"), attribute.String("service.version", version()), attribute.String("service.namespace", settings.GroupID),
		)),
	)
	return traces, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		_ = traces.Shutdown(ctx) // what is not sent by now is lost
	}, nil
}
