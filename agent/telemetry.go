package agent

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/timeline"
)

// telemetry tells the user's OpenTelemetry providers of the four task events, as
// span events, counters and log records. Nothing depends on it: the timeline does
// not travel this way.
type telemetry struct {
	tracer trace.Tracer
	logger log.Logger
	// quietUntil is until when spans need not be made (Unix nanoseconds): nobody
	// listens. OpenTelemetry's global tracer does not say whether a provider stands
	// behind it, so a real span is asked for once a quietFor.
	quietUntil atomic.Int64

	startedName, completedName, failedName, retryName string

	started, completed, failed, retried metric.Int64Counter
	duration                            metric.Float64Histogram
	active                              metric.Int64UpDownCounter
	gauge                               metric.Registration

	mu    sync.RWMutex
	tasks map[taskKind]*taskInstruments
}

// taskKind is what metrics tell tasks apart by: never ids.
type taskKind struct{ kind, queue, agent, provider string }

// maxKinds bounds the cached attribute sets; past it they are made anew.
const maxKinds = 4096

// taskInstruments are the attributes of one kind of task, ready for use.
type taskInstruments struct {
	t     *telemetry
	attrs []attribute.KeyValue
	span  string
	// The options of calls, made once: a variadic call would allocate them each time.
	spanOpts        []trace.SpanStartOption
	add             []metric.AddOption
	recordCompleted []metric.RecordOption
}

func newTelemetry(cfg Config, breakers *breaker.Set) (*telemetry, error) {
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	if cfg.LoggerProvider == nil {
		cfg.LoggerProvider = otel.GetLoggerProvider()
	}
	ns := cfg.TelemetryNamespace
	t := &telemetry{
		tracer: cfg.TracerProvider.Tracer(scopeName), logger: cfg.LoggerProvider.Logger(scopeName), tasks: map[taskKind]*taskInstruments{},
		startedName: ns + eventStarted, completedName: ns + eventCompleted, failedName: ns + eventFailed, retryName: ns + eventRetry,
	}
	m := cfg.MeterProvider.Meter(scopeName)
	var errs [7]error
	t.started, errs[0] = m.Int64Counter(t.startedName, metric.WithUnit("{task}"), metric.WithDescription("Runs that began."))
	t.completed, errs[1] = m.Int64Counter(t.completedName, metric.WithUnit("{task}"), metric.WithDescription("Runs that completed."))
	t.failed, errs[2] = m.Int64Counter(t.failedName, metric.WithUnit("{task}"), metric.WithDescription("Runs that failed."))
	t.retried, errs[3] = m.Int64Counter(t.retryName, metric.WithUnit("{retry}"), metric.WithDescription("Retries that were scheduled."))
	t.duration, errs[4] = m.Float64Histogram(ns+metricDuration, metric.WithUnit("s"), metric.WithDescription("How long runs took."))
	t.active, errs[5] = m.Int64UpDownCounter(ns+metricActive, metric.WithUnit("{task}"), metric.WithDescription("Runs in progress in this process."))
	var state metric.Int64ObservableGauge
	state, errs[6] = m.Int64ObservableGauge(ns+metricBreaker, metric.WithDescription("0 closed, 1 half-open, 2 open."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	var err error
	t.gauge, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, b := range breakers.All() {
			o.ObserveInt64(state, breakerValue(b.State()), metric.WithAttributes(attribute.String(attrProvider, b.Key().Provider)))
		}
		return nil
	}, state)
	return t, err
}

func breakerValue(s timeline.BreakerState) int64 {
	switch s {
	case timeline.BreakerOpen:
		return 2
	case timeline.BreakerHalfOpen:
		return 1
	default:
		return 0
	}
}

func (t *telemetry) close() error {
	if t.gauge == nil {
		return nil
	}
	return t.gauge.Unregister()
}

func (t *telemetry) forTask(task *Task) *taskInstruments {
	k := taskKind{task.Type, task.Queue, task.Agent, task.Provider}
	t.mu.RLock()
	i := t.tasks[k]
	t.mu.RUnlock()
	if i != nil {
		return i
	}
	i = &taskInstruments{t: t, span: operationProcess + " " + k.queue, attrs: []attribute.KeyValue{
		attribute.String(attrTaskType, k.kind), attribute.String(attrTaskQueue, k.queue), attribute.String(attrTaskAgent, k.agent),
	}}
	if k.provider != "" {
		i.attrs = append(i.attrs, attribute.String(attrProvider, k.provider))
	}
	i.spanOpts = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	i.add = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(i.attrs...))}
	i.recordCompleted = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(i.with(attribute.String(attrOutcome, outcomeCompleted))...))}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tasks) < maxKinds {
		t.tasks[k] = i
	}
	return i
}

// with returns the kind's attributes and more, in a slice of their own.
func (i *taskInstruments) with(more ...attribute.KeyValue) []attribute.KeyValue {
	return append(i.attrs[:len(i.attrs):len(i.attrs)], more...)
}

// start begins the task's span: a child of the side that enqueued for the first
// run, a new root linked to it for later ones.
func (i *taskInstruments) start(ctx context.Context, r *run, now time.Time) (context.Context, trace.Span) {
	i.t.active.Add(ctx, 1, i.add...)
	if i.t.quiet(now) {
		return ctx, passive(ctx)
	}
	parent := trace.SpanContextFromContext(ctx)
	opts := i.spanOpts
	if r.number > 1 && parent.IsValid() {
		opts = append(opts[:len(opts):len(opts)], trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	ctx, span := i.t.tracer.Start(ctx, i.span, opts...)
	i.t.hush(span, parent, now)
	if span.IsRecording() {
		attrs := make([]attribute.KeyValue, 0, len(i.attrs)+7)
		attrs = append(attrs, i.attrs...)
		attrs = append(attrs,
			attribute.String(attrMessagingOperation, operationProcess),
			attribute.String(attrMessagingDestination, r.task.Queue), attribute.String(attrMessagingMessageID, r.task.ID),
			attribute.String(attrTaskID, r.task.ID), attribute.Int(attrTaskRun, r.number))
		if r.task.Runner != "" {
			attrs = append(attrs, attribute.String(attrMessagingSystem, r.task.Runner))
		}
		if r.task.UserID != "" {
			attrs = append(attrs, attribute.String(attrTaskUser, r.task.UserID))
		}
		span.SetAttributes(attrs...)
	}
	return ctx, span
}

// quietFor is how long a provider that is installed after the first task may stay
// unnoticed.
const quietFor = time.Second

func (t *telemetry) quiet(now time.Time) bool { return now.UnixNano() < t.quietUntil.Load() }

// hush notes that nobody listens: the span is not a new one but the parent's.
func (t *telemetry) hush(span trace.Span, parent trace.SpanContext, now time.Time) {
	if !span.IsRecording() && span.SpanContext().Equal(parent) {
		t.quietUntil.Store(now.Add(quietFor).UnixNano())
	}
}

// passive is what a no-op tracer's span is: nothing but the trace that was handed
// in. It never is the caller's own span, which is not ours to end.
func passive(ctx context.Context) trace.Span {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return noop.Span{}
	}
	return trace.SpanFromContext(trace.ContextWithSpanContext(context.Background(), sc))
}

func (i *taskInstruments) startAttempt(ctx context.Context, r *run, now time.Time) (context.Context, trace.Span) {
	if i.t.quiet(now) {
		return ctx, passive(ctx)
	}
	ctx, span := i.t.tracer.Start(ctx, spanAttempt)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int(attrTaskAttempt, r.attempt))
	}
	return ctx, span
}

func (i *taskInstruments) endAttempt(span trace.Span, e *timeline.Error) {
	if e != nil && span.IsRecording() {
		span.SetAttributes(attribute.String(attrErrorType, e.Kind))
		span.SetStatus(codes.Error, e.Message)
	}
}

// The four events.

// listens reports whether anybody would take an event: a recording span, or a
// logger that is on. Attributes are made only then.
func (t *telemetry) listens(r *run, name string, severity log.Severity) bool {
	return r.span.IsRecording() || t.logger.Enabled(r.ctx, log.EnabledParameters{Severity: severity, EventName: name})
}

func (t *telemetry) emit(r *run, name string, severity log.Severity, attrs ...attribute.KeyValue) {
	if r.span.IsRecording() {
		if len(attrs) == 0 {
			r.span.AddEvent(name)
		} else {
			r.span.AddEvent(name, trace.WithAttributes(attrs...))
		}
	}
	var rec log.Record
	rec.SetEventName(name)
	rec.SetTimestamp(r.last)
	rec.SetSeverity(severity)
	// Five attributes are what the SDK's records hold without growing, one by one and
	// with a search for repeats: what else is known of the task stands on its span.
	rec.AddAttributes(attribute.String(attrTaskID, r.task.ID), attribute.String(attrTaskType, r.task.Type), attribute.String(attrTaskQueue, r.task.Queue))
	rec.AddAttributes(attrs...)
	t.logger.Emit(r.ctx, rec)
}

func (i *taskInstruments) started(r *run) {
	i.t.started.Add(r.ctx, 1, i.add...)
	if i.t.listens(r, i.t.startedName, log.SeverityInfo) {
		i.t.emit(r, i.t.startedName, log.SeverityInfo)
	}
}

func (i *taskInstruments) completed(r *run, took time.Duration) {
	i.t.completed.Add(r.ctx, 1, i.add...)
	i.t.duration.Record(r.ctx, took.Seconds(), i.recordCompleted...)
	if !i.t.listens(r, i.t.completedName, log.SeverityInfo) {
		return
	}
	i.t.emit(r, i.t.completedName, log.SeverityInfo,
		attribute.Float64(attrDurationMS, float64(took.Microseconds())/1000), attribute.Int(attrAttempts, r.counted))
	if r.span.IsRecording() {
		r.span.SetAttributes(attribute.String(attrOutcome, outcomeCompleted))
	}
}

func (i *taskInstruments) failed(r *run, reason timeline.FailureReason, last *timeline.Error) {
	i.t.failed.Add(r.ctx, 1, i.add...)
	if i.t.listens(r, i.t.failedName, log.SeverityError) {
		i.t.emit(r, i.t.failedName, log.SeverityError, attribute.String(attrReason, string(reason)), attribute.Int(attrRetryCount, max(r.counted-1, 0)))
	}
	kind := string(reason) // of a run that ended without an attempt of its own
	if last != nil {
		kind = last.Kind
	}
	i.ended(r, outcomeFailed, kind)
}

func (i *taskInstruments) retried(r *run, last *timeline.Error) {
	i.t.retried.Add(r.ctx, 1, i.add...)
	if !i.t.listens(r, i.t.retryName, log.SeverityWarn) {
		return
	}
	i.t.emit(r, i.t.retryName, log.SeverityWarn, attribute.Int(attrAttempt, r.attempt), attribute.String(attrError, last.Kind))
}

// ended records how long a run without success took, and how it ended.
func (i *taskInstruments) ended(r *run, outcome, kind string) {
	attrs := []attribute.KeyValue{attribute.String(attrOutcome, outcome)}
	if kind != "" {
		attrs = append(attrs, attribute.String(attrErrorType, kind))
	}
	i.t.duration.Record(r.ctx, time.Since(r.began).Seconds(), metric.WithAttributeSet(attribute.NewSet(i.with(attrs...)...)))
	if r.span.IsRecording() {
		r.span.SetAttributes(attrs...)
		if outcome == outcomeFailed {
			r.span.SetStatus(codes.Error, kind)
		}
	}
}

// InjectTrace writes the trace context of ctx into a carrier that travels with a
// task: headers, metadata.
func (a *Agent) InjectTrace(ctx context.Context, carrier map[string]string) {
	a.cfg.Propagator.Inject(ctx, propagation.MapCarrier(carrier))
}

func (a *Agent) extract(ctx context.Context, carrier map[string]string) context.Context {
	if len(carrier) == 0 {
		return ctx
	}
	return a.cfg.Propagator.Extract(ctx, propagation.MapCarrier(carrier))
}
