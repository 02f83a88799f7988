package agent_test

import (
	"context"
	"testing"
	"time"

	lognoop "go.opentelemetry.io/otel/log/noop"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/timeline"
)

// BenchmarkTasktrailPolicy is what the agent's policies alone cost on the way of a
// success: the breaker asked and told, the outcome classified.
func BenchmarkTasktrailPolicy(b *testing.B) {
	br, err := breaker.New(breaker.Key{Namespace: "default", Provider: "bank"}, breaker.Config{}, time.Now(), nil)
	if err != nil {
		b.Fatal(err)
	}
	var classifier *failure.Classifier
	ctx, now := context.Background(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		permit, ok := br.Acquire(now)
		if !ok {
			b.Fatal("the breaker is open")
		}
		_, err := work(ctx)
		if f := classifier.Classify(ctx, ctx, err); !f.OK() {
			b.Fatal(f.Err)
		}
		permit.Success(time.Microsecond)
	}
}

func newAgent(b *testing.B, cfg agent.Config) *agent.Agent {
	b.Helper()
	cfg.Name, cfg.SpoolDir, cfg.SpoolMaxBytes = "bench", b.TempDir(), 64<<30
	a, err := agent.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

var benchTask = agent.Task{Task: timeline.Task{ID: "task-0001", Type: "payment", Queue: "money", Provider: "bank", UserID: "u-1", Amount: "12.50", Currency: "USD"}}

func do(b *testing.B, a *agent.Agent) {
	b.Helper()
	ctx := context.Background()
	fn := func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		_, err := work(ctx)
		return agent.Result{}, err
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Do(ctx, benchTask, fn); err != nil {
			b.Fatal(err)
		}
	}
	if s := a.Stats(); s.Shed+s.Unwritten > 0 {
		b.Fatalf("events were lost: %+v", s)
	}
}

// BenchmarkTasktrailTask is the whole: policies, and the five events of the
// timeline in the spool, where a SIGKILL cannot reach them.
func BenchmarkTasktrailTask(b *testing.B) {
	do(b, newAgent(b, agent.Config{
		TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(), LoggerProvider: lognoop.NewLoggerProvider(),
	}))
}

// BenchmarkTasktrailTaskWithSDK is the same with OpenTelemetry's SDK attached.
func BenchmarkTasktrailTaskWithSDK(b *testing.B) {
	s := newSDK(b)
	do(b, newAgent(b, agent.Config{TracerProvider: s.tracer, MeterProvider: s.meter, LoggerProvider: s.logger}))
}
