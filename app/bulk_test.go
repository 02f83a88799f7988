package app_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// A bulk retry over all the parts: it survives a restart of everything in the
// middle, and each dead letter is run once more, and resolved.
func TestBulkRetry(t *testing.T) {
	const n = 12
	u := uptest.Start(t)
	a, err := agent.New(agent.Config{CollectorURL: u.Collector(), Token: u.Token, SpoolDir: t.TempDir(), Name: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	var healthy atomic.Bool
	var ran atomic.Int64
	work := func(context.Context, agent.Task) (agent.Result, error) {
		ran.Add(1)
		if healthy.Load() {
			return agent.Result{}, nil
		}
		return agent.Result{}, agent.Permanent(errors.New("no such account"))
	}
	a.HandleQueue("money", func(_ context.Context, c timeline.Command) error {
		go a.Step(context.Background(), agent.Task{Task: c.Task}, agent.Delivery{Run: c.Run, Attempt: 1}, work)
		return nil
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		task := agent.Task{Task: timeline.Task{ID: fmt.Sprintf("bulk-%d", i), Type: "refund", Queue: "money", Runner: "test", Input: timeline.Payload(`{"order":1}`)}}
		if s := a.Step(t.Context(), task, agent.Delivery{Run: 1, Attempt: 1}, work); s.Outcome != agent.Failed {
			t.Fatalf("outcome %v, want failed", s.Outcome)
		}
	}
	var found struct {
		Total int `json:"total"`
	}
	proctest.Eventually(t, 20*time.Second, "the dead letters are there", func() (bool, string) {
		_, err := u.Call("POST", "/failed-tasks/bulk-retry", `{"filter":{"type":"refund"},"dry_run":true}`, &found)
		return err == nil && found.Total == n, fmt.Sprint(found, err)
	})
	if out, err := u.Run("failed", "retry", "--type", "refund", "--dry-run"); err != nil || !strings.Contains(out, "12 dead letters would be worked on; 0 of them") {
		t.Errorf("the command line: %v\n%s", err, out)
	}
	healthy.Store(true)
	var bulk struct {
		ID       string         `json:"id"`
		Status   string         `json:"status"`
		Progress map[string]any `json:"progress"`
	}
	if _, err := u.Call("POST", "/failed-tasks/bulk-retry", `{"filter":{"type":"refund"},"reason":"the accounts are back","rate_per_second":5,"canary":2}`, &bulk); err != nil {
		t.Fatal(err)
	}
	show := func() (bool, string) {
		_, err := u.Call("GET", "/bulk/"+bulk.ID, "", &bulk)
		return err == nil, fmt.Sprint(bulk, err)
	}
	proctest.Eventually(t, 30*time.Second, "it is under way", func() (bool, string) {
		ok, text := show()
		done, _ := bulk.Progress["succeeded"].(float64)
		return ok && done >= 2, text
	})
	u.Restart()
	proctest.Eventually(t, 90*time.Second, "it is completed", func() (bool, string) {
		ok, text := show()
		return ok && bulk.Status == "completed", text
	})
	if bulk.Progress["succeeded"] != float64(n) {
		t.Errorf("%+v", bulk)
	}
	if out, err := u.Run("bulk", bulk.ID); err != nil || !strings.Contains(out, "completed") {
		t.Errorf("the command line: %v\n%s", err, out)
	}
	if out, err := u.Run("errors", "--status", "open"); err != nil || !strings.Contains(out, "no such account") {
		t.Errorf("the command line: %v\n%s", err, out)
	}
	if got := ran.Load(); got != 2*n {
		t.Errorf("%d calls of the executor, want %d: each dead letter runs once more", got, 2*n)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}
