package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

const envDoomed = "AGENT_TEST_DOOMED"

// doomed is a worker that says when its attempt runs, and waits for its end.
func doomed(dir string) {
	a, err := agent.New(agent.Config{SpoolDir: dir, Name: "worker"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := a.Step(context.Background(), mortal(), agent.Delivery{Run: 1, Attempt: 1}, func(context.Context, agent.Task) (agent.Result, error) {
		fmt.Println("running")
		select {}
	})
	fmt.Fprintln(os.Stderr, "the attempt ended:", s.Err)
	os.Exit(1)
}

func mortal() agent.Task {
	t := task("mortal", "p")
	t.Runner = "test"
	return t
}

// dieRunning starts a worker on the spool and kills it, without a warning, in the
// middle of its attempt.
func dieRunning(t *testing.T, dir string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), envDoomed+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "running\n" {
		t.Fatalf("the worker said %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// The runner's count is of no use here: it says 1 each time.
func TestAttemptsGoOnAfterADeath(t *testing.T) {
	dir := t.TempDir()
	dieRunning(t, dir)
	rec := agenttest.New(t, agent.Config{SpoolDir: dir, Name: "worker"})
	if s := rec.Step(t.Context(), mortal(), agent.Delivery{Run: 1, Attempt: 1}, succeeding); s.Outcome != agent.Completed {
		t.Fatalf("outcome %v: %v", s.Outcome, s.Err)
	}
	// That the first worker is lost is the collector's to say.
	want := slices.DeleteFunc(slices.Clone(lives(t)["worker_died_then_resumed"]), func(s string) bool { return s == "r1 task_lost" })
	wantLife(t, rec, "mortal", want)
	for i, e := range rec.Events("mortal") {
		if e.Seq != uint64(i+1) {
			t.Errorf("event %d, %s, has seq %d", i, e.Type, e.Seq)
		}
	}
}

func TestThreeDeathsMakeATaskPoison(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		dieRunning(t, dir)
	}
	rec := agenttest.New(t, agent.Config{SpoolDir: dir, Name: "worker"})
	called := false
	s := rec.Step(t.Context(), mortal(), agent.Delivery{Run: 1, Attempt: 1}, func(context.Context, agent.Task) (agent.Result, error) {
		called = true
		return agent.Result{}, nil
	})
	var te *agent.TaskError
	if called || s.Outcome != agent.Failed || !errors.As(s.Err, &te) || te.Reason != timeline.FailPoison || te.Attempts != 3 || !errors.Is(s.Err, agent.ErrPoison) {
		t.Errorf("called %v, outcome %v, %v: want poison without a fourth attempt", called, s.Outcome, s.Err)
	}
	wantLife(t, rec, "mortal", []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a2 attempt_started", "r1 a3 attempt_started",
		"r1 task_failed", "r1 moved_to_dlq",
	})
}
