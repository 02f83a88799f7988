package agent_test

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
)

// ending is one way for a run to end without success, and what OpenTelemetry is
// told of it.
type ending struct {
	fn       func(cancel, started func()) agent.Func
	deadline time.Duration
	operator bool

	attempts  int      // spans below the task's
	outcome   string   // of the task's span and the duration
	kind      string   // error.type of the task's span; empty for none
	attempted string   // error.type of the last attempt's span
	records   []string // log records and span events, without their namespace
	reason    string   // of the .failed record
}

func untilDone(before func()) agent.Func {
	return func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		before()
		<-ctx.Done()
		return agent.Result{}, ctx.Err()
	}
}

var endings = map[string]ending{
	"permanent": {
		fn:       func(_, _ func()) agent.Func { return failing(agent.Permanent(errUnwell)) },
		attempts: 1, outcome: "failed", kind: "_OTHER", attempted: "_OTHER", records: []string{"started", "failed"}, reason: "permanent",
	},
	"exhausted": {
		fn:       func(_, _ func()) agent.Func { return failing(errUnwell) },
		attempts: 2, outcome: "failed", kind: "_OTHER", attempted: "_OTHER", records: []string{"started", "retry", "failed"}, reason: "exhausted",
	},
	"panic": {
		fn: func(_, _ func()) agent.Func {
			return func(context.Context, agent.Task) (agent.Result, error) { panic("boom") }
		},
		attempts: 1, outcome: "failed", kind: "panic", attempted: "panic", records: []string{"started", "failed"}, reason: "permanent",
	},
	"goexit": {
		fn: func(_, _ func()) agent.Func {
			return func(context.Context, agent.Task) (agent.Result, error) {
				runtime.Goexit()
				return agent.Result{}, nil
			}
		},
		attempts: 1, outcome: "failed", kind: "goexit", attempted: "goexit", records: []string{"started", "failed"}, reason: "permanent",
	},
	"deadline": {
		fn:       func(_, _ func()) agent.Func { return untilDone(func() {}) },
		deadline: 50 * time.Millisecond,
		attempts: 1, outcome: "failed", kind: "deadline", attempted: "deadline", records: []string{"started", "failed"}, reason: "deadline",
	},
	"caller cancels": {
		fn:       func(cancel, _ func()) agent.Func { return untilDone(cancel) },
		attempts: 1, outcome: "aborted", attempted: "cancelled", records: []string{"started"},
	},
	"operator cancels": {
		fn:       func(_, started func()) agent.Func { return untilDone(started) },
		operator: true,
		attempts: 1, outcome: "cancelled", attempted: "cancelled", records: []string{"started"},
	},
}

// However a run ends, its spans end and say how, the active count goes back, and
// that it failed is told once: as a span event, a counter and a log record.
func TestTelemetryOfRunsThatEndBadly(t *testing.T) {
	for name, want := range endings {
		t.Run(name, func(t *testing.T) {
			cfg := quick
			sdk := withSDK(t, &cfg)
			rec := agenttest.New(t, cfg)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tk := task("ends", "bank")
			if want.deadline > 0 {
				tk.Deadline = time.Now().Add(want.deadline)
			}
			ended := make(chan struct{})
			go func() { // a goroutine of its own, which Goexit may end
				defer close(ended)
				_, _ = rec.Do(ctx, tk, want.fn(cancel, func() {
					if want.operator {
						rec.Collector().Send(cancelOf("ends"))
					}
				}))
			}()
			<-ended

			spans := sdk.spans.GetSpans()
			if len(spans) != want.attempts+1 {
				t.Fatalf("%d spans ended, want the task's and those of %d attempts", len(spans), want.attempts)
			}
			root, attempts := spans[len(spans)-1], spans[:want.attempts]
			for i, s := range attempts {
				if s.Name != "attempt" || s.Parent.SpanID() != root.SpanContext.SpanID() || attr(s, "task.attempt") != strconv.Itoa(i+1) {
					t.Errorf("span %d is %q, attempt %s, below %s", i, s.Name, attr(s, "task.attempt"), s.Parent.SpanID())
				}
			}
			last := attempts[len(attempts)-1]
			if last.Status.Code != codes.Error || attr(last, "error.type") != want.attempted {
				t.Errorf("the attempt's status is %v, error.type %q; want an error, %q", last.Status.Code, attr(last, "error.type"), want.attempted)
			}
			if attr(root, "task.outcome") != want.outcome || attr(root, "error.type") != want.kind || (root.Status.Code == codes.Error) != (want.outcome == "failed") {
				t.Errorf("the task's span says %q, error.type %q, status %v", attr(root, "task.outcome"), attr(root, "error.type"), root.Status.Code)
			}
			var names, told []string
			for _, r := range want.records {
				names = append(names, "agent_marketplace.task."+r)
			}
			for _, e := range root.Events {
				told = append(told, e.Name)
			}
			if !slices.Equal(told, names) || !slices.Equal(sdk.events(), names) {
				t.Errorf("span events %v, log records %v; want %v", told, sdk.events(), names)
			}
			if want.reason != "" {
				wantFailedRecord(t, sdk, root, want)
			}
			failed := int64(0)
			if want.reason != "" {
				failed = 1
			}
			for metric, n := range map[string]int64{"started": 1, "completed": 0, "failed": failed, "retry": int64(want.attempts - 1), "active": 0, "duration": 1} {
				if got := sdk.sums(t)["agent_marketplace.task."+metric]; got != n {
					t.Errorf("%s is %d, want %d", metric, got, n)
				}
			}
		})
	}
}

// wantFailedRecord looks at the log record of the failure: its severity, trace
// context and what it carries.
func wantFailedRecord(t *testing.T, sdk *signals, root tracetest.SpanStub, want ending) {
	t.Helper()
	sdk.logs.mu.Lock()
	r := sdk.logs.records[len(sdk.logs.records)-1]
	sdk.logs.mu.Unlock()
	if r.Severity() != log.SeverityError || r.TraceID() != root.SpanContext.TraceID() || r.SpanID() != root.SpanContext.SpanID() || r.Timestamp().IsZero() {
		t.Errorf("severity %v, trace %s, span %s; want an error of the task's span %s", r.Severity(), r.TraceID(), r.SpanID(), root.SpanContext.SpanID())
	}
	got := recordAttributes(r)
	for key, v := range map[string]string{
		"task.id": "ends", "task.type": "payment", "task.queue": "money", "reason": want.reason, "retry_count": strconv.Itoa(want.attempts - 1),
	} {
		if got[key] != v {
			t.Errorf("the record says %s = %q, want %q", key, got[key], v)
		}
	}
	e := root.Events[len(root.Events)-1]
	set := attribute.NewSet(e.Attributes...)
	if v, _ := set.Value("reason"); v.AsString() != want.reason {
		t.Errorf("the span event's reason is %q, want %q", v.AsString(), want.reason)
	}
}

func recordAttributes(r sdklog.Record) map[string]string {
	m := map[string]string{}
	r.WalkAttributes(func(kv attribute.KeyValue) bool {
		m[string(kv.Key)] = kv.Value.String()
		return true
	})
	return m
}

func attr(s tracetest.SpanStub, key attribute.Key) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}
