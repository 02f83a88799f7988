// Package execrunner executes operating system commands as tasks: exit statuses
// become classes of errors, the end of standard error their message, and lines of
// a stated form progress.
//
// It decides nothing about retries, which is the agent's, and parses no command
// line: what to run comes as a list of arguments and goes through no shell.
package execrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/tasktrail/tasktrail/agent"
)

// Name is the runner's name in a task's timeline.
const Name = "exec"

// Variables that a command finds in its environment, beside those it is given.
const (
	EnvTaskID         = "TASKTRAIL_TASK_ID"
	EnvRun            = "TASKTRAIL_RUN"
	EnvAttempt        = "TASKTRAIL_ATTEMPT"
	EnvIdempotencyKey = "TASKTRAIL_IDEMPOTENCY_KEY"
	EnvProgressFD     = "TASKTRAIL_PROGRESS_FD"
)

// progressFD is the first descriptor after the standard ones.
const progressFD = 3

// Config says what to run and with what.
type Config struct {
	// Args is the command and its arguments; the first is looked up in PATH.
	Args []string
	// Dir is the working directory. Defaults to that of this process.
	Dir string
	// Env is the environment. Defaults to that of this process.
	Env []string
	// Stdin is what the command reads; a retry goes on where the attempt before it
	// stopped reading. Defaults to nothing.
	Stdin *os.File
	// Stdout and Stderr get what the command writes, unchanged. Default to nowhere.
	Stdout, Stderr io.Writer
	// Grace is how long a command that was told to stop may take before its process
	// group is killed, and how long what it started may hold its output after it
	// ended. Defaults to 10 s.
	Grace time.Duration
	// PermanentExit are exit statuses, 1 to 255, that no further attempt can help,
	// beside 126 and 127. Defaults to those of sysexits.h that blame the call and not
	// the moment: 64 (usage), 65 (data), 77 (permission), 78 (configuration).
	PermanentExit []int
}

// Interrupted is the cause of a context that ends because of a signal: the
// command gets the same one.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return "interrupted by signal: " + i.Signal.String() }

// Validate reports every fault at once.
func (c Config) Validate() error {
	var errs []error
	if len(c.Args) == 0 || c.Args[0] == "" {
		errs = append(errs, errors.New("execrunner: a command is needed"))
	}
	if c.Grace < 0 {
		errs = append(errs, errors.New("execrunner: Grace must not be negative"))
	}
	for _, code := range c.PermanentExit {
		if code < 1 || code > 255 {
			errs = append(errs, fmt.Errorf("execrunner: PermanentExit: %d is no exit status of a failure, 1 to 255", code))
		}
	}
	return errors.Join(errs...)
}

// Func is the executor for a command. Its errors are an [*ExitError] for a
// command that ran; a command that cannot be found or executed is permanent.
func Func(cfg Config) (agent.Func, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	if cfg.PermanentExit == nil {
		cfg.PermanentExit = []int{64, 65, 77, 78}
	}
	return func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		return agent.Result{}, classify(execute(ctx, &cfg), cfg.PermanentExit)
	}, nil
}

func execute(ctx context.Context, cfg *Config) error {
	progress, reports, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open the pipe for progress: %w", err)
	}
	defer progress.Close()
	var last tail
	cmd := exec.CommandContext(ctx, cfg.Args[0], cfg.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = cfg.Dir, environment(ctx, cfg.Env), cfg.Grace
	cmd.ExtraFiles = []*os.File{reports}
	if cfg.Stdin != nil {
		cmd.Stdin = cfg.Stdin
	}
	report := func(done, total float64, message string) { agent.Progress(ctx, done, total, message) }
	cmd.Stdout = &lines{to: cfg.Stdout, prefix: progressPrefix, report: report}
	cmd.Stderr = &tee{to: cfg.Stderr, tail: &last}
	// A group of its own, so that what the command starts is stopped with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return signalGroup(cmd.Process.Pid, signalOf(ctx)) }
	err = cmd.Start()
	reports.Close()
	if err != nil {
		return err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&lines{report: report}, progress) // ends with the pipe or its deadline
	}()
	err = cmd.Wait()
	if ctx.Err() != nil || errors.Is(err, exec.ErrWaitDelay) {
		_ = signalGroup(cmd.Process.Pid, syscall.SIGKILL) // nobody left is what is wanted
	}
	// What the command wrote before it ended is in the pipe; a process it left
	// behind may hold the other end for ever.
	_ = progress.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-read
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitError(exit.ProcessState, last.String())
	case errors.Is(err, exec.ErrWaitDelay), err != nil && cmd.ProcessState != nil && cmd.ProcessState.Success() && ctx.Err() != nil:
		// The command itself ended well; only what it left behind was killed.
		return nil
	}
	return err
}

// classify marks what no further attempt can help.
func classify(err error, permanent []int) error {
	var exit *ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		if exit.Code == 126 || exit.Code == 127 || exit.Signal == 0 && slices.Contains(permanent, exit.Code) {
			return agent.Permanent(err)
		}
		return err
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return agent.Permanent(err)
	}
	return err
}

func environment(ctx context.Context, env []string) []string {
	env = append(env[:len(env):len(env)], EnvProgressFD+"="+strconv.Itoa(progressFD))
	if at, ok := agent.AttemptFrom(ctx); ok {
		env = append(env, EnvTaskID+"="+at.TaskID, EnvRun+"="+strconv.Itoa(at.Run),
			EnvAttempt+"="+strconv.Itoa(at.Number), EnvIdempotencyKey+"="+at.IdempotencyKey)
	}
	return env
}

func signalOf(ctx context.Context) syscall.Signal {
	var i Interrupted
	if errors.As(context.Cause(ctx), &i) {
		return i.Signal
	}
	return syscall.SIGTERM
}

func signalGroup(pid int, s syscall.Signal) error {
	err := syscall.Kill(-pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
