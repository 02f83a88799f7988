package timeline_test

import (
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestFoldOfNothing(t *testing.T) {
	if _, ok := timeline.Fold(nil); ok {
		t.Error("a snapshot of no event")
	}
	if got := timeline.FoldAttempts(nil); len(got) != 0 {
		t.Errorf("attempts %v", got)
	}
	if got := timeline.FoldDeadLetters(nil); got != nil {
		t.Errorf("dead letters %v", got)
	}
}

func TestStates(t *testing.T) {
	f := func(name string, want timeline.State, words ...string) {
		t.Helper()
		s, ok := timeline.Fold(life(t, time.Second, words...))
		if !ok || s.State != want {
			t.Errorf("%s: state %q, want %q", name, s.State, want)
		}
	}
	f("only a breaker event", timeline.StatePending, "r1 a1 circuit_breaker_opened")
	f("created twice", timeline.StatePending, "r1 task_created", "r1 task_created")
	f("late creation changes nothing", timeline.StateInProgress, "r1 task_started", "r1 task_created")
	f("a completion wins over what comes after it", timeline.StateCompleted, "r1 task_started", "r1 task_completed", "r1 a1 attempt_started")
	f("the higher run decides", timeline.StateRetrying, "r1 task_started", "r1 task_failed", "r1 moved_to_dlq", "r2 dlq_retry_requested")
	f("a late event of an earlier run does not", timeline.StateCompleted, "r2 task_started", "r2 task_completed", "r1 task_failed")
	f("silent worker", timeline.StateLost, "r1 task_started", "r1 a1 attempt_started", "r1 task_lost")
	f("silent again in the second attempt", timeline.StateLost, "r1 task_started", "r1 a1 attempt_started", "r1 task_lost", "r1 a2 attempt_started", "r1 task_lost")
	f("lost, but it completed", timeline.StateCompleted, "r1 task_started", "r1 a1 attempt_started", "r1 task_lost", "r1 task_completed")
	f("cancel requested is no state", timeline.StateInProgress, "r1 task_started", "r1 a1 attempt_started", "r1 cancel_requested")
	f("a discarded dead letter leaves the task failed", timeline.StateFailed, "r1 task_started", "r1 task_failed", "r1 moved_to_dlq", "r1 dlq_discarded")
}

// A run that was given up as lost and then completed shows nothing of the end
// that was not.
func TestCompletedAfterGivenUp(t *testing.T) {
	events := life(t, time.Second, "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_success", "r1 task_completed")
	gaveUp := []timeline.Event{
		{ID: timeline.ID{1}, Type: timeline.TaskFailed, Task: events[0].Task, Run: 1, OccurredAt: birth.Add(time.Hour), Reason: timeline.FailLost, Error: &timeline.Error{Kind: "lost"}},
		{ID: timeline.ID{2}, Type: timeline.MovedToDLQ, Task: events[0].Task, Run: 1, OccurredAt: birth.Add(time.Hour), Reason: timeline.FailLost,
			DeadLetter: &timeline.DeadLetterRef{AlertSeverity: timeline.AlertHigh}},
	}
	all := append(gaveUp, events...)
	s, _ := timeline.Fold(all)
	if s.State != timeline.StateCompleted || s.Reason != "" || s.Error != nil || !s.DeadLetterID.IsZero() || s.AlertSeverity != timeline.AlertNone ||
		!s.EndedAt.Equal(events[4].OccurredAt) {
		t.Errorf("%+v", s)
	}
	if got := letterWords(all); got != "r1 resolved" {
		t.Errorf("dead letters %q", got)
	}
	if got := attemptWords(all); got != "r1a1 success" {
		t.Errorf("attempts %q", got)
	}
}

func TestSnapshotDetails(t *testing.T) {
	events := life(t, time.Second, "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried")
	events[0].Input, events[0].Amount, events[0].Currency = timeline.Payload(`{}`), "12.50", "EUR"
	s, _ := timeline.Fold(events)
	if !s.CreatedAt.Equal(birth) || !s.StartedAt.Equal(birth.Add(2*time.Second)) || !s.UpdatedAt.Equal(birth.Add(4*time.Second)) || !s.EndedAt.IsZero() {
		t.Errorf("times %+v", s)
	}
	if s.Waiting == nil || !s.NextAttemptAt.Equal(birth.Add(5*time.Second)) || s.Attempt != 1 || s.Error == nil || s.Error.Message != "r1 a1" {
		t.Errorf("waiting %+v", s)
	}
	if s.Amount != "12.50" || string(s.Input) != "{}" || s.Task.ID != "t1" {
		t.Errorf("task %+v", s.Task)
	}
	// An attempt that was aborted waits for a worker, not for the delay before it.
	events = append(events, life(t, time.Minute, "r1 a2 attempt_started", "r1 a2 attempt_aborted")...)
	for i := range events[5:] {
		events[5+i].Seq += 10
	}
	if s, _ = timeline.Fold(events); s.State != timeline.StateRetrying || s.Waiting != nil || !s.NextAttemptAt.IsZero() {
		t.Errorf("aborted: %+v", s)
	}
	// The error of an earlier run is not that of the next.
	events = append(events, life(t, time.Second, "r2 task_started")...)
	if s, _ = timeline.Fold(events); s.Error != nil || s.Run != 2 || s.Attempt != 0 {
		t.Errorf("next run: %+v", s)
	}
}

func TestSnapshotOfAFailure(t *testing.T) {
	events := life(t, time.Second, "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 cancel_requested", "r1 task_failed", "r1 moved_to_dlq")
	events[4].Duration = timeline.Millis(4 * time.Second)
	s, _ := timeline.Fold(events)
	if s.Reason != timeline.FailExhausted || s.Duration.Duration() != 4*time.Second || !s.EndedAt.Equal(events[4].OccurredAt) ||
		s.DeadLetterID != timeline.DeadLetterID("default", "t1", 1) || s.AlertSeverity != timeline.AlertHigh || !s.CancelRequestedAt.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestAttempts(t *testing.T) {
	f := func(name, want string, words ...string) {
		t.Helper()
		if got := attemptWords(life(t, time.Second, words...)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("running", "r1a1 running", "r1 task_started", "r1 a1 attempt_started")
	f("silent", "r1a1 lost", "r1 a1 attempt_started", "r1 task_lost")
	f("not lost after all", "r1a1 success", "r1 a1 attempt_started", "r1 task_lost", "r1 a1 attempt_success")
	f("died without a word", "r1a1 lost, r1a2 running", "r1 a1 attempt_started", "r1 a2 attempt_started")
	f("given up", "r1a1 lost", "r1 a1 attempt_started", "r1 task_failed")
	f("an earlier run", "r1a1 lost, r2a1 running", "r1 a1 attempt_started", "r2 a1 attempt_started")
	f("only the end is known", "r1a1 failed", "r1 a1 attempt_failed")
	f("a run without attempts", "", "r1 task_started", "r1 task_failed")

	events := life(t, time.Second, "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried", "r1 a2 attempt_failed")
	got := timeline.FoldAttempts(events)
	if len(got) != 2 || got[0].Wait != nil || got[1].Wait == nil || got[1].Wait.Reason != timeline.RetryBackoff {
		t.Fatalf("waits %+v", got)
	}
	if got[0].Error == nil || got[0].Error.Message != "r1 a1" || !got[0].EndedAt.Equal(birth.Add(time.Second)) {
		t.Errorf("first %+v", got[0])
	}
	if !got[1].StartedAt.Equal(birth.Add(2 * time.Second)) {
		t.Errorf("the start that was not reported follows from the duration, got %v", got[1].StartedAt)
	}
}

func TestDeadLetters(t *testing.T) {
	failed := func(run string) []string {
		return []string{run + " task_started", run + " a1 attempt_started", run + " a1 attempt_failed", run + " task_failed", run + " moved_to_dlq"}
	}
	f := func(name, want string, parts ...[]string) {
		t.Helper()
		var words []string
		for _, p := range parts {
			words = append(words, p...)
		}
		if got := letterWords(life(t, time.Second, words...)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	f("pending", "r1 pending", failed("r1"))
	f("asked for", "r1 retrying by r2", failed("r1"), []string{"r2 dlq_retry_requested"})
	f("discarded", "r1 discarded", failed("r1"), []string{"r1 dlq_discarded"})
	f("failed again", "r1 superseded by r2 superseded, r2 pending", failed("r1"), []string{"r2 dlq_retry_requested"}, failed("r2"))
	f("without an attempt", "r1 pending", failed("r1"), []string{"r2 task_retried", "r2 task_started", "r2 task_failed"})
	f("the retry was cancelled", "r1 pending", failed("r1"), []string{"r2 dlq_retry_requested", "r2 task_started", "r2 task_cancelled"})
	f("the third run saves it", "r1 resolved by r2 superseded, r2 resolved by r3", failed("r1"), failed("r2"), []string{"r3 task_started", "r3 task_completed"})
	f("moved twice", "r1 pending", failed("r1"), []string{"r1 moved_to_dlq"})
	f("a later discard does not undo", "r1 resolved by r2", failed("r1"), []string{"r2 task_started", "r2 task_completed", "r2 dlq_discarded"})

	// The context comes from the whole run, also where the last event is terse.
	words := append([]string{"r1 task_created"}, failed("r1")...)
	events := life(t, time.Second, words...)
	events[0].Input = timeline.Payload(`{"to":"x"}`)
	events[3].Error.Stack = "main.go:1"
	events[5].Reason, events[5].Error = "", nil
	d := timeline.FoldDeadLetters(events)[0]
	if string(d.Input) != `{"to":"x"}` || d.Reason != timeline.FailExhausted || d.Error == nil || d.Error.Stack != "main.go:1" || len(d.Attempts) != 1 ||
		d.AlertSeverity != timeline.AlertHigh || !d.Replayable || !d.CreatedAt.Equal(events[5].OccurredAt) {
		t.Errorf("%+v", d)
	}

	// The status changes once, however many events say so.
	events = life(t, time.Second, append(failed("r1"), "r2 dlq_retry_requested", "r2 task_retried", "r2 task_started")...)
	if d := timeline.FoldDeadLetters(events)[0]; !d.UpdatedAt.Equal(events[5].OccurredAt) {
		t.Errorf("updated at %v, want %v", d.UpdatedAt, events[5].OccurredAt)
	}
}
