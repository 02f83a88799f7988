package live

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/live/embedded"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestMain(m *testing.M) {
	RouteClientLog(quiet)
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// onEach runs a test against a real Redis, alone and in cluster mode, and against
// the embedded broker.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("redis", func(t *testing.T) { test(t, livetest.Start(t).URL()) })
	t.Run("cluster", func(t *testing.T) { test(t, livetest.StartCluster(t).URL()) })
	t.Run("embedded", func(t *testing.T) { test(t, startEmbedded(t).URL()) })
}

func startEmbedded(t testing.TB) *embedded.Broker {
	t.Helper()
	b, err := embedded.New(embedded.Config{Addr: "127.0.0.1:0", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop() })
	return b
}

// start opens and starts a Live and waits until it is ready.
func start(t testing.TB, cfg Config) *Live {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	if cfg.PingEvery == 0 {
		cfg.PingEvery = 50 * time.Millisecond
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", l.Ready)
	return l
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatal("the channel is closed")
		}
		return v
	case <-time.After(15 * time.Second):
		t.Fatal("nothing received within 15 s")
	}
	panic("unreachable")
}

// nothing asserts that nothing comes for a moment.
func nothing[T any](t testing.TB, c <-chan T, within time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("received %+v, want nothing", v)
	case <-time.After(within):
	}
}

// batch frames events as a collector does, at the given time.
func batch(at time.Time, events ...timeline.Event) *spool.Batch {
	var records [][]byte
	for i := range events {
		records = append(records, wire.AppendLogRecord(nil, &events[i]))
	}
	req := wire.AppendExportRequest(nil, wire.Resource{}, records)
	return &spool.Batch{
		LogID: "test", To: 1, Frames: [][]byte{wire.AppendFrame(nil, wire.Envelope{IngestedAt: at, AnyNamespace: true}, req)},
	}
}

func event(typ timeline.Type, task string, run, attempt int) timeline.Event {
	return timeline.Event{
		ID: timeline.DerivedEventID("default", task, run, attempt, typ), SourceID: "src", Type: typ, Severity: typ.Severity(),
		Task: timeline.Task{Namespace: "default", ID: task, Type: "payment", Queue: "payments", UserID: "ann", Amount: "120", Currency: "USD"},
		Run:  run, Attempt: attempt, OccurredAt: time.Now().UTC(),
	}
}

func retryRequest(task string, run int) timeline.Event {
	e := event(timeline.DLQRetryRequested, task, run, 0)
	e.Input = timeline.Payload(`{"card":"tok_1"}`)
	e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", task, run-1), Sealed: []byte("sealed")}
	e.Operator = &timeline.Operator{Actor: "ann", Reason: "the bank is back"}
	e.TraceID, e.SpanID = timeline.TraceID{1}, timeline.SpanID{2}
	return e
}

func write(t testing.TB, s interface {
	Write(context.Context, *spool.Batch) error
}, events ...timeline.Event) {
	t.Helper()
	if err := s.Write(t.Context(), batch(time.Now(), events...)); err != nil {
		t.Fatal(err)
	}
}

func clientOf(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(strings.TrimSuffix(url, "?cluster=true"))
	if err != nil {
		t.Fatal(err)
	}
	o.Protocol = 2
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
