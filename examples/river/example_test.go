package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// The program as it stands: every order lives as its bank behaves.
func TestOrders(t *testing.T) {
	url, _ := database(t)
	u := uptest.Start(t)
	jobs, err := run(t.Context(), options{
		database: url, collector: u.Collector(), token: u.Token, spool: t.TempDir(), orders: 20, within: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	known := uptest.Lives(t)
	exhausted := []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried",
		"r1 a2 attempt_started", "r1 a2 attempt_failed", "r1 a2 task_retried", "r1 a3 attempt_started", "r1 a3 attempt_failed",
		"r1 task_failed", "r1 moved_to_dlq",
	}
	lives := map[string][]string{
		bankWell: known["success"], bankHiccups: known["retry_then_success"], bankRefuses: known["permanent"], bankDown: exhausted,
	}
	for i, job := range jobs {
		id, want := fmt.Sprintf("river:default:%d", job), lives[order(i).Bank]
		proctest.Eventually(t, 30*time.Second, id+" lived as planned", func() (bool, string) {
			life, err := u.Life(id)
			return err == nil && slices.Equal(life, want), fmt.Sprint(life, err)
		})
	}
	var health struct {
		Tasks map[string]int `json:"tasks"`
	}
	if code, err := u.Call(http.MethodGet, "/tasks/monitoring/health", "", &health); err != nil || health.Tasks["completed"] != 16 || health.Tasks["failed"] != 4 {
		t.Errorf("health: %d, %+v, %v; want 16 completed, 4 failed", code, health, err)
	}
}
