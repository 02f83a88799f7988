// Package agent_test measures what one successful task costs with the agent and
// with what people would use instead, in one binary and one run.
package agent_test

import (
	"context"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

//go:noinline
func work(context.Context) (int, error) { return 1, nil }

func BenchmarkBareCall(b *testing.B) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := work(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFailsafeRetryBreaker(b *testing.B) {
	retry := retrypolicy.NewBuilder[int]().WithBackoff(time.Second, 30*time.Second).WithJitterFactor(.25).WithMaxRetries(4).Build()
	breaker := circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(.5, 10, 10*time.Second).WithDelay(30 * time.Second).Build()
	ex := failsafe.With[int](retry, breaker)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ex.WithContext(ctx).Get(func() (int, error) { return work(ctx) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGobreakerBackoff(b *testing.B) {
	cb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: 30 * time.Second, Interval: 10 * time.Second})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_, err := backoff.Retry(ctx, func() (int, error) {
			return cb.Execute(func() (int, error) { return work(ctx) })
		}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxTries(5))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// sdk is a set of OpenTelemetry providers as a user would have them: batched
// spans and logs, a reader for metrics, and exporters that cost nothing.
type sdk struct {
	tracer *sdktrace.TracerProvider
	meter  *sdkmetric.MeterProvider
	logger *sdklog.LoggerProvider
}

type nullSpans struct{}

func (nullSpans) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nullSpans) Shutdown(context.Context) error                             { return nil }

func newSDK(b *testing.B) sdk {
	b.Helper()
	s := sdk{
		tracer: sdktrace.NewTracerProvider(sdktrace.WithBatcher(nullSpans{})),
		meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
		logger: sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(nullLogs{}))),
	}
	b.Cleanup(func() {
		ctx := context.Background()
		_, _, _ = s.tracer.Shutdown(ctx), s.meter.Shutdown(ctx), s.logger.Shutdown(ctx)
	})
	return s
}

type nullLogs struct{}

func (nullLogs) Export(context.Context, []sdklog.Record) error { return nil }
func (nullLogs) Shutdown(context.Context) error                { return nil }
func (nullLogs) ForceFlush(context.Context) error              { return nil }

// BenchmarkOTelSDKDirect writes a timeline with OpenTelemetry alone, as people do
// without the agent: two spans, four measurements, and a log record for each of
// five events.
func BenchmarkOTelSDKDirect(b *testing.B) {
	s := newSDK(b)
	tracer, meter, logger := s.tracer.Tracer("bench"), s.meter.Meter("bench"), s.logger.Logger("bench")
	started, _ := meter.Int64Counter("agent_marketplace.task.started")
	completed, _ := meter.Int64Counter("agent_marketplace.task.completed")
	active, _ := meter.Int64UpDownCounter("agent_marketplace.task.active")
	duration, _ := meter.Float64Histogram("agent_marketplace.task.duration", metric.WithUnit("s"))
	set := metric.WithAttributeSet(attribute.NewSet(attribute.String("task.type", "payment"), attribute.String("task.queue", "money"), attribute.String("task.provider", "bank")))
	ctx := context.Background()
	emit := func(ctx context.Context, name string) {
		var r log.Record
		r.SetEventName(name)
		r.SetTimestamp(time.Now())
		r.SetSeverity(log.SeverityInfo)
		r.AddAttributes(attribute.String("task.id", "task-0001"), attribute.String("task.type", "payment"), attribute.String("task.queue", "money"), attribute.Int("task.attempt", 1))
		logger.Emit(ctx, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		tctx, span := tracer.Start(ctx, "process money", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			attribute.String("messaging.system", "asynq"), attribute.String("messaging.destination.name", "money"), attribute.String("task.id", "task-0001")))
		started.Add(tctx, 1, set)
		active.Add(tctx, 1, set)
		emit(tctx, "task_created")
		emit(tctx, "task_started")
		actx, attempt := tracer.Start(tctx, "attempt", trace.WithAttributes(attribute.Int("task.attempt", 1)))
		emit(actx, "attempt_started")
		if _, err := work(actx); err != nil {
			attempt.SetStatus(codes.Error, err.Error())
		}
		emit(actx, "attempt_success")
		attempt.End()
		emit(tctx, "task_completed")
		duration.Record(tctx, time.Since(began).Seconds(), set)
		completed.Add(tctx, 1, set)
		active.Add(tctx, -1, set)
		span.End()
	}
}

// BenchmarkOTelSDKSameSignals writes by hand, signal for signal and attribute for
// attribute, what the agent tells OpenTelemetry of one successful task: two spans,
// two span events, two log records, five measurements. It has no timeline.
func BenchmarkOTelSDKSameSignals(b *testing.B) {
	s := newSDK(b)
	tracer, meter, logger := s.tracer.Tracer("bench"), s.meter.Meter("bench"), s.logger.Logger("bench")
	started, _ := meter.Int64Counter("agent_marketplace.task.started")
	completed, _ := meter.Int64Counter("agent_marketplace.task.completed")
	active, _ := meter.Int64UpDownCounter("agent_marketplace.task.active")
	duration, _ := meter.Float64Histogram("agent_marketplace.task.duration", metric.WithUnit("s"))
	kind := []attribute.KeyValue{
		attribute.String("task.type", "payment"), attribute.String("task.queue", "money"), attribute.String("task.agent", "bench"), attribute.String("task.provider", "bank"),
	}
	set := metric.WithAttributeSet(attribute.NewSet(kind...))
	ended := metric.WithAttributeSet(attribute.NewSet(append(kind[:4:4], attribute.String("task.outcome", "completed"))...))
	ctx := context.Background()
	emit := func(ctx context.Context, span trace.Span, name string, attrs ...attribute.KeyValue) {
		span.AddEvent(name, trace.WithAttributes(attrs...))
		var r log.Record
		r.SetEventName(name)
		r.SetTimestamp(time.Now())
		r.SetSeverity(log.SeverityInfo)
		r.AddAttributes(attribute.String("task.id", "task-0001"), attribute.String("task.type", "payment"), attribute.String("task.queue", "money"))
		r.AddAttributes(attrs...)
		logger.Emit(ctx, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		active.Add(ctx, 1, set)
		tctx, span := tracer.Start(ctx, "process money", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
			kind[0], kind[1], kind[2], kind[3],
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", "money"), attribute.String("messaging.message.id", "task-0001"),
			attribute.String("task.id", "task-0001"), attribute.Int("task.run", 1), attribute.String("task.user_id", "u-1")))
		started.Add(tctx, 1, set)
		emit(tctx, span, "agent_marketplace.task.started")
		actx, attempt := tracer.Start(tctx, "attempt", trace.WithAttributes(attribute.Int("task.attempt", 1)))
		if _, err := work(actx); err != nil {
			attempt.SetStatus(codes.Error, err.Error())
		}
		took := time.Since(began)
		completed.Add(tctx, 1, set)
		duration.Record(tctx, took.Seconds(), ended)
		emit(tctx, span, "agent_marketplace.task.completed",
			attribute.Float64("duration_ms", float64(took.Microseconds())/1000), attribute.Int("attempts", 1))
		span.SetAttributes(attribute.String("task.outcome", "completed"))
		attempt.End()
		active.Add(tctx, -1, set)
		span.End()
	}
}
