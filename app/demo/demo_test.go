package demo

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

// The demonstration shows the usual lives of a task, each with the events that a
// real one has, and a retry of a dead letter mends it, once.
func TestTheTourShowsTheLivesOfATask(t *testing.T) {
	c := agenttest.NewCollector(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{CollectorURL: c.URL(), Token: "token", Namespace: "demo", Rate: 50, SpoolDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()

	ofPlan := func(plan string, run int, want timeline.Type) *timeline.Event {
		for _, e := range c.Events("") {
			if e.Metadata["plan"] == plan && e.Run == run && e.Type == want {
				return &e
			}
		}
		return nil
	}
	eventually := func(plan string, run int, want timeline.Type) *timeline.Event {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; {
			if e := ofPlan(plan, run, want); e != nil {
				return e
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %s of a task of the plan %s", want, plan)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	eventually(planSuccess, 1, timeline.TaskCompleted)
	eventually(planFlaky, 1, timeline.TaskRetried)
	eventually(planBank, 1, timeline.CircuitBreakerOpened)
	if e := eventually(planDeadline, 1, timeline.TaskFailed); e.Reason != timeline.FailDeadline {
		t.Errorf("out of time: %s", e.Reason)
	}
	if e := eventually(planLongWait, 1, timeline.TaskFailed); e.Reason != timeline.FailRetryAfterTooLong {
		t.Errorf("a long Retry-After: %s", e.Reason)
	}
	if e := eventually(planPanic, 1, timeline.TaskFailed); e.Error == nil || e.Error.Kind != "panic" {
		t.Errorf("a panic: %+v", e.Error)
	}
	dead := eventually(planMailbox, 1, timeline.MovedToDLQ)
	if !dead.DeadLetter.Requeueable {
		t.Fatal("the dead letter cannot be retried")
	}
	cmd := timeline.Command{ID: timeline.DeriveID("test"), Kind: timeline.CommandRetry, Task: dead.Task, Run: 2, Reason: timeline.RetryManual, RequestedAt: time.Now()}
	cmd.Input = c.Events(dead.Task.ID)[0].Input
	c.Send(cmd)
	c.Send(cmd)
	for deadline := time.Now().Add(10 * time.Second); !slices.ContainsFunc(c.Events(dead.Task.ID), func(e timeline.Event) bool { return e.Type == timeline.TaskCompleted }); {
		if time.Now().After(deadline) {
			t.Fatalf("the retry: %v", agenttest.Life(c.Events(dead.Task.ID)))
		}
		<-time.After(20 * time.Millisecond)
	}
	life := agenttest.Life(c.Events(dead.Task.ID))
	want := []string{"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success", "r2 task_completed"}
	if got := life[6:]; !slices.Equal(got, want) {
		t.Errorf("run 2: %v", got)
	}
}
