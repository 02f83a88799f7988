package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
)

// runCloseTimeout is how long the end of a command may be held up by a collector
// that is slow or away. What was not shipped stays in the spool for the next run.
const runCloseTimeout = 2 * time.Second

// commandStatus is the exit status of the command that was run: it has said
// itself what was wrong.
type commandStatus struct {
	code int
	err  error
}

func (e commandStatus) Error() string { return e.err.Error() }
func (e commandStatus) Unwrap() error { return e.err }

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use: "run [flags] -- command [args...]", Short: "Run a command as a task, with retries and a timeline",
		Args: cobra.MinimumNArgs(1),
	}
	var t agent.Task
	var cfg agent.Config
	var command execrunner.Config
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVar(&t.ID, "task-id", "", "id of the task; empty for a random one")
	f.StringVar(&t.Type, "type", "", "type of the task; empty for the command's name")
	f.StringVar(&t.Namespace, "namespace", "", "namespace of the task")
	f.StringVar(&t.Queue, "queue", "exec", "queue of the task")
	f.StringVar(&t.Amount, "amount", "", "amount of money that the task moves, such as 12.50")
	f.StringVar(&t.Currency, "currency", "", "currency of the amount, such as USD")
	f.StringVar(&t.UserID, "user", "", "whose task it is")
	f.StringVar(&t.Provider, "provider", "", "dependency whose circuit breaker guards the task")
	f.IntVar(&t.MaxAttempts, "max-attempts", 0, "attempts the task may take; 0 for the default of 5")
	f.DurationVar(&t.Timeout, "timeout", 0, "how long one attempt may take; 0 for no end")
	f.DurationVar(&cfg.Retry.Base, "retry-base", 0, "wait before the first retry; it doubles from there (0 for 1s)")
	f.DurationVar(&command.Grace, "grace", 0, "how long a command that was told to stop may take before it is killed (0 for 10s)")
	f.IntSliceVar(&command.PermanentExit, "permanent-exit", nil, "exit statuses that no further attempt can help, beside 126 and 127, such as 2,64 (64,65,77,78)")
	f.StringVar(&cfg.CollectorURL, "collector-url", "", "OTLP/HTTP address of the collector (TASKTRAIL_COLLECTOR_URL)")
	f.StringVar(&cfg.SpoolDir, "spool-dir", "", "directory for what the collector has not taken yet; empty for one in the user's cache")
	c.RunE = func(c *cobra.Command, args []string) error {
		if t.MaxAttempts < 0 || t.Timeout < 0 || command.Grace < 0 || cfg.Retry.Base < 0 {
			return usageError{fmt.Errorf("--max-attempts, --timeout, --grace and --retry-base must not be negative")}
		}
		command.Args, command.Stdin, command.Stdout, command.Stderr = args, pipedStdin(), os.Stdout, os.Stderr
		return runCommand(c.Context(), t, cfg, command)
	}
	return c
}

func runCommand(ctx context.Context, t agent.Task, cfg agent.Config, command execrunner.Config) error {
	describeCommand(&t, command.Args)
	if err := t.Validate(); err != nil {
		return usageError{err}
	}
	cfg.Namespace = t.Namespace
	cfg.Name, cfg.Logger = "tasktrail run", slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	fn, err := execrunner.Func(command)
	if err != nil {
		return usageError{err}
	}
	a, err := agent.New(cfg)
	if err != nil {
		return usageError{err}
	}
	a.HandleCancels(t.Queue, nil) // its retries are for a resident agent
	if err := a.Start(ctx); err != nil {
		return err
	}
	// The first signal goes to the command and ends the retries; how the command
	// ends then is its own affair.
	ctx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				stop(execrunner.Interrupted{Signal: s})
			}
		case <-done:
		}
	}()
	_, err = a.Do(ctx, t, fn)
	close(done)
	signal.Stop(signals)
	stop(nil)
	end, free := context.WithTimeout(context.WithoutCancel(ctx), runCloseTimeout)
	defer free()
	// The command is what counts: that its record could not be closed is said, and
	// changes its status in nothing.
	if closeErr := a.Close(end); closeErr != nil {
		fmt.Fprintln(os.Stderr, "tasktrail: close the spool:", closeErr)
	}
	if err == nil {
		return nil
	}
	return commandStatus{execrunner.Status(err), err}
}

// describeCommand fills in what the caller did not say.
func describeCommand(t *agent.Task, args []string) {
	t.Runner = execrunner.Name
	if t.ID == "" {
		t.ID = "run-" + rand.Text()
	}
	if t.Type == "" {
		t.Type = filepath.Base(args[0])
	}
	// Strings alone: this cannot fail.
	t.Input, _ = json.Marshal(struct {
		Command []string `json:"command"`
	}{args})
}

// pipedStdin is standard input where it is not a terminal: a command in a process
// group of its own would be stopped when it reads from one.
func pipedStdin() *os.File {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return nil
	}
	return os.Stdin
}
