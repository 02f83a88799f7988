package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

// tasktrail runs the binary and returns its exit status and what it wrote.
func tasktrail(t *testing.T, env []string, args ...string) (int, string, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), proctest.Build(t, "./cmd/tasktrail"), args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestRunNeedsNoCollector(t *testing.T) {
	spool := t.TempDir()
	run := func(args ...string) (int, string, string) {
		return tasktrail(t, nil, append([]string{
			"run", "--collector-url", "http://127.0.0.1:1", "--spool-dir", spool, "--retry-base", "1ms", "--max-attempts", "2", "--",
		}, args...)...)
	}
	began := time.Now()
	code, stdout, stderr := run("sh", "-c", "echo out; echo err >&2; exit 7")
	if code != 7 || stdout != "out\nout\n" || !bytes.Contains([]byte(stderr), []byte("err\nerr\n")) {
		t.Errorf("status %d, stdout %q, stderr %q: want 7 and the output of two attempts", code, stdout, stderr)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s without a collector", took)
	}
	if code, _, stderr := run("no-such-command-here"); code != 127 {
		t.Errorf("status %d, want 127: %s", code, stderr)
	}
	code, stdout, _ = tasktrail(t, nil, "run", "--collector-url", "http://127.0.0.1:1", "--spool-dir", spool, "--retry-base", "1ms", "--permanent-exit", "2,3",
		"--", "sh", "-c", "echo once; exit 3")
	if code != 3 || stdout != "once\n" {
		t.Errorf("status %d, stdout %q: want one attempt", code, stdout)
	}
	if code, _, _ := run("--", "true"); code == 2 {
		t.Error("arguments after -- are the command's")
	}
	for _, args := range [][]string{{"run"}, {"run", "--timeout", "-1s", "--", "true"}, {"run", "--amount", "much", "--", "true"}, {"run", "--permanent-exit", "0", "--", "true"}} {
		if code, _, stderr := tasktrail(t, nil, args...); code != exitUsage {
			t.Errorf("%q: status %d, want %d: %s", args, code, exitUsage, stderr)
		}
	}
}

// What was run while the collector was away, and what is run when it is back, has
// its whole life on record.
func TestRunOverUp(t *testing.T) {
	u := uptest.Start(t)
	want := uptest.Lives(t)
	env := []string{"TASKTRAIL_TOKEN=" + u.Token}
	spool, once := t.TempDir(), filepath.Join(t.TempDir(), "once")
	for _, c := range []struct {
		life, url, script string
		status            int
	}{
		{"success", "http://127.0.0.1:1", "exit 0", 0},
		{"retry_then_success", u.Collector(), "[ -e " + once + " ] || { touch " + once + "; exit 1; }", 0},
		{"exhausted_after_2", u.Collector(), "exit 3", 3},
		{"permanent", u.Collector(), "exit 127", 127},
	} {
		code, _, stderr := tasktrail(t, env, "run", "--collector-url", c.url, "--spool-dir", spool, "--task-id", c.life,
			"--max-attempts", "2", "--retry-base", "1ms", "--", "sh", "-c", c.script)
		if code != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.life, code, c.status, stderr)
		}
	}
	for _, life := range []string{"success", "retry_then_success", "exhausted_after_2", "permanent"} {
		var got []string
		proctest.Eventually(t, 30*time.Second, life, func() (bool, string) {
			var err error
			got, err = u.Life(life)
			if err != nil {
				return false, err.Error()
			}
			return slices.Equal(got, want[life]), ""
		})
	}
}

// A signal to tasktrail run ends the command with it, as it wants to end, and no
// retry follows.
func TestRunPassesSignalsOn(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.CommandContext(t.Context(), proctest.Build(t, "./cmd/tasktrail"), "run", "--collector-url", "http://127.0.0.1:1",
		"--spool-dir", t.TempDir(), "--", "sh", "-c", "trap 'exit 42' TERM; touch "+ready+"; while :; do sleep 0.05; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, 20*time.Second, "the command runs", func() (bool, string) {
		_, err := os.Stat(ready)
		return err == nil, "no " + ready
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is looked at below
	if code := cmd.ProcessState.ExitCode(); code != 42 {
		t.Errorf("status %d, want the command's own 42", code)
	}
}
