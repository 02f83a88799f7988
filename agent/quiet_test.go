package agent_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

// Without a provider no span is made, and the trace that came with the task stays
// on its events; the caller's own span is not ended.
func TestATraceGoesOnWithoutAProvider(t *testing.T) {
	rec := agenttest.New(t, quick)
	sr := tracetest.NewSpanRecorder()
	ctx, caller := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(sr)).Tracer("caller").Start(t.Context(), "caller")
	for _, id := range []string{"first", "quiet"} {
		if _, err := rec.Do(ctx, task(id, "p"), succeeding); err != nil {
			t.Fatal(err)
		}
		for _, e := range rec.Events(id) {
			if e.TraceID != timeline.TraceID(caller.SpanContext().TraceID()) {
				t.Errorf("%s: %s has trace %s, want the caller's", id, e.Type, e.TraceID)
			}
		}
	}
	if len(sr.Ended()) != 0 {
		t.Error("the caller's span was ended")
	}
	caller.End()
}

func TestSpansEndOnGoexit(t *testing.T) {
	cfg := quick
	sdk := withSDK(t, &cfg)
	rec := agenttest.New(t, cfg)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = rec.Do(context.Background(), task("exits", "p"), func(context.Context, agent.Task) (agent.Result, error) {
			runtime.Goexit()
			return agent.Result{}, nil
		})
	})
	wg.Wait()
	if n := len(sdk.spans.GetSpans()); n != 2 {
		t.Errorf("%d spans ended, want 2", n)
	}
	if sums := sdk.sums(t); sums["agent_marketplace.task.failed"] != 1 || sums["agent_marketplace.task.active"] != 0 {
		t.Errorf("failed %d, active %d; want 1, 0", sums["agent_marketplace.task.failed"], sums["agent_marketplace.task.active"])
	}
}

// A task that succeeded in the end has no error, whatever its attempts had.
func TestACompletedTaskHasNoErrorType(t *testing.T) {
	cfg := quick
	sdk := withSDK(t, &cfg)
	rec := agenttest.New(t, cfg)
	if _, err := rec.Do(t.Context(), task("saved", "p"), succeedingFrom(2)); err != nil {
		t.Fatal(err)
	}
	spans := sdk.spans.GetSpans()
	for _, a := range spans[len(spans)-1].Attributes {
		if a.Key == "error.type" {
			t.Errorf("the span of a completed task says error.type = %s", a.Value.AsString())
		}
	}
}
