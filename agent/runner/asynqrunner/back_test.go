package asynqrunner_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

func cancelOf(t timeline.Task, run int) timeline.Command {
	return timeline.Command{
		ID: timeline.DeriveID("cancel", t.ID), Kind: timeline.CommandCancel, Task: t, Run: run,
		Operator: &timeline.Operator{Actor: "ann"}, RequestedAt: time.Now(),
	}
}

// retryOf is the command that retries what stands in a dead letter.
func retryOf(letter *timeline.Event, patch string) timeline.Command {
	c := timeline.Command{
		ID: timeline.CommandID("default", letter.Task.ID, 2), Kind: timeline.CommandRetry, Task: letter.Task, Run: 2,
		DeadLetterID: letter.DeadLetter.ID, Reason: timeline.RetryManual, Operator: &timeline.Operator{Actor: "ann"}, RequestedAt: time.Now(),
	}
	if patch != "" {
		c.InputPatch, c.InputEdits = json.RawMessage(patch), 1
	}
	return c
}

func (w *world) letter(id string) *timeline.Event {
	w.t.Helper()
	events := w.rec.Events(id)
	i := slices.IndexFunc(events, func(e timeline.Event) bool { return e.Type == timeline.MovedToDLQ })
	if i < 0 {
		w.t.Fatalf("%s has no dead letter: %v", id, w.rec.Life(id))
	}
	return &events[i]
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	if _, err := asynqrunner.New(nil, asynqrunner.Config{}); err == nil {
		t.Error("New without an agent: no error")
	}
	a, err := agent.New(agent.Config{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	if _, err := asynqrunner.New(a, asynqrunner.Config{Queues: []string{"default"}}); err == nil {
		t.Error("New with queues and no client to enqueue their retries with: no error")
	}
}

func TestEnqueueRecordsTheTask(t *testing.T) {
	w := newWorld(t, options{noWorker: true, config: asynqrunner.Config{Describe: func(*asynq.Task) agent.Task {
		return agent.Task{Task: timeline.Task{ID: "order-17", Type: "payment", UserID: "user-7", Amount: "120.00", Currency: "USD"}}
	}}})
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled})
	info, err := w.runner.EnqueueContext(trace.ContextWithSpanContext(t.Context(), parent), w.client, task("ok"))
	if err != nil {
		t.Fatal(err)
	}
	w.wantLife("order-17", []string{"r1 task_created"})
	e := w.rec.Events("order-17")[0]
	if e.Task.Type != "payment" || e.Task.UserID != "user-7" || e.Task.Queue != "default" || e.Task.Runner != "asynq" || string(e.Task.Input) != `{"plan":["ok"]}` {
		t.Errorf("task_created carries %+v", e.Task)
	}
	if e.Task.Metadata["asynq.id"] != info.ID || e.Task.Metadata["asynq.type"] != "plan" {
		t.Errorf("metadata %v, want asynq's id and type, since the task's are others", e.Task.Metadata)
	}
	w.start()
	w.wantLife("order-17", lives(t)["success"])
	for _, e := range w.rec.Events("order-17") {
		if e.TraceID != timeline.TraceID(parent.TraceID()) {
			t.Errorf("%s has trace %s, want that of the enqueue", e.Type, e.TraceID)
		}
	}
}

// What asynq does not take is no task.
func TestARefusedEnqueueLeavesNoTrace(t *testing.T) {
	w := newWorld(t, options{noWorker: true})
	id := w.enqueue(task("ok"), asynq.TaskID("once"))
	w.wantLife(id, []string{"r1 task_created"})
	for _, opt := range []asynq.Option{asynq.TaskID("once"), asynq.Queue("")} {
		if _, err := w.runner.EnqueueContext(t.Context(), w.client, task("ok"), opt); err == nil {
			t.Errorf("%s: no error", opt)
		}
	}
	_ = w.rec.Events(id) // ships what there is
	if n := len(w.rec.Collector().Events("")); n != 1 {
		t.Errorf("%d events, want that of the one task", n)
	}
}

// A retry is a task of its own under an id of its own with the edited input,
// enqueued once however often its command arrives, by whichever worker, and kept.
func TestRetry(t *testing.T) {
	w := newWorld(t, options{})
	id := w.enqueue(task("fail"))
	failed := lives(t)["exhausted_after_2"]
	w.wantLife(id, failed)
	letter := w.letter(id)
	if !letter.DeadLetter.Requeueable {
		t.Error("the dead letter is not requeueable, though its queue is served")
	}
	other := newWorld(t, options{redis: w.redis, noWorker: true})
	w.rec.Collector().Send(retryOf(letter, `{"plan":["fail","ok"]}`))
	w.wantLife(id, slices.Concat(failed, []string{
		"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 a1 task_retried",
		"r2 a2 attempt_started", "r2 a2 attempt_success", "r2 task_completed",
	}))
	second := w.wantState(id+":r2", asynq.TaskStateCompleted)
	if second.Type != "plan" || string(second.Payload) != `{"plan":["fail","ok"]}` || second.MaxRetry != 1 || second.Retention != 24*time.Hour {
		t.Errorf("the second run's task: %+v", second)
	}
	if key := w.key.Load(); key != "default/"+id+"/e1" {
		t.Errorf("the edited run has the idempotency key %q", key)
	}
	other.rec.Collector().Send(retryOf(letter, ""))
	w.rec.Collector().Send(retryOf(letter, ""))
	other.wantLife(id, []string{"r2 task_retried"})
	eventually(t, "the repeat", func() (bool, string) { return w.rec.Stats().Repeated == 1, fmt.Sprint(w.rec.Stats()) })
	if q, err := w.inspector.GetQueueInfo("default"); err != nil || q.Completed != 1 || q.Pending+q.Active+q.Retry != 0 {
		t.Errorf("the queue holds %+v, %v; want the one completed run", q, err)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, options{})
	known := lives(t)
	described := func(id string) timeline.Task { return timeline.Task{Namespace: "default", ID: id, Queue: "default"} }
	t.Run("running", func(t *testing.T) {
		life := slices.DeleteFunc(slices.Clone(known["cancelled_while_running"]), func(e string) bool { return e == "r1 cancel_requested" })
		id := w.enqueue(task("hang"))
		w.waitStarted()
		w.rec.Collector().Send(cancelOf(described(id), 1))
		w.wantLife(id, life)
		w.wantState(id, asynq.TaskStateArchived)
		if last := w.rec.Events(id)[len(life)-1]; last.StopProof != "stopped" || last.Operator.Actor != "ann" {
			t.Errorf("proof %q by %+v, want stopped, by ann", last.StopProof, last.Operator)
		}
	})
	t.Run("waiting", func(t *testing.T) {
		id := w.enqueue(task("ok"), asynq.ProcessIn(time.Hour))
		w.rec.Collector().Send(cancelOf(described(id), 1))
		life := []string{"r1 task_created", "r1 task_cancelled"}
		w.wantLife(id, life)
		w.wantState(id, asynq.TaskStateArchived)
		if last := w.rec.Events(id)[1]; last.StopProof != "not_running" {
			t.Errorf("proof %q, want not_running", last.StopProof)
		}
		// Once more, as after the loss of the answer: it is the same event.
		n := w.rec.Stats().Commands
		w.rec.Collector().Send(cancelOf(described(id), 1))
		eventually(t, "the repeat", func() (bool, string) { return w.rec.Stats().Commands > n, "" })
		w.wantLife(id, life)
	})
	t.Run("ended", func(t *testing.T) {
		id := w.enqueue(task("permanent"))
		w.wantLife(id, known["permanent"])
		w.wantState(id, asynq.TaskStateArchived)
		n := w.rec.Stats().Commands
		w.rec.Collector().Send(cancelOf(described(id), 1))
		eventually(t, "the command", func() (bool, string) { return w.rec.Stats().Commands > n, "" })
		w.wantLife(id, known["permanent"])
	})
	t.Run("a later run that waits", func(t *testing.T) {
		id := w.enqueue(task("permanent"))
		w.wantLife(id, known["permanent"])
		if err := w.inspector.PauseQueue("default"); err != nil {
			t.Fatal(err)
		}
		defer w.inspector.UnpauseQueue("default")
		w.rec.Collector().Send(retryOf(w.letter(id), ""))
		w.wantLife(id, append(slices.Clone(known["permanent"]), "r2 task_retried"))
		w.rec.Collector().Send(cancelOf(described(id), 2))
		w.wantLife(id, append(slices.Clone(known["permanent"]), "r2 task_retried", "r2 task_cancelled"))
		w.wantState(id+":r2", asynq.TaskStateArchived)
	})
}

func TestDepths(t *testing.T) {
	w := newWorld(t, options{noWorker: true, config: asynqrunner.Config{Queues: []string{"default", "idle"}}})
	before := time.Now().Add(-2 * time.Second)
	for range 3 {
		w.enqueue(task("ok"))
	}
	w.enqueue(task("ok"), asynq.ProcessIn(time.Hour))
	eventually(t, "the depth is reported", func() (bool, string) {
		raw := w.rec.Collector().Live()
		var live timeline.AgentLive
		if json.Unmarshal(raw, &live) != nil || len(live.QueueDepths) != 2 {
			return false, string(raw)
		}
		d, idle := live.QueueDepths[0], live.QueueDepths[1]
		return d.Pending == 3 && d.OldestAt.After(before) && d.OldestAt.Before(time.Now()) && idle.Queue == "idle" && idle.Pending == 0 && idle.OldestAt.IsZero(), string(raw)
	})
}

// What was redacted goes back into asynq as it was: from asynq's archive, which has
// it where no key seals it. Where it was deleted there, the retry says so at once.
func TestRetryOfARedactedTask(t *testing.T) {
	w := newWorld(t, options{agent: agent.Config{Redact: redact.Config{Patterns: []*regexp.Regexp{regexp.MustCompile("permanent")}}}})
	ids := []string{w.enqueue(task("permanent")), w.enqueue(task("permanent"))}
	for _, id := range ids {
		w.wantLife(id, lives(t)["permanent"])
		w.wantState(id, asynq.TaskStateArchived)
	}
	if err := w.inspector.DeleteTask("default", ids[1]); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		letter := w.letter(id)
		if ref := letter.DeadLetter; !ref.KeptInput || ref.NotReplayable != "" || strings.Contains(string(letter.Task.Input), "permanent") {
			t.Fatalf("the dead letter says %+v of %s", ref, letter.Task.Input)
		}
		c := retryOf(letter, "")
		c.KeptInput, c.Input = true, nil
		w.rec.Collector().Send(c)
	}
	w.wantLife(ids[0], slices.Concat(lives(t)["permanent"], []string{
		"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 task_failed", "r2 moved_to_dlq",
	}))
	if info := w.wantState(ids[0]+":r2", asynq.TaskStateArchived); string(info.Payload) != `{"plan":["permanent"]}` {
		t.Errorf("the second run has %s", info.Payload)
	}
	w.wantLife(ids[1], append(lives(t)["permanent"], "r2 task_failed"))
}
