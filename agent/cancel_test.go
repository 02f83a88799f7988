package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

func cancelOf(id string) timeline.Command {
	return timeline.Command{
		ID: timeline.DeriveID("cancel", id), Kind: timeline.CommandCancel, Task: timeline.Task{Namespace: "default", ID: id, Queue: "money"},
		Run: 1, Operator: &timeline.Operator{Actor: "ann"}, RequestedAt: time.Now(),
	}
}

// until polls, since what it waits for is made by another goroutine without a signal.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not come", what)
		}
	}
}

func TestAHandlerThatIgnoresItsCancelIsSeen(t *testing.T) {
	cfg := quick
	cfg.CancelGrace = 20 * time.Millisecond
	rec := agenttest.New(t, cfg)
	ignoring := func(leave <-chan struct{}, started chan<- struct{}, err error) agent.Func {
		return func(context.Context, agent.Task) (agent.Result, error) {
			close(started)
			<-leave
			return agent.Result{}, err
		}
	}
	for _, c := range []struct {
		id    string
		err   error
		after []string
	}{
		{"gives-up-late", context.Canceled, []string{"r1 a1 attempt_aborted", "r1 task_cancelled"}},
		{"completes-all-the-same", nil, []string{"r1 a1 attempt_success", "r1 task_completed"}},
		{"fails-all-the-same", agent.Permanent(errUnwell), []string{"r1 a1 attempt_failed", "r1 task_failed", "r1 moved_to_dlq"}},
	} {
		leave, started, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := rec.Do(context.Background(), task(c.id, "p"), ignoring(leave, started, c.err))
			ended <- err
		}()
		<-started
		rec.Collector().Send(cancelOf(c.id))
		life := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 cancel_ignored"}
		until(t, "cancel_ignored", func() bool { return len(rec.Life(c.id)) == len(life) })
		wantLife(t, rec, c.id, life)
		if last := rec.Events(c.id)[3]; last.StopProof != "ignored" || last.Operator == nil || last.Operator.Actor != "ann" {
			t.Errorf("%s: the proof is %q by %+v, want ignored, by ann", c.id, last.StopProof, last.Operator)
		}
		snap, _ := timeline.Fold(rec.Events(c.id))
		if snap.State != timeline.StateInProgress || snap.Attempt != 1 {
			t.Errorf("%s: the state is %s while the handler runs, want in_progress", c.id, snap.State)
		}
		close(leave)
		if err := <-ended; (c.err == nil) != (err == nil) || errors.Is(c.err, context.Canceled) != errors.Is(err, agent.ErrCancelled) {
			t.Errorf("%s: error %v", c.id, err)
		}
		wantLife(t, rec, c.id, append(life, c.after...))
		ends := 0
		for _, e := range rec.Events(c.id) {
			if e.Type.Terminal() && e.Type != timeline.MovedToDLQ {
				ends++
			}
			if e.Type == timeline.TaskCancelled && (e.StopProof != "stopped" || e.Operator == nil) {
				t.Errorf("%s: the cancellation's proof is %q by %+v", c.id, e.StopProof, e.Operator)
			}
		}
		if ends != 1 {
			t.Errorf("%s: the run has %d ends", c.id, ends)
		}
	}
}

// The task waits in its runner's queue, and nothing has run in this process yet.
func TestATaskThatDoesNotRunIsCancelledBeforeItsNextAttempt(t *testing.T) {
	rec := agenttest.New(t, quick)
	rec.Collector().Send(cancelOf("waits"))
	until(t, "the command", func() bool { return rec.Stats().Commands == 1 })
	s := rec.Step(t.Context(), task("waits", "p"), agent.Delivery{Run: 1, Attempt: 2}, succeeding)
	if s.Outcome != agent.Cancelled {
		t.Errorf("outcome %v, want cancelled", s.Outcome)
	}
	wantLife(t, rec, "waits", []string{"r1 task_cancelled"})
}

func TestATaskThatWaitsIsTakenOutOfItsRunner(t *testing.T) {
	rec := agenttest.New(t, quick)
	rec.HandleCancels("money", func(_ context.Context, c timeline.Command) (bool, error) {
		switch c.Task.ID {
		case "waits":
			return true, nil
		case "away":
			return false, errors.New("the runner is away")
		}
		return false, nil // another worker runs it
	})
	for _, id := range []string{"waits", "away", "elsewhere", "waits"} {
		rec.Collector().Send(cancelOf(id))
	}
	until(t, "the commands", func() bool { return rec.Stats().Commands == 4 })
	wantLife(t, rec, "waits", []string{"r1 task_cancelled"})
	if e := rec.Events("waits")[0]; e.StopProof != "not_running" || e.Operator == nil || e.Operator.Actor != "ann" {
		t.Errorf("the proof is %q by %+v, want not_running, by ann", e.StopProof, e.Operator)
	}
	for _, id := range []string{"away", "elsewhere"} {
		wantLife(t, rec, id, []string{})
		if s := rec.Step(t.Context(), task(id, "p"), agent.Delivery{Run: 1, Attempt: 2}, succeeding); s.Outcome != agent.Cancelled {
			t.Errorf("%s: outcome %v of its next attempt, want cancelled", id, s.Outcome)
		}
	}
}
