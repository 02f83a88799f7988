package sidecar

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tasktrail/tasktrail/agent/agenttest"
)

func TestAShutdownAbortsAndTheNextStartGoesOn(t *testing.T) {
	r := newRig(t, nil)
	started := make(chan struct{}, 1)
	url, calls := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		if c.body.Attempt == 1 {
			started <- struct{}{}
			<-req.Context().Done()
			return
		}
		ok(w, req, c)
	})
	answered := make(chan reading, 1)
	go func() { answered <- r.post(fields{"task_id": "s", "callback_url": url}) }()
	<-started
	r.stop()
	if a := <-answered; a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.Link != "/v1/tasks/s" {
		t.Errorf("the caller that waited: %d %s", a.status, a.body)
	}
	r.start()
	if a := r.settled("s"); a.State != "completed" || len(calls) != 2 {
		t.Errorf("%s after %d calls", a.body, len(calls))
	}
	r.wantLife("s", "r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_aborted", "r1 a2 attempt_started",
		"r1 a2 attempt_success", "r1 task_completed")
}

// copyOf is a directory as a kill would leave it.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A kill after the timeline has the end of a run and before the queue has it: the
// task is not run again.
func TestAnEndThatTheQueueMissedIsNotRunAgain(t *testing.T) {
	r := newRig(t, nil)
	started, release := make(chan struct{}, 1), make(chan struct{})
	url, calls := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		started <- struct{}{}
		<-release
		ok(w, req, c)
	})
	r.post(fields{"task_id": "e", "callback_url": url, "mode": "async"})
	<-started
	queue := copyOf(t, filepath.Join(r.cfg.DataDir, "queue"))
	close(release)
	r.settled("e")
	want := []string{"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_success", "r1 task_completed"}
	r.wantLife("e", want...)
	spool := copyOf(t, filepath.Join(r.cfg.DataDir, "spool"))
	r.stop()
	r.cfg.DataDir = t.TempDir()
	for name, from := range map[string]string{"queue": queue, "spool": spool} {
		if err := os.CopyFS(filepath.Join(r.cfg.DataDir, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	if a := r.call("GET", "/v1/tasks/e", nil); a.State != "completed" || string(a.Output) != `{"charged":true}` {
		t.Errorf("after the kill: %s", a.body)
	}
	if len(calls) != 1 {
		t.Errorf("%d calls, want 1", len(calls))
	}
	unique := slices.Compact(slices.Sorted(slices.Values(agenttest.Life(r.collector.Events("e")))))
	if len(unique) != len(want) {
		t.Errorf("the life is %q", unique)
	}
}

// Three processes that die on a task make it poison, whatever they wrote down.
func TestThreeDeathsMakeATaskPoison(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Agent.Retry.MaxAttempts = 10 })
	started, never := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(never) })
	url, calls := callback(t, func(_ http.ResponseWriter, req *http.Request, _ called) {
		started <- struct{}{}
		select {
		case <-never:
		case <-req.Context().Done():
		}
	})
	r.post(fields{"task_id": "x", "callback_url": url, "mode": "async"})
	for range 3 {
		<-started
		killed := copyOf(t, r.cfg.DataDir)
		r.stop()
		r.cfg.DataDir = killed
		r.start()
	}
	if a := r.settled("x"); a.Reason != "poison" || a.Attempts != 3 || len(calls) != 3 {
		t.Errorf("%s after %d calls", a.body, len(calls))
	}
	var numbers []int
	for range 3 {
		numbers = append(numbers, (<-calls).body.Attempt)
	}
	if !slices.Equal(numbers, []int{1, 2, 3}) {
		t.Errorf("the attempts are %v", numbers)
	}
}

// A kill after a cancel was accepted: the task is not called any more.
func TestAnAcceptedCancelSurvivesAKill(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Workers = 1 })
	started, release := make(chan struct{}, 2), make(chan struct{})
	busy, _ := callback(t, func(w http.ResponseWriter, req *http.Request, c called) {
		started <- struct{}{}
		select {
		case <-release:
		case <-req.Context().Done():
		}
		ok(w, req, c)
	})
	url, calls := callback(t, ok)
	r.post(fields{"task_id": "busy", "callback_url": busy, "mode": "async"})
	<-started
	r.post(fields{"task_id": "w", "callback_url": url, "mode": "async"})
	if a := r.call("DELETE", "/v1/tasks/w", nil, "Tasktrail-Reason", "not wanted"); a.status != http.StatusAccepted || a.State != "pending" {
		t.Fatalf("the cancel of a task whose turn does not come: %d %s", a.status, a.body)
	}
	killed := copyOf(t, r.cfg.DataDir)
	r.stop()
	close(release)
	r.cfg.DataDir = killed
	r.start()
	if a := r.settled("w"); a.State != "cancelled" || len(calls) != 0 {
		t.Errorf("after the kill: %s, %d calls", a.body, len(calls))
	}
	r.settled("busy")
	until(t, "the cancel's record", func() bool { return len(r.collector.Events("w")) > 1 })
	events := r.collector.Events("w")
	if e := events[len(events)-1]; e.StopProof != "not_running" || e.Operator == nil || e.Operator.Reason != "not wanted" {
		t.Errorf("the proof is %q by %+v", e.StopProof, e.Operator)
	}
}
