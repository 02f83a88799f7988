package riverrunner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestJobsLiveAsTheirAttemptsEnd(t *testing.T) {
	w := newWorld(t, options{})
	known := lives(t)
	for _, c := range []struct {
		name    string
		plan    []string
		opts    *river.InsertOpts
		life    []string
		state   rivertype.JobState
		attempt int
	}{
		{"success", []string{"ok"}, nil, known["success"], rivertype.JobStateCompleted, 1},
		{"retry then success", []string{"fail", "ok"}, nil, known["retry_then_success"], rivertype.JobStateCompleted, 2},
		{"exhausted", []string{"fail"}, nil, known["exhausted_after_2"], rivertype.JobStateCancelled, 2},
		{"permanent", []string{"permanent"}, nil, known["permanent"], rivertype.JobStateCancelled, 1},
		{"River's own word for permanent", []string{"cancel"}, nil, known["permanent"], rivertype.JobStateCancelled, 1},
		{"panic", []string{"panic"}, nil, known["permanent"], rivertype.JobStateCancelled, 1},
		{"River gives up first", []string{"fail"}, &river.InsertOpts{MaxAttempts: 1}, known["permanent"], rivertype.JobStateCancelled, 1},
		{"snooze", []string{"snooze", "ok"}, nil, known["worker_shut_down_then_resumed"], rivertype.JobStateCompleted, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, job := w.insert(c.opts, c.plan...)
			w.wantLife(id, c.life)
			if row := w.wantState(job, c.state); row.Attempt != c.attempt {
				t.Errorf("River counted %d attempts, want %d", row.Attempt, c.attempt)
			}
		})
	}
}

func TestAPanicKeepsItsStack(t *testing.T) {
	w := newWorld(t, options{})
	id, _ := w.insert(nil, "panic")
	w.wantLife(id, lives(t)["permanent"])
	if e := w.rec.Events(id)[3]; e.Error == nil || e.Error.Message == "" || e.Error.Stack == "" {
		t.Errorf("attempt_failed carries %+v, want the panic with its stack", e.Error)
	}
}

// Arguments that are not the worker's are nothing that another attempt could mend.
func TestUndecodableArgumentsArePermanent(t *testing.T) {
	w := newWorld(t, options{noWorker: true})
	id, job := w.insert(nil, "ok")
	if _, err := w.pool.Exec(t.Context(), `UPDATE river_job SET args = '{"plan": 7}' WHERE id = $1`, job); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.wantLife(id, lives(t)["permanent"])
	w.wantState(job, rivertype.JobStateCancelled)
}

func TestRiverWaitsAsLongAsTheAgentSays(t *testing.T) {
	w := newWorld(t, options{agent: agent.Config{Retry: retry.Policy{Base: 20 * time.Second, Cap: 30 * time.Second}}})
	id, job := w.insert(nil, "fail")
	row := w.wantState(job, rivertype.JobStateRetryable)
	eventually(t, "task_retried", func() (bool, string) { return len(w.rec.Life(id)) == 5, fmt.Sprint(w.rec.Life(id)) })
	e := w.rec.Events(id)[4]
	if e.Type != timeline.TaskRetried || e.Retry == nil || e.Retry.Delay <= 0 {
		t.Fatalf("the last event is %s with %+v, want task_retried with a delay", e.Type, e.Retry)
	}
	due := e.OccurredAt.Add(time.Duration(e.Retry.Delay))
	if d := row.ScheduledAt.Sub(due); d < -time.Second || d > time.Second {
		t.Errorf("River tries again at %s, the timeline says %s", row.ScheduledAt, due)
	}
	if len(row.Errors) != 1 || row.Errors[0].Error != errUnwell.Error() {
		t.Errorf("River's errors of the job: %+v", row.Errors)
	}
}

// A shutdown in the middle uses no attempt, neither of ours nor of River's, and the
// next attempt has a number of its own, also where another process makes it.
func TestShutdownInTheMiddle(t *testing.T) {
	w := newWorld(t, options{})
	id, job := w.insert(nil, "hang", "ok")
	w.waitStarted()
	w.stop()
	w.wantLife(id, []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted"})
	if row := w.wantState(job, rivertype.JobStateAvailable); row.Attempt != 0 {
		t.Errorf("River counts %d attempts, want 0", row.Attempt)
	}
	other := newWorld(t, options{url: w.url})
	other.wantLife(id, []string{"r1 a2 attempt_started", "r1 a2 attempt_success", "r1 task_completed"})
	if row := other.wantState(job, rivertype.JobStateCompleted); row.Attempt != 1 {
		t.Errorf("River counts %d attempts, want 1", row.Attempt)
	}
}

func TestShutdownInTheMiddleResumedByTheSameWorker(t *testing.T) {
	w := newWorld(t, options{})
	id, _ := w.insert(nil, "hang", "ok")
	w.waitStarted()
	w.stop()
	w.start()
	w.wantLife(id, lives(t)["worker_shut_down_then_resumed"])
}
