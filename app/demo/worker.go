package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/tasktrail/tasktrail/agent"
)

// deadFor is how long a worker lives that dies: until what it has written left it.
const deadFor = 2 * time.Second

// errDied is how a worker that dies ends.
var errDied = errors.New("the worker died")

// doomed is what a worker that dies is told by its standard input.
type doomed struct {
	Config Config
	Task   agent.Task
	Since  time.Time
}

// dies hands a task to a worker that dies in the middle of it, and returns when it
// has. The worker is a process of its own: nothing less falls silent.
func (q *queue) dies(ctx context.Context, t agent.Task, at time.Time) error {
	told, err := json.Marshal(doomed{q.cfg, t, at})
	if err != nil {
		return fmt.Errorf("a worker that dies: %w", err)
	}
	cmd := exec.CommandContext(ctx, q.cfg.Worker[0], q.cfg.Worker[1:]...)
	cmd.Stdin = bytes.NewReader(told)
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != diedStatus {
		return fmt.Errorf("a worker that dies: %w: %.500s", err, out)
	}
	return nil
}

// diedStatus tells a worker that died as it should from one that could not begin.
const diedStatus = 86

// Die is the worker that dies: it begins the task that in tells of, and ends the
// process in the middle. It returns where it could not begin.
func Die(ctx context.Context, in io.Reader) error {
	var d doomed
	if err := json.NewDecoder(in).Decode(&d); err != nil {
		return fmt.Errorf("what to die at: %w", err)
	}
	a, err := agent.New(agent.Config{
		Name: "demo-worker-that-dies", Namespace: d.Config.Namespace, CollectorURL: d.Config.CollectorURL, Token: d.Config.Token,
		SpoolDir: d.Config.SpoolDir + "-dies", Retry: policy, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	a.Step(ctx, d.Task, agent.Delivery{Run: 1, Attempt: 1, CreatedAt: d.Since, Created: true}, func(context.Context, agent.Task) (agent.Result, error) {
		_ = pause(ctx, deadFor)
		os.Exit(diedStatus)
		return agent.Result{}, errDied
	})
	return errDied
}
