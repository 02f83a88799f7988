package alerting

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// recorder is a Publisher that keeps what it is given, and fails while down.
type recorder struct {
	mu   sync.Mutex
	down bool
	got  []timeline.Alert
	came chan struct{}
	// counted is how many a test has counted so far.
	counted int
}

func newRecorder() *recorder { return &recorder{came: make(chan struct{}, 10_000)} }

func (r *recorder) PublishAlert(_ context.Context, a timeline.Alert) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("down")
	}
	r.got = append(r.got, a)
	select {
	case r.came <- struct{}{}:
	default:
	}
	return nil
}

func (r *recorder) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *recorder) Alerts() []timeline.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]timeline.Alert(nil), r.got...)
}

func hook(name, url string) channel.Config {
	return channel.Config{Name: name, Type: channel.Webhook, URL: url, Secrets: []string{channeltest.SecretA}, AllowPrivate: true, Timeout: channel.Duration(2 * time.Second)}
}

func open(t testing.TB, cfg Config, p Publisher) *Alerting {
	t.Helper()
	return openWith(t, cfg, Deps{Publisher: p})
}

func openWith(t testing.TB, cfg Config, deps Deps) *Alerting {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	a, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func start(t testing.TB, cfg Config, p Publisher) *Alerting {
	t.Helper()
	a := open(t, cfg, p)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func batch(events ...timeline.Event) *spool.Batch {
	var records [][]byte
	for i := range events {
		records = append(records, wire.AppendLogRecord(nil, &events[i]))
	}
	req := wire.AppendExportRequest(nil, wire.Resource{}, records)
	env := wire.Envelope{IngestedAt: time.Now(), AnyNamespace: true}
	return &spool.Batch{LogID: "test", To: 1, Frames: [][]byte{wire.AppendFrame(nil, env, req)}}
}

func write(t testing.TB, a *Alerting, events ...timeline.Event) {
	t.Helper()
	if err := a.Write(t.Context(), batch(events...)); err != nil {
		t.Fatal(err)
	}
}

// event is an event of a payment of 5 USD, a moment after the one before it.
func event(typ timeline.Type, task string, run int) timeline.Event {
	return timeline.Event{
		ID: timeline.DerivedEventID("default", task, run, 0, typ), SourceID: "src", Type: typ, Severity: typ.Severity(),
		Task: timeline.Task{Namespace: "default", ID: task, Type: "payment", Queue: "payments", Amount: "5", Currency: "USD", Provider: "bank"},
		Run:  run, OccurredAt: time.Now().UTC(),
	}
}

func dead(task string, run int, reason timeline.FailureReason) timeline.Event {
	e := event(timeline.MovedToDLQ, task, run)
	e.Reason, e.Attempts = reason, 3
	e.Error = &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "try later", Stack: "long"}
	e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", task, run), AutoRecover: true, Requeueable: true}
	return e
}

func recovery(task string, run int) timeline.Event {
	e := event(timeline.TaskRetried, task, run)
	e.Retry = &timeline.Retry{Reason: timeline.RetryAutoRecover, NextAttempt: 1}
	return e
}

func firing(a *Alerting) []timeline.Alert { return a.Alerts("", true) }
