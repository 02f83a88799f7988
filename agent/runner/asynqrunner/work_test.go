package asynqrunner_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestTasksLiveAsTheirAttemptsEnd(t *testing.T) {
	w := newWorld(t, options{})
	known := lives(t)
	kept := asynq.Retention(time.Hour)
	for _, c := range []struct {
		name  string
		task  *asynq.Task
		opt   asynq.Option
		life  []string
		state asynq.TaskState
	}{
		{"success", task("ok"), kept, known["success"], asynq.TaskStateCompleted},
		{"retry then success", task("fail", "ok"), kept, known["retry_then_success"], asynq.TaskStateCompleted},
		{"exhausted", task("fail"), kept, known["exhausted_after_2"], asynq.TaskStateArchived},
		{"permanent", task("permanent"), kept, known["permanent"], asynq.TaskStateArchived},
		{"asynq's own word for permanent", task("skip"), kept, known["permanent"], asynq.TaskStateArchived},
		{"panic", task("panic"), kept, known["permanent"], asynq.TaskStateArchived},
		{"unknown type", asynq.NewTask("nobody_knows", []byte("{}")), kept, known["permanent"], asynq.TaskStateArchived},
		{"asynq gives up first", task("fail"), asynq.MaxRetry(0), known["permanent"], asynq.TaskStateArchived},
		// asynq's own timeout counts as a failed attempt, not as a shutdown.
		{"timeout", task("hang"), asynq.Timeout(time.Second), known["exhausted_after_2"], asynq.TaskStateArchived},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := w.enqueue(c.task, c.opt)
			w.wantLife(id, c.life)
			w.wantState(id, c.state)
		})
	}
	t.Run("revoked", func(t *testing.T) {
		id := w.enqueue(task("revoke"))
		w.wantLife(id, known["permanent"])
		eventually(t, "asynq forgets it", func() (bool, string) {
			_, err := w.inspector.GetTaskInfo("default", id)
			return errors.Is(err, asynq.ErrTaskNotFound), fmt.Sprint(err)
		})
	})
	t.Run("enqueued past the runner", func(t *testing.T) {
		info, err := w.client.Enqueue(task("ok"))
		if err != nil {
			t.Fatal(err)
		}
		w.wantLife(info.ID, known["success"])
	})
}

func TestAPanicKeepsItsStack(t *testing.T) {
	w := newWorld(t, options{})
	id := w.enqueue(task("panic"))
	w.wantLife(id, lives(t)["permanent"])
	if e := w.rec.Events(id)[3]; e.Error == nil || e.Error.Message == "" || e.Error.Stack == "" {
		t.Errorf("attempt_failed carries %+v, want the panic with its stack", e.Error)
	}
}

func TestAsynqWaitsAsLongAsTheAgentSays(t *testing.T) {
	w := newWorld(t, options{agent: agent.Config{Retry: retry.Policy{Base: 20 * time.Second, Cap: 30 * time.Second}}})
	id := w.enqueue(task("fail"))
	info := w.wantState(id, asynq.TaskStateRetry)
	eventually(t, "task_retried", func() (bool, string) { return len(w.rec.Life(id)) == 5, fmt.Sprint(w.rec.Life(id)) })
	e := w.rec.Events(id)[4]
	if e.Type != timeline.TaskRetried || e.Retry == nil || e.Retry.Delay <= 0 {
		t.Fatalf("the last event is %s with %+v, want task_retried with a delay", e.Type, e.Retry)
	}
	due := e.OccurredAt.Add(time.Duration(e.Retry.Delay))
	if d := info.NextProcessAt.Sub(due); d < -1500*time.Millisecond || d > 1500*time.Millisecond { // asynq keeps whole seconds
		t.Errorf("asynq tries again at %s, the timeline says %s", info.NextProcessAt, due)
	}
	if info.LastErr != errUnwell.Error() {
		t.Errorf("asynq's last error is %q", info.LastErr)
	}
}

// What is not ours is left to whatever the configuration had.
func TestConfigureLeavesTheRestAlone(t *testing.T) {
	w := newWorld(t, options{noWorker: true})
	foreign := errors.New("not ours")
	own := w.runner.Configure(asynq.Config{
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Minute },
		IsFailure:      func(err error) bool { return !errors.Is(err, foreign) },
	})
	if d := own.RetryDelayFunc(1, foreign, task("ok")); d != time.Minute {
		t.Errorf("delay %v, want the configuration's", d)
	}
	if own.IsFailure(foreign) || !own.IsFailure(errUnwell) {
		t.Error("IsFailure is not the configuration's")
	}
	bare := w.runner.Configure(asynq.Config{})
	if d := bare.RetryDelayFunc(3, asynq.ErrLeaseExpired, task("ok")); d != time.Second {
		t.Errorf("a task whose worker died waits %v, want 1 s", d)
	}
	if d := bare.RetryDelayFunc(1, foreign, task("ok")); d < time.Second {
		t.Errorf("delay %v, want asynq's default", d)
	}
	if !bare.IsFailure(foreign) || bare.IsFailure(nil) {
		t.Error("IsFailure without one configured: want every error")
	}
}

// A shutdown in the middle uses no attempt, neither of ours nor of asynq's.
func TestShutdownInTheMiddle(t *testing.T) {
	w := newWorld(t, options{})
	id := w.enqueue(task("hang", "ok"), asynq.Retention(time.Hour))
	w.waitStarted()
	w.stop()
	w.wantLife(id, []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted"})
	w.start()
	w.wantLife(id, lives(t)["worker_shut_down_then_resumed"])
	if info := w.wantState(id, asynq.TaskStateCompleted); info.Retried != 0 {
		t.Errorf("asynq counts %d retries, want 0", info.Retried)
	}
}

// An attempt that a shutdown stopped in one process has used its number up for all.
func TestAnotherProcessGoesOnAfterAShutdown(t *testing.T) {
	first := newWorld(t, options{})
	id := first.enqueue(task("hang", "fail", "ok"), asynq.Retention(time.Hour))
	first.waitStarted()
	first.stop()
	first.wantLife(id, []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted"})
	second := newWorld(t, options{redis: first.redis})
	second.wantLife(id, []string{
		"r1 a2 attempt_started", "r1 a2 attempt_failed", "r1 a2 task_retried", "r1 a3 attempt_started", "r1 a3 attempt_success", "r1 task_completed",
	})
	if info := second.wantState(id, asynq.TaskStateCompleted); info.Retried != 1 {
		t.Errorf("asynq counts %d retries, want 1", info.Retried)
	}
	keys, err := second.numbers.Keys(t.Context(), "tasktrail:asynq:*").Result()
	if err != nil || len(keys) > 0 {
		t.Errorf("counts of tasks that are over: %v, %v", keys, err)
	}
}

func TestWaitGivesUpWithItsContext(t *testing.T) {
	w := newWorld(t, options{})
	w.enqueue(task("hang"))
	w.waitStarted()
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errUnwell)
	if err := w.runner.Wait(ctx); !errors.Is(err, errUnwell) {
		t.Errorf("Wait = %v while a handler runs, want the context's cause", err)
	}
}
