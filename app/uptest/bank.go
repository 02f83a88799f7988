package uptest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// Bank is how the programs of an example that charges orders at a bank say things.
type Bank struct {
	// Input is the input of a task whose first calls fail, so many of them; Recorded
	// what is on record of it. Recorded defaults to Input.
	Input, Recorded func(order, fails int) string
	// Patch is the edit that makes any input one of order 44 that does not fail.
	Patch string
	// Runner is task.runner, Kind the type of the bank's error.
	Runner, Kind string
}

// RunBank has an example's tasks succeed, fail and then succeed, and fail for good;
// retries them by hand, one of them edited, by the URL of their queue, and fails where
// a timeline or an effect is another than it should be.
func RunBank(t *testing.T, s *Scripts, b Bank) {
	lives := Lives(t)
	twice := lives["exhausted_after_2"]
	retried := slices.Concat(twice, []string{
		"r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success",
		"r2 task_completed", "r2 dlq_resolved",
	})
	worker := s.Work(t)
	s.Put(t, "ok", b.Input(1, 0), nil)
	s.Put(t, "second-try", b.Input(2, 1), nil)
	s.Put(t, "fails", b.Input(3, 2), nil)
	s.Put(t, "wrong", b.Input(4, 1000), nil)
	s.Up.Lived(t, "ok", lives["success"]...)
	s.Up.Lived(t, "second-try", lives["retry_then_success"]...)
	if snap := s.Up.Task(t, "second-try"); snap.Duration.Duration() < 40*time.Millisecond {
		t.Errorf("two attempts, and the wait between them, took %v", snap.Duration.Duration())
	}
	s.Up.Lived(t, "fails", twice...)
	s.Up.Lived(t, "wrong", twice...)
	recorded := b.Input
	if b.Recorded != nil {
		recorded = b.Recorded
	}
	if snap := s.Up.Task(t, "fails"); snap.State != timeline.StateFailed || snap.Error == nil || snap.Error.Kind != b.Kind || snap.Runner != b.Runner ||
		snap.Queue != s.Queue || snap.Agent != s.Queue+"-worker" || unspaced(snap.Input) != recorded(3, 2) || snap.Reason != timeline.FailExhausted {
		t.Errorf("%+v %+v", snap, snap.Error)
	}

	// Nobody can start it again yet, and that is said before anything is promised.
	if status, said := s.Up.Retry(t, "fails", ""); status != http.StatusUnprocessableEntity || !strings.Contains(said, "not_requeueable") {
		t.Errorf("a retry without a URL: %d %s", status, said)
	}
	s.Up.Lived(t, "fails", twice...)

	s.Register(t, "")
	Stop(t, worker)
	worker = s.Work(t)
	if status, said := s.Up.Retry(t, "fails", `{"reason":"the bank is back"}`); status != http.StatusAccepted || !strings.Contains(said, `"served":true`) {
		t.Fatalf("a retry: %d %s", status, said)
	}
	worked(t, s.Up, "fails", retried, `{"order":3,"charged":"default/fails"}`)

	// The input is mended by hand: a new effect, under a key of its own.
	if status, said := s.Up.Retry(t, "wrong", `{"reason":"a wrong number","input_patch":`+b.Patch+`}`); status != http.StatusAccepted {
		t.Fatalf("an edited retry: %d %s", status, said)
	}
	worked(t, s.Up, "wrong", retried, `{"order":44,"charged":"default/wrong/e1"}`)

	// Whoever does not know the secret cannot put tasks into the queue.
	resp, err := http.Post(s.URL(), "application/json", strings.NewReader(`{"type":"task.retry","data":{"type":"charge_order","task_id":"forged","run":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a forged post: %s", resp.Status)
	}
	Stop(t, worker)
}

// worked waits for a life and looks at what came of it.
func worked(t *testing.T, u *Up, id string, life []string, output string) {
	t.Helper()
	u.Lived(t, id, life...)
	if snap := u.Task(t, id); snap.State != timeline.StateCompleted || snap.Run != 2 || unspaced(snap.Output) != output {
		t.Errorf("%s: %s in run %d with %s, want completed in run 2 with %s", id, snap.State, snap.Run, snap.Output, output)
	}
}

// unspaced is JSON without the spaces that some languages write into it.
func unspaced(json []byte) string { return strings.ReplaceAll(string(json), " ", "") }

// Stop ends a worker as a deployment does.
func Stop(t testing.TB, p *proctest.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatalf("the worker: %v", err)
	}
}
