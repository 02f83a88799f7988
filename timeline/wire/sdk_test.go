package wire_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// capture runs emit against a stock SDK with a stock exporter and gives the
// bodies of the requests it sent.
func capture(t *testing.T, compression otlploghttp.Compression, emit func(log.Logger)) [][]byte {
	t.Helper()
	var mu sync.Mutex
	var bodies [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, b)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	ctx := context.Background()
	exporter, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(server.URL+"/v1/logs"), otlploghttp.WithCompression(compression))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)))
	emit(provider.Logger("some/library"))
	if err := provider.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return bodies
}

// accepted checks the bodies and gives the events of a collector's frames.
func accepted(t *testing.T, bodies [][]byte) []timeline.Event {
	t.Helper()
	var out []timeline.Event
	for _, b := range bodies {
		report, err := wire.Check(b, wire.Limits{})
		if err != nil || report.Rejected != 0 {
			t.Fatal(report.Message(), err)
		}
		if !bytes.Equal(report.Clean, b) {
			t.Fatal("a request without a fault was rewritten")
		}
		out = append(out, scan(t, wire.Envelope{IngestedAt: time.Now()}, report.Clean)...)
	}
	return out
}

func TestStockSDKWritesATimeline(t *testing.T) {
	start := time.Now().Add(-time.Minute)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	steps := []struct {
		name string
		more []attribute.KeyValue
	}{
		{"task_created", []attribute.KeyValue{attribute.Map("task.input", attribute.String("to", "a@b.example"), attribute.Int("n", 1)), attribute.Float64("task.amount", 129.99), attribute.String("task.currency", "EUR")}},
		{"task_started", []attribute.KeyValue{attribute.Int("policy.max_attempts", 5), attribute.Int("policy.base_ms", 1000)}},
		{"attempt_started", []attribute.KeyValue{attribute.Int("task.attempt", 1), attribute.String("breaker.state", "closed")}},
		{"attempt_failed", []attribute.KeyValue{attribute.Int("task.attempt", 1), attribute.String("error.type", "http_503"), attribute.Int("http.response.status_code", 503), attribute.Float64("task.duration_ms", 12.5)}},
		{"task_retried", []attribute.KeyValue{attribute.Int("task.attempt", 1), attribute.Int("retry.next_attempt", 2), attribute.Int("retry.delay_ms", 900), attribute.String("retry.reason", "backoff")}},
		{"attempt_started", []attribute.KeyValue{attribute.Int("task.attempt", 2)}},
		{"attempt_success", []attribute.KeyValue{attribute.Int("task.attempt", 2), attribute.Int("task.duration_ms", 7)}},
		{"task_completed", []attribute.KeyValue{attribute.Int("task.attempts", 2), attribute.Int("task.duration_ms", 1500), attribute.String("my.own", "kept")}},
	}
	emit := func(l log.Logger) {
		for i, s := range steps {
			var r log.Record
			if i%2 == 0 {
				r.SetEventName(s.name)
			} else {
				r.AddAttributes(attribute.String("event.name", s.name))
			}
			r.SetTimestamp(start.Add(time.Duration(i) * time.Second))
			r.SetBody(attribute.StringValue("something for people"))
			r.AddAttributes(attribute.String("task.id", "order-7"), attribute.String("task.type", "payment"))
			r.AddAttributes(s.more...)
			l.Emit(trace.ContextWithSpanContext(context.Background(), span), r)
		}
	}
	for name, compression := range map[string]otlploghttp.Compression{"plain": otlploghttp.NoCompression, "gzip": otlploghttp.GzipCompression} {
		t.Run(name, func(t *testing.T) {
			events := accepted(t, capture(t, compression, emit))
			if len(events) != len(steps) {
				t.Fatalf("%d events, want %d", len(events), len(steps))
			}
			for i, e := range events {
				if e.Type.String() != steps[i].name || e.Task.ID != "order-7" || e.ID.IsZero() || e.TraceID != (timeline.TraceID{1}) || e.SpanID != (timeline.SpanID{2}) {
					t.Errorf("event %d: %s", i, dump(e))
				}
			}
			snap, ok := timeline.Fold(events)
			if !ok || snap.State != timeline.StateCompleted || snap.Amount != "129.99" || string(snap.Input) != `{"n":1,"to":"a@b.example"}` {
				t.Errorf("folded: %+v", snap)
			}
			attempts := timeline.FoldAttempts(events)
			if len(attempts) != 2 || attempts[0].Error == nil || attempts[0].Error.HTTPStatus != 503 ||
				attempts[1].Outcome != timeline.OutcomeSuccess || attempts[1].Wait == nil || attempts[1].Wait.Delay.Duration() != 900*time.Millisecond {
				t.Errorf("attempts: %+v", attempts)
			}
			if events[7].Attributes["my.own"] != "kept" {
				t.Errorf("attributes %v", events[7].Attributes)
			}
		})
	}
}

func TestStockSDKSendsTelemetryEvents(t *testing.T) {
	start := time.Now().Add(-time.Minute)
	events := accepted(t, capture(t, otlploghttp.NoCompression, func(l log.Logger) {
		for i, s := range []struct {
			name string
			more []attribute.KeyValue
		}{
			{"started", nil},
			{"retry", []attribute.KeyValue{attribute.Int("attempt", 1), attribute.String("error", "timeout")}},
			{"failed", []attribute.KeyValue{attribute.String("reason", "exhausted"), attribute.Int("retry_count", 1)}},
			{"completed", []attribute.KeyValue{attribute.Int("duration_ms", 5), attribute.Int("attempts", 1)}},
		} {
			var r log.Record
			r.SetEventName("agent_marketplace.task." + s.name)
			r.SetTimestamp(start.Add(time.Duration(i) * time.Second))
			r.AddAttributes(attribute.String("task_id", "t"+s.name))
			r.AddAttributes(s.more...)
			l.Emit(context.Background(), r)
		}
	}))
	want := []timeline.Type{timeline.TaskStarted, timeline.TaskRetried, timeline.TaskFailed, timeline.MovedToDLQ, timeline.TaskCompleted}
	if len(events) != len(want) {
		t.Fatalf("%d events, want %d", len(events), len(want))
	}
	for i, e := range events {
		if e.Type != want[i] || e.ID.IsZero() || e.Task.ID == "" {
			t.Errorf("event %d: %s", i, dump(e))
		}
	}
}
