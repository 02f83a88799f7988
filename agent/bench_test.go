package agent_test

import (
	"context"
	"testing"

	lognoop "go.opentelemetry.io/otel/log/noop"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// benchAgent is an agent whose spool never fills up and is never shipped.
func benchAgent(b *testing.B, cfg agent.Config) *agent.Agent {
	b.Helper()
	cfg.SpoolDir, cfg.SpoolMaxBytes = b.TempDir(), 64<<30
	if cfg.TracerProvider == nil {
		cfg.TracerProvider, cfg.MeterProvider, cfg.LoggerProvider = tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider(), lognoop.NewLoggerProvider()
	}
	a, err := agent.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return a
}

// BenchmarkDo is one successful task: five events into the spool, each beyond the
// reach of a SIGKILL before the agent goes on, and no OpenTelemetry SDK.
func BenchmarkDo(b *testing.B) {
	a := benchAgent(b, agent.Config{Name: "bench"})
	t := agent.Task{Task: timeline.Task{ID: "task-0001", Type: "payment", Queue: "money", Provider: "bank", UserID: "u-1", Amount: "12.50", Currency: "USD"}}
	ctx := context.Background()
	fn := func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{}, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Do(ctx, t, fn); err != nil {
			b.Fatal(err)
		}
	}
	if s := a.Stats(); s.Shed+s.Unwritten > 0 {
		b.Fatalf("events were lost: %+v", s)
	}
}
