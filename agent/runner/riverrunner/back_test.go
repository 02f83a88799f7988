package riverrunner_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/redact"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

func cancelOf(id string, run int) timeline.Command {
	return timeline.Command{
		ID: timeline.DeriveID("cancel", id), Kind: timeline.CommandCancel, Task: timeline.Task{Namespace: "default", ID: id, Queue: "default"},
		Run: run, Operator: &timeline.Operator{Actor: "ann"}, RequestedAt: time.Now(),
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

// A retry is a job of its own with the edited input, inserted once however often
// its command arrives, by whichever worker, and found by River as what it is.
func TestRetry(t *testing.T) {
	describe := func(*rivertype.JobRow) agent.Task { return agent.Task{Task: timeline.Task{Type: "payment"}} }
	w := newWorld(t, options{config: riverrunner.Config{Describe: describe}})
	id, job := w.insert(&river.InsertOpts{MaxAttempts: 7}, "fail")
	failed := lives(t)["exhausted_after_2"]
	w.wantLife(id, failed)
	letter := w.letter(id)
	if !letter.DeadLetter.Requeueable {
		t.Error("the dead letter is not requeueable, though its queue is attached")
	}
	w.wantState(job, rivertype.JobStateCancelled)

	other := newWorld(t, options{url: w.url, noWorker: true, config: riverrunner.Config{Describe: describe}})
	w.rec.Collector().Send(retryOf(letter, `{"plan":["fail","ok"]}`))
	w.wantLife(id, slices.Concat(failed, []string{
		"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 a1 task_retried",
		"r2 a2 attempt_started", "r2 a2 attempt_success", "r2 task_completed",
	}))
	if key := w.key.Load(); key != "default/"+id+"/e1" {
		t.Errorf("the edited run has the idempotency key %q", key)
	}
	other.rec.Collector().Send(retryOf(letter, ""))
	w.rec.Collector().Send(retryOf(letter, ""))
	other.wantLife(id, []string{"r2 task_retried"})
	eventually(t, "the repeat", func() (bool, string) { return w.rec.Stats().Repeated == 1, fmt.Sprint(w.rec.Stats()) })

	list, err := w.client.JobList(t.Context(), river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderAsc).First(10))
	if err != nil || len(list.Jobs) != 2 {
		t.Fatalf("%d jobs, %v; want the first run's and the second's", len(list.Jobs), err)
	}
	second := list.Jobs[1]
	if second.Kind != "plan" || second.MaxAttempts != 2 || string(second.EncodedArgs) != `{"plan": ["fail", "ok"]}` {
		t.Errorf("the second run's job: kind %s, %d attempts, %s", second.Kind, second.MaxAttempts, second.EncodedArgs)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, options{})
	known := lives(t)
	running := slices.DeleteFunc(slices.Clone(known["cancelled_while_running"]), func(e string) bool { return e == "r1 cancel_requested" })

	t.Run("running", func(t *testing.T) {
		id, job := w.insert(nil, "hang")
		w.waitStarted()
		w.rec.Collector().Send(cancelOf(id, 1))
		w.wantLife(id, running)
		w.wantState(job, rivertype.JobStateCancelled)
		if last := w.rec.Events(id)[len(running)-1]; last.StopProof != "stopped" || last.Operator.Actor != "ann" {
			t.Errorf("proof %q by %+v, want stopped, by ann", last.StopProof, last.Operator)
		}
	})
	t.Run("running, by River's own cancel", func(t *testing.T) {
		id, job := w.insert(nil, "hang")
		w.waitStarted()
		if _, err := w.client.JobCancel(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		w.wantLife(id, running)
		w.wantState(job, rivertype.JobStateCancelled)
	})
	t.Run("waiting", func(t *testing.T) {
		id, job := w.insert(&river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}, "ok")
		w.rec.Collector().Send(cancelOf(id, 1))
		w.wantState(job, rivertype.JobStateCancelled)
		life := []string{"r1 task_created", "r1 task_cancelled"}
		w.wantLife(id, life)
		if last := w.rec.Events(id)[1]; last.StopProof != "not_running" {
			t.Errorf("proof %q, want not_running", last.StopProof)
		}
		// Once more, as after the loss of the answer: it is the same event.
		n := w.rec.Stats().Commands
		w.rec.Collector().Send(cancelOf(id, 1))
		eventually(t, "the repeat", func() (bool, string) { return w.rec.Stats().Commands > n, "" })
		w.wantLife(id, life)
	})
	t.Run("ended", func(t *testing.T) {
		id, job := w.insert(nil, "permanent")
		w.wantLife(id, known["permanent"])
		w.wantState(job, rivertype.JobStateCancelled)
		n := w.rec.Stats().Commands
		w.rec.Collector().Send(cancelOf(id, 1))
		eventually(t, "the command", func() (bool, string) { return w.rec.Stats().Commands > n, "" })
		w.wantLife(id, known["permanent"])
	})
	t.Run("a later run that waits", func(t *testing.T) {
		id, job := w.insert(nil, "permanent")
		w.wantLife(id, known["permanent"])
		w.wantState(job, rivertype.JobStateCancelled)
		if err := w.client.QueuePause(t.Context(), "default", nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the queue is paused", func() (bool, string) {
			q, err := w.client.QueueGet(t.Context(), "default")
			return err == nil && q.PausedAt != nil, fmt.Sprint(err)
		})
		w.rec.Collector().Send(retryOf(w.letter(id), `{"plan":["hang"]}`))
		w.wantLife(id, append(slices.Clone(known["permanent"]), "r2 task_retried"))
		w.rec.Collector().Send(cancelOf(id, 2))
		w.wantLife(id, append(slices.Clone(known["permanent"]), "r2 task_retried", "r2 task_cancelled"))
	})
}

func TestDepths(t *testing.T) {
	w := newWorld(t, options{noWorker: true, config: riverrunner.Config{Queues: []string{"default", "idle"}}})
	before := time.Now().Add(-time.Second)
	for range 3 {
		w.insert(nil, "ok")
	}
	w.insert(&river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)}, "ok")
	eventually(t, "the depth is reported", func() (bool, string) {
		raw := w.rec.Collector().Live()
		var live timeline.AgentLive
		if json.Unmarshal(raw, &live) != nil || len(live.QueueDepths) != 2 {
			return false, string(raw)
		}
		slices.SortFunc(live.QueueDepths, func(a, b timeline.LiveQueueDepth) int { return len(b.Queue) - len(a.Queue) })
		d, idle := live.QueueDepths[0], live.QueueDepths[1]
		return d.Pending == 3 && d.OldestAt.After(before) && d.OldestAt.Before(time.Now()) && idle.Queue == "idle" && idle.Pending == 0 && idle.OldestAt.IsZero(), string(raw)
	})
}

// What was redacted goes back into River as it was: from its table, which has it
// where no key seals it. Where the job was deleted, the retry says so at once.
func TestRetryOfARedactedJob(t *testing.T) {
	w := newWorld(t, options{agent: agent.Config{Redact: redact.Config{Patterns: []*regexp.Regexp{regexp.MustCompile("permanent")}}}})
	kept, _ := w.insert(nil, "permanent")
	gone, job := w.insert(nil, "permanent")
	for _, id := range []string{kept, gone} {
		w.wantLife(id, lives(t)["permanent"])
	}
	w.wantState(job, rivertype.JobStateCancelled)
	if _, err := w.client.JobDelete(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{kept, gone} {
		letter := w.letter(id)
		if ref := letter.DeadLetter; !ref.KeptInput || ref.NotReplayable != "" || strings.Contains(string(letter.Task.Input), "permanent") {
			t.Fatalf("the dead letter says %+v of %s", ref, letter.Task.Input)
		}
		c := retryOf(letter, "")
		c.KeptInput, c.Input = true, nil
		w.rec.Collector().Send(c)
	}
	w.wantLife(kept, slices.Concat(lives(t)["permanent"], []string{
		"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 task_failed", "r2 moved_to_dlq",
	}))
	w.wantLife(gone, append(lives(t)["permanent"], "r2 task_failed"))
	list, err := w.client.JobList(t.Context(), river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderAsc).First(10))
	if err != nil || len(list.Jobs) != 2 || string(list.Jobs[1].EncodedArgs) != `{"plan": ["permanent"]}` {
		t.Errorf("%d jobs, %v, the second run's with %s", len(list.Jobs), err, list.Jobs[len(list.Jobs)-1].EncodedArgs)
	}
}

// A task that has an id of its own is found by it: taken out of the queue while it
// waits, and its arguments where what is on record of them was redacted.
func TestATaskWithAnIDOfItsOwn(t *testing.T) {
	describe := func(job *rivertype.JobRow) agent.Task {
		var args struct{ Plan []string }
		if json.Unmarshal(job.EncodedArgs, &args) != nil || len(args.Plan) < 3 {
			return agent.Task{}
		}
		return agent.Task{Task: timeline.Task{ID: args.Plan[2]}}
	}
	w := newWorld(t, options{
		agent:  agent.Config{Redact: redact.Config{Patterns: []*regexp.Regexp{regexp.MustCompile("permanent")}}},
		config: riverrunner.Config{Describe: describe},
	})
	// As a program would that knows nothing of Tasktrail.
	past, err := river.NewClient(riverpgxv5.New(w.pool), &river.Config{})
	if err != nil {
		t.Fatal(err)
	}

	_, job := w.insert(&river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour), Metadata: []byte(`{"theirs":1}`)}, "ok", "ok", "waits")
	w.rec.Collector().Send(cancelOf("waits", 1))
	w.wantLife("waits", []string{"r1 task_created", "r1 task_cancelled"})
	if row := w.wantState(job, rivertype.JobStateCancelled); !strings.Contains(string(row.Metadata), `"theirs": 1`) {
		t.Errorf("the job's own metadata are gone: %s", row.Metadata)
	}

	w.insert(nil, "permanent", "permanent", "ours")
	res, err := past.Insert(t.Context(), planArgs{[]string{"permanent", "permanent", "theirs"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.wantState(res.Job.ID, rivertype.JobStateCancelled) // from then on River's table says whose it is
	for _, id := range []string{"ours", "theirs"} {
		w.wantLife(id, lives(t)["permanent"])
		c := retryOf(w.letter(id), "")
		c.KeptInput, c.Input = true, nil
		w.rec.Collector().Send(c)
		w.wantLife(id, slices.Concat(lives(t)["permanent"], []string{
			"r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_failed", "r2 task_failed", "r2 moved_to_dlq",
		}))
	}
	// The second run's arguments are kept with its own job.
	c := retryOf(w.letter("ours"), "")
	c.ID, c.Run, c.KeptInput, c.Input = timeline.CommandID("default", "ours", 3), 3, true, nil
	w.rec.Collector().Send(c)
	eventually(t, "the third run failed", func() (bool, string) {
		life := w.rec.Life("ours")
		return slices.Contains(life, "r3 moved_to_dlq"), strings.Join(life, ", ")
	})
	list, err := w.client.JobList(t.Context(), river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderAsc).First(10))
	if err != nil || len(list.Jobs) != 6 {
		t.Fatalf("%d jobs, %v", len(list.Jobs), err)
	}
	for _, job := range list.Jobs[3:] {
		if !strings.Contains(string(job.EncodedArgs), `"permanent", "permanent"`) {
			t.Errorf("a retry was inserted with %s", job.EncodedArgs)
		}
	}
}
