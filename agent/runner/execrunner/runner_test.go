package execrunner_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quick = agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: time.Millisecond, Cap: 2 * time.Millisecond}}

func do(t *testing.T, ctx context.Context, rec *agenttest.Recorder, id string, cfg execrunner.Config, timeout time.Duration) error {
	t.Helper()
	fn, err := execrunner.Func(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = rec.Do(ctx, agent.Task{Task: timeline.Task{ID: id, Type: "command", Runner: execrunner.Name}, Timeout: timeout}, fn)
	return err
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestExitStatusDecides(t *testing.T) {
	rec := agenttest.New(t, quick)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name             string
		args             []string
		status, attempts int
	}{
		{"success", sh("exit 0"), 0, 1},
		{"failure", sh("exit 3"), 3, 2},
		{"tempfail", sh("exit 75"), 75, 2},
		{"called wrongly", sh("exit 64"), 64, 1},
		{"wrong data", sh("exit 65"), 65, 1},
		{"not executable, says the command", sh("exit 126"), 126, 1},
		{"not found, says the command", sh("exit 127"), 127, 1},
		{"not found", []string{"no-such-command-here"}, 127, 1},
		{"no such path", []string{"/no/such/command"}, 127, 1},
		{"not executable", []string{plain}, 126, 1},
		{"killed", sh("kill -KILL $$"), 137, 2},
	} {
		err := do(t, t.Context(), rec, c.name, execrunner.Config{Args: c.args}, 0)
		if got := execrunner.Status(err); got != c.status {
			t.Errorf("%s: status %d, want %d (%v)", c.name, got, c.status, err)
		}
		attempts := 0
		for _, typ := range rec.Types(c.name) {
			if typ == timeline.AttemptStarted {
				attempts++
			}
		}
		if attempts != c.attempts {
			t.Errorf("%s: %d attempts, want %d", c.name, attempts, c.attempts)
		}
	}
}

func TestEndOfStderrIsTheMessage(t *testing.T) {
	rec := agenttest.New(t, quick)
	var stderr bytes.Buffer
	err := do(t, t.Context(), rec, "noisy", execrunner.Config{
		Args: sh(`i=0; while [ $i -lt 2000 ]; do echo "line $i of the noise" >&2; i=$((i+1)); done; echo the reason >&2; exit 1`), Stderr: &stderr,
	}, 0)
	var exit *execrunner.ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) > 8<<10 || !strings.HasSuffix(exit.Stderr, "the reason\n") {
		t.Errorf("error %.80v", err)
	}
	events := rec.Events("noisy")
	i := slices.IndexFunc(events, func(e timeline.Event) bool { return e.Type == timeline.AttemptFailed })
	if m := events[i].Error.Message; !strings.HasPrefix(m, "exit status 1: ") || !strings.HasSuffix(m, "the reason") {
		t.Errorf("message %.40q … %q", m, m[max(len(m)-40, 0):])
	}
	if n := strings.Count(stderr.String(), "line 0 of"); n != 2 {
		t.Errorf("the output of %d attempts was passed on whole, want 2", n)
	}
}

func TestEnvironmentSaysWhichAttempt(t *testing.T) {
	rec := agenttest.New(t, quick)
	var out bytes.Buffer
	err := do(t, t.Context(), rec, "env", execrunner.Config{
		Args: sh(`echo $TASKTRAIL_TASK_ID $TASKTRAIL_RUN $TASKTRAIL_ATTEMPT $TASKTRAIL_IDEMPOTENCY_KEY; [ $TASKTRAIL_ATTEMPT = 2 ]`), Stdout: &out,
	}, 0)
	if want := "env 1 1 default/env\nenv 1 2 default/env\n"; err != nil || out.String() != want {
		t.Errorf("error %v, output %q, want %q", err, out.String(), want)
	}
}

// A command that leaves a child behind which ignores every polite signal.
func TestTimeoutKillsTheGroup(t *testing.T) {
	cfg := quick
	cfg.Retry.MaxAttempts = 1
	rec := agenttest.New(t, cfg)
	pidFile := filepath.Join(t.TempDir(), "pid")
	err := do(t, t.Context(), rec, "hangs", execrunner.Config{
		Args: sh(`sh -c 'trap "" TERM; echo $$ > ` + pidFile + `.new; mv ` + pidFile + `.new ` + pidFile + `; while :; do sleep 1; done' & wait`), Grace: 100 * time.Millisecond,
	}, time.Second)
	if err == nil {
		t.Fatal("a command that hangs is no success")
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if !gone(pid) {
		t.Errorf("process %d outlived its timeout", pid)
	}
}

// gone waits until a process has ended; one that nobody reaps has ended too.
func gone(pid int) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-tick.C {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ") {
			return true
		}
	}
	return false
}

func TestSignalIsPassedOn(t *testing.T) {
	rec := agenttest.New(t, quick)
	ctx, stop := context.WithCancelCause(t.Context())
	out := &trigger{on: "ready", do: func() { stop(execrunner.Interrupted{Signal: syscall.SIGINT}) }}
	err := do(t, ctx, rec, "interrupted", execrunner.Config{
		Args: sh(`trap 'exit 42' INT; echo ready; while :; do sleep 0.05; done`), Stdout: out,
	}, 0)
	if got := execrunner.Status(err); got != 42 {
		t.Errorf("status %d (%v), want the command's own 42", got, err)
	}
	if types := rec.Types("interrupted"); types[len(types)-1] != timeline.AttemptAborted {
		t.Errorf("events %v, want an aborted attempt at the end", types)
	}
}

// trigger does something once it has seen a word.
type trigger struct {
	on   string
	do   func()
	seen bytes.Buffer
}

func (w *trigger) Write(p []byte) (int, error) {
	w.seen.Write(p)
	if w.do != nil && strings.Contains(w.seen.String(), w.on) {
		w.do()
		w.do = nil
	}
	return len(p), nil
}
