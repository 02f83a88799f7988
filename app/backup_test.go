package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// A backup as docs/operations.md describes it, stopped and copied, is a whole
// Tasktrail: the same events, the same keys, and nothing missing.
func TestABackupIsRestored(t *testing.T) {
	const n = 20
	u := uptest.Start(t)
	a, err := agent.New(agent.Config{CollectorURL: u.Collector(), Token: u.Token, SpoolDir: t.TempDir(), Name: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, err := a.Do(t.Context(), agent.Task{Task: timeline.Task{ID: fmt.Sprintf("kept-%d", i), Type: "payment", Amount: "1.25", Currency: "EUR"}},
			func(context.Context, agent.Task) (agent.Result, error) {
				if i%2 == 1 {
					return agent.Result{}, agent.Permanent(errors.New("no such account"))
				}
				return agent.Result{}, nil
			})
		if (err != nil) != (i%2 == 1) {
			t.Fatal(err)
		}
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	stands := func() string {
		s, err := u.SQL("SELECT count(), sum(cityHash64(event_id, record)) FROM events FINAL")
		if err != nil {
			t.Log(err)
		}
		letters, err := u.SQL("SELECT count() FROM dead_letters FINAL")
		if err != nil {
			t.Log(err)
		}
		return s + " " + letters
	}
	proctest.Eventually(t, 20*time.Second, "all events are there", func() (bool, string) {
		s := stands()
		return strings.HasPrefix(s, fmt.Sprint(n/2*(5+6))+"\t") && strings.HasSuffix(s, fmt.Sprint(" ", n/2)), s
	})
	before := stands()

	if err := u.Process.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(u.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(u.DataDir); err != nil {
		t.Fatal(err)
	}
	u.DataDir = backup
	u.Restart()

	if after := stands(); after != before {
		t.Errorf("restored %q, want %q", after, before)
	}
	if out, err := u.Run("verify"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if life, err := u.Life("kept-1"); err != nil || len(life) != 6 {
		t.Errorf("a restored timeline, by the token of before: %v, %v", life, err)
	}
}
