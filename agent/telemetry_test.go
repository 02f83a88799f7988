package agent_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

// logs keeps what is exported.
type logs struct {
	mu      sync.Mutex
	records []sdklog.Record
}

func (l *logs) Export(_ context.Context, rs []sdklog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rs {
		l.records = append(l.records, r.Clone())
	}
	return nil
}
func (*logs) Shutdown(context.Context) error   { return nil }
func (*logs) ForceFlush(context.Context) error { return nil }

// signals is an OpenTelemetry SDK whose exporters keep everything in memory.
type signals struct {
	spans  *tracetest.InMemoryExporter
	reader *sdkmetric.ManualReader
	logs   *logs
}

func withSDK(t *testing.T, cfg *agent.Config) *signals {
	t.Helper()
	s := &signals{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader(), logs: &logs{}}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	lp := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(s.logs)))
	cfg.TracerProvider, cfg.MeterProvider, cfg.LoggerProvider = tp, mp, lp
	t.Cleanup(func() {
		ctx := context.Background()
		_, _, _ = tp.Shutdown(ctx), mp.Shutdown(ctx), lp.Shutdown(ctx)
	})
	return s
}

// sums collects the counters and the histogram's count, by name.
func (s *signals) sums(t *testing.T) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					sums[m.Name] += p.Value
					if _, has := p.Attributes.Value("task.id"); has {
						t.Errorf("%s is told apart by task ids", m.Name)
					}
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					sums[m.Name] += int64(p.Count)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					sums[m.Name] += p.Value
				}
			}
		}
	}
	return sums
}

func (s *signals) events() []string {
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	names := make([]string, len(s.logs.records))
	for i, r := range s.logs.records {
		names[i] = r.EventName()
	}
	return names
}

func TestTelemetryOfARetriedTask(t *testing.T) {
	cfg := quick
	sdk := withSDK(t, &cfg)
	rec := agenttest.New(t, cfg)
	var inside trace.SpanContext
	_, err := rec.Do(t.Context(), task("told", "bank"), func(ctx context.Context, tk agent.Task) (agent.Result, error) {
		inside = trace.SpanContextFromContext(ctx)
		return succeedingFrom(2)(ctx, tk)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"agent_marketplace.task.started", "agent_marketplace.task.retry", "agent_marketplace.task.completed"}
	if got := sdk.events(); !slices.Equal(got, want) {
		t.Errorf("log records %v, want %v", got, want)
	}
	spans := sdk.spans.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans, want the task and two attempts", len(spans))
	}
	root := spans[2]
	if root.Name != "process money" || root.SpanKind != trace.SpanKindConsumer || root.Parent.IsValid() {
		t.Errorf("the task's span is %q, kind %v, parent %v", root.Name, root.SpanKind, root.Parent.IsValid())
	}
	set := attribute.NewSet(root.Attributes...)
	for key, want := range map[attribute.Key]string{
		"task.id": "told", "messaging.destination.name": "money", "messaging.operation.type": "process", "task.provider": "bank", "task.outcome": "completed",
	} {
		if v, _ := set.Value(key); v.AsString() != want {
			t.Errorf("the task's span says %s = %q, want %q", key, v.AsString(), want)
		}
	}
	var events []string
	for _, e := range root.Events {
		events = append(events, e.Name)
	}
	if !slices.Equal(events, want) {
		t.Errorf("span events %v, want %v", events, want)
	}
	for i, attempt := range spans[:2] {
		if attempt.Parent.SpanID() != root.SpanContext.SpanID() {
			t.Errorf("attempt %d is not a child of the task's span", i+1)
		}
	}
	if spans[1].SpanContext.SpanID() != inside.SpanID() {
		t.Error("the executor's context does not carry the attempt's span")
	}
	if rec.Events("told")[0].TraceID.String() != root.SpanContext.TraceID().String() {
		t.Error("the timeline is not of the span's trace")
	}
	sums := sdk.sums(t)
	for name, want := range map[string]int64{
		"agent_marketplace.task.started": 1, "agent_marketplace.task.retry": 1, "agent_marketplace.task.completed": 1,
		"agent_marketplace.task.failed": 0, "agent_marketplace.task.active": 0, "agent_marketplace.task.duration": 1,
		"agent_marketplace.circuit_breaker.state": 0,
	} {
		if sums[name] != want {
			t.Errorf("%s = %d, want %d", name, sums[name], want)
		}
	}
}

// A retry of a dead letter is a trace of its own, linked to the run before it.
func TestALaterRunIsANewRootLinkedToTheOneBefore(t *testing.T) {
	cfg := quick
	sdk := withSDK(t, &cfg)
	rec := agenttest.New(t, cfg)
	tk := task("again", "bank")
	tk.Runner, tk.TraceCarrier = "test", map[string]string{}
	tk1 := tk
	tk1.TraceCarrier = nil
	// The runner's half: it is handed the command, and the task comes back with what
	// it wrote beside it.
	taken := make(chan struct{})
	rec.HandleQueue("money", func(ctx context.Context, _ timeline.Command) error {
		rec.InjectTrace(ctx, tk.TraceCarrier)
		close(taken)
		return nil
	})
	if s := rec.Step(t.Context(), tk1, agent.Delivery{Run: 1, Attempt: 1}, failing(agent.Permanent(errUnwell))); s.Outcome != agent.Failed {
		t.Fatalf("outcome %v", s.Outcome)
	}
	events := rec.Events("again")
	moved := events[len(events)-1]
	rec.Collector().Send(timeline.Command{
		ID: timeline.CommandID("default", "again", 2), Kind: timeline.CommandRetry, Task: moved.Task, Run: 2, Reason: timeline.RetryManual,
		DeadLetterID: moved.DeadLetter.ID, RequestedAt: time.Now(), TraceID: moved.TraceID, SpanID: moved.SpanID,
	})
	<-taken
	if s := rec.Step(t.Context(), tk, agent.Delivery{Run: 2, Attempt: 1}, succeeding); s.Outcome != agent.Completed {
		t.Fatalf("outcome %v", s.Outcome)
	}
	spans := sdk.spans.GetSpans() // attempt, task, attempt, task
	if len(spans) != 4 {
		t.Fatalf("%d spans, want 4", len(spans))
	}
	first, second := spans[1], spans[3]
	if second.Parent.IsValid() || second.SpanContext.TraceID() == first.SpanContext.TraceID() {
		t.Error("the second run is not a trace of its own")
	}
	if len(second.Links) != 1 || second.Links[0].SpanContext.TraceID() != first.SpanContext.TraceID() ||
		second.Links[0].SpanContext.SpanID() != first.SpanContext.SpanID() {
		t.Errorf("the second run's links are %v, want one to the first run's span", second.Links)
	}
}
