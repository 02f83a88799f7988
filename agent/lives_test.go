package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDoomed); dir != "" {
		doomed(dir)
	}
	if dir := os.Getenv(envBusy); dir != "" {
		busy(dir)
	}
	goleak.VerifyTestMain(m)
}

var quick = agent.Config{
	Retry:   retry.Policy{MaxAttempts: 2, Base: time.Millisecond, Cap: 2 * time.Millisecond},
	Breaker: breaker.Config{OpenFor: 100 * time.Millisecond},
}

func lives(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../timeline/testdata/lives.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Lives map[string][]string }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Lives
}

func wantLife(t *testing.T, rec *agenttest.Recorder, id string, want []string) {
	t.Helper()
	if got := rec.Life(id); !slices.Equal(got, want) {
		t.Errorf("%s lived\n  %s\nwant\n  %s", id, strings.Join(got, ", "), strings.Join(want, ", "))
	}
}

func task(id, provider string) agent.Task {
	return agent.Task{Task: timeline.Task{
		ID: id, Type: "payment", Queue: "money", Provider: provider, Amount: "120.00", Currency: "USD", Input: timeline.Payload(`{"n":1}`),
	}}
}

var errUnwell = errors.New("the service is not well")

func failing(err error) agent.Func {
	return func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{}, err }
}

func succeeding(context.Context, agent.Task) (agent.Result, error) {
	return agent.Result{Output: []byte(`{"ok":true}`)}, nil
}

func succeedingFrom(n int) agent.Func {
	return func(ctx context.Context, t agent.Task) (agent.Result, error) {
		if at, _ := agent.AttemptFrom(ctx); at.Number < n {
			return agent.Result{}, errUnwell
		}
		return succeeding(ctx, t)
	}
}

func TestLivesInProcess(t *testing.T) {
	want := lives(t)
	rec := agenttest.New(t, quick)
	for _, c := range []struct {
		life string
		fn   agent.Func
	}{
		{"success", succeeding},
		{"retry_then_success", succeedingFrom(2)},
		{"exhausted_after_2", failing(errUnwell)},
		{"permanent", failing(agent.Permanent(errUnwell))},
	} {
		_, err := rec.Do(t.Context(), task(c.life, "p-"+c.life), c.fn)
		if failed := c.life == "exhausted_after_2" || c.life == "permanent"; failed != (err != nil) {
			t.Errorf("%s: error %v", c.life, err)
		}
		if err != nil && !errors.Is(err, errUnwell) {
			t.Errorf("%s: the executor's error is lost: %v", c.life, err)
		}
		wantLife(t, rec, c.life, want[c.life])
	}
	events := rec.Events("exhausted_after_2")
	last := events[len(events)-1]
	if last.DeadLetter == nil || last.DeadLetter.AlertSeverity != timeline.AlertCritical || last.Reason != timeline.FailExhausted {
		t.Errorf("the dead letter says %+v, reason %s; want critical, exhausted", last.DeadLetter, last.Reason)
	}
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d has seq %d", i, e.Seq)
		}
		if i > 0 && !e.OccurredAt.After(events[i-1].OccurredAt) {
			t.Errorf("event %d is not after the one before it", i)
		}
	}
}

func TestBreakerLives(t *testing.T) {
	want := lives(t)
	cfg := quick
	cfg.Breaker.ConsecutiveFailures, cfg.Breaker.OpenFor = 1, time.Hour
	rec := agenttest.New(t, cfg)
	_, err := rec.Do(t.Context(), task("trips", "bank"), failing(errUnwell))
	var te *agent.TaskError
	if !errors.As(err, &te) || te.Reason != timeline.FailCircuitOpen || te.Attempts != 1 {
		t.Errorf("error %v, want circuit_open after one attempt", err)
	}
	wantLife(t, rec, "trips", want["trips_the_breaker"])

	called := false
	_, err = rec.Do(t.Context(), task("arrives", "bank"), func(context.Context, agent.Task) (agent.Result, error) {
		called = true
		return agent.Result{}, nil
	})
	if called || !errors.Is(err, agent.ErrCircuitOpen) {
		t.Errorf("called %v, error %v: want no attempt while the breaker is open", called, err)
	}
	wantLife(t, rec, "arrives", []string{"r1 task_created", "r1 task_started", "r1 task_failed", "r1 moved_to_dlq"})
}

// A runner's queue that hands each retry to Step, as asynq and River do.
func TestRecoversByItself(t *testing.T) {
	want := lives(t)["arrives_while_open_then_recovers"]
	cfg := quick
	cfg.Breaker.ConsecutiveFailures = 1
	rec := agenttest.New(t, cfg)
	var healthy atomic.Bool
	work := func(ctx context.Context, t agent.Task) (agent.Result, error) {
		if !healthy.Load() {
			return agent.Result{}, errUnwell
		}
		return succeeding(ctx, t)
	}
	done := make(chan string, 8)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		next := agent.Task{Task: c.Task}
		go func() {
			if s := rec.Step(context.Background(), next, agent.Delivery{Run: c.Run, Attempt: 1}, work); s.Outcome == agent.Completed {
				done <- c.Task.ID
			}
		}()
		return nil
	})
	first, second := task("first", "bank"), task("second", "bank")
	first.Runner, second.Runner = "test", "test"
	if s := rec.Step(t.Context(), first, agent.Delivery{Run: 1, Attempt: 1}, work); s.Outcome != agent.Failed {
		t.Fatalf("the first task's outcome is %v, want failed", s.Outcome)
	}
	if s := rec.Step(t.Context(), second, agent.Delivery{Run: 1, Attempt: 1}, work); s.Outcome != agent.Failed {
		t.Fatalf("the second task's outcome is %v, want failed", s.Outcome)
	}
	healthy.Store(true)
	for range 2 {
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the dead letters did not come back by themselves")
		}
	}
	// The collector adds dlq_resolved; everything else is the agent's.
	wantLife(t, rec, "second", want[:len(want)-1])
	var closed bool
	for _, e := range rec.Events("first") {
		closed = closed || e.Type == timeline.CircuitBreakerClosed
	}
	if !closed {
		t.Errorf("no task carries that the breaker closed: %v", rec.Life("first"))
	}
}

func TestExecutorsThatDoNotReturn(t *testing.T) {
	rec := agenttest.New(t, quick)
	_, err := rec.Do(t.Context(), task("panics", "p"), func(context.Context, agent.Task) (agent.Result, error) { panic("boom") })
	if err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("error %v, want the panic", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = rec.Do(t.Context(), task("exits", "p"), func(context.Context, agent.Task) (agent.Result, error) {
			runtime.Goexit()
			return agent.Result{}, nil
		})
	})
	wg.Wait()
	want := lives(t)["permanent"]
	wantLife(t, rec, "panics", want)
	wantLife(t, rec, "exits", want)
	for _, e := range rec.Events("panics") {
		if e.Type == timeline.AttemptFailed && !strings.Contains(e.Error.Stack, "lives_test") {
			t.Errorf("the panic's stack does not show where it was: %q", e.Error.Stack)
		}
	}
}

func TestCallerCancels(t *testing.T) {
	rec := agenttest.New(t, quick)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := rec.Do(ctx, task("cancelled", "p"), func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		cancel()
		<-ctx.Done()
		return agent.Result{}, ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wantLife(t, rec, "cancelled", []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted"})
}

func TestDeadline(t *testing.T) {
	rec := agenttest.New(t, agent.Config{Retry: retry.Policy{Base: time.Hour, Cap: time.Hour}})
	tk := task("late", "p")
	tk.Deadline = time.Now().Add(time.Minute)
	_, err := rec.Do(t.Context(), tk, failing(errUnwell))
	var te *agent.TaskError
	if !errors.As(err, &te) || te.Reason != timeline.FailDeadline {
		t.Errorf("error %v, want the reason deadline without waiting for it", err)
	}
}

func TestOperatorCancels(t *testing.T) {
	rec := agenttest.New(t, quick)
	started := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := rec.Do(context.Background(), task("stop-me", "p"), func(ctx context.Context, _ agent.Task) (agent.Result, error) {
			close(started)
			<-ctx.Done()
			return agent.Result{}, context.Cause(ctx)
		})
		result <- err
	}()
	<-started
	rec.Collector().Send(timeline.Command{
		ID: timeline.DeriveID("c"), Kind: timeline.CommandCancel, Task: timeline.Task{Namespace: "default", ID: "stop-me", Queue: "money"}, Run: 1,
		Operator: &timeline.Operator{Actor: "ann", Reason: "wrong order"}, RequestedAt: time.Now(),
	})
	select {
	case err := <-result:
		if !errors.Is(err, agent.ErrCancelled) {
			t.Errorf("error %v, want ErrCancelled", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the attempt was not cancelled")
	}
	wantLife(t, rec, "stop-me", []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted", "r1 task_cancelled",
	})
	events := rec.Events("stop-me")
	if last := events[len(events)-1]; last.Operator == nil || last.Operator.Actor != "ann" || last.StopProof != "stopped" {
		t.Errorf("the cancellation says %+v, proof %q", last.Operator, last.StopProof)
	}
}

func TestManualRetryIsStartedOnce(t *testing.T) {
	rec := agenttest.New(t, quick)
	tk := task("again", "p")
	tk.Runner = "test"
	started := make(chan timeline.Command, 4)
	rec.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		started <- c
		return nil
	})
	if s := rec.Step(t.Context(), tk, agent.Delivery{Run: 1, Attempt: 1}, failing(agent.Permanent(errUnwell))); s.Outcome != agent.Failed {
		t.Fatalf("outcome %v", s.Outcome)
	}
	cmd := timeline.Command{
		ID: timeline.CommandID("default", "again", 2), Kind: timeline.CommandRetry, Task: tk.Task, Run: 2, Reason: timeline.RetryManual,
		DeadLetterID: timeline.DeadLetterID("default", "again", 1), Operator: &timeline.Operator{Actor: "ann"},
		InputPatch: json.RawMessage(`{"n":2}`), RequestedAt: time.Now(),
	}
	cmd.Namespace = "default"
	rec.Collector().Send(cmd)
	rec.Collector().Send(cmd)
	var c timeline.Command
	select {
	case c = <-started:
	case <-time.After(10 * time.Second):
		t.Fatal("the retry was not started")
	}
	if string(c.Input) != `{"n":2}` {
		t.Errorf("the runner got the input %s, want the edited one", c.Input)
	}
	s := rec.Step(t.Context(), agent.Task{Task: c.Task}, agent.Delivery{Run: 2, Attempt: 1}, succeeding)
	if s.Outcome != agent.Completed {
		t.Errorf("outcome %v", s.Outcome)
	}
	want := lives(t)["manual_retry_succeeds"]
	// The operator's request and dlq_resolved are not the agent's.
	want = slices.DeleteFunc(slices.Clone(want), func(s string) bool { return strings.Contains(s, "dlq_re") })
	for deadline := time.Now().Add(10 * time.Second); rec.Stats().Repeated == 0 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	wantLife(t, rec, "again", want)
	if len(started) != 0 || rec.Stats().Repeated != 1 {
		t.Errorf("the second copy of the command started another run (repeated: %d)", rec.Stats().Repeated)
	}
}

func TestStepsAcrossAWorkerShutdown(t *testing.T) {
	dir := t.TempDir()
	c := agenttest.NewCollector(t)
	cfg := quick
	cfg.SpoolDir, cfg.CollectorURL = dir, c.URL()
	open := func() *agent.Agent {
		a, err := agent.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := open()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := a.Step(ctx, task("resumed", "p"), agent.Delivery{Run: 1, Attempt: 1}, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		cancel(errors.New("the worker shuts down"))
		<-ctx.Done()
		return agent.Result{}, ctx.Err()
	})
	if s.Outcome != agent.Aborted {
		t.Fatalf("outcome %v, want aborted", s.Outcome)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	a = open()
	s = a.Step(t.Context(), task("resumed", "p"), agent.Delivery{Run: 1, Attempt: 1}, succeeding)
	if s.Outcome != agent.Completed {
		t.Fatalf("outcome %v", s.Outcome)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, want := agenttest.Life(c.Events("resumed")), lives(t)["worker_shut_down_then_resumed"]
	if !slices.Equal(got, want) {
		t.Errorf("lived %v, want %v", got, want)
	}
}

// Workers of one queue are several processes: whoever makes the next attempt knows
// by the runner's count of those that the others made.
func TestAttemptsOfSeveralProcessesAreNumberedOnce(t *testing.T) {
	cfg := quick
	cfg.Retry.MaxAttempts = 3
	recs := []*agenttest.Recorder{agenttest.New(t, cfg), agenttest.New(t, cfg)}
	var made []int
	var step agent.Step
	for i, rec := range []*agenttest.Recorder{recs[0], recs[1], recs[0]} {
		step = rec.Step(t.Context(), task("several", ""), agent.Delivery{Run: 1, Attempt: i + 1}, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
			at, _ := agent.AttemptFrom(ctx)
			made = append(made, at.Number)
			return agent.Result{}, errUnwell
		})
	}
	if !slices.Equal(made, []int{1, 2, 3}) || step.Outcome != agent.Failed {
		t.Errorf("attempts %v, then %v; want 1, 2 and 3, and the end", made, step.Outcome)
	}
	wantLife(t, recs[1], "several", []string{"r1 a2 attempt_started", "r1 a2 attempt_failed", "r1 a2 task_retried"})
}
