package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/timeline"
)

// Task is one unit of work as its runner hands it over.
type Task struct {
	timeline.Task
	// Deadline is the task's own; no attempt begins and no wait ends after it. Zero
	// for none.
	Deadline time.Time
	// Timeout bounds one attempt; 0 for that of the configuration.
	Timeout time.Duration
	// TraceCarrier is where the trace context of the side that enqueued is read
	// from: headers, metadata. Nil for none.
	TraceCarrier map[string]string
	// RunnerMaxAttempts is when the runner gives up whatever we decide; 0 for never.
	RunnerMaxAttempts int
	// Requeueable says that this agent can start a further run of the task through
	// its runner. It follows from [Agent.HandleQueue] where it is false.
	Requeueable bool
	// NoAutoRecover leaves the task's dead letters where they are when its provider's
	// breaker closes: for a caller that keeps the decision to run it again.
	NoAutoRecover bool
	// KeptInput says that the runner keeps the original input for further runs: it
	// then needs no seal where what is recorded was redacted or cut.
	KeptInput bool
	// Edits counts how often an operator edited the input. It is part of the
	// idempotency key, since an edited task is to have an effect of its own.
	Edits int
}

// Result is what an executor returns beside its error.
type Result struct {
	// Output is recorded with the completion, redacted and cut; JSON by preference.
	Output []byte
}

// Func executes a task. It is called once for each attempt.
type Func func(ctx context.Context, t Task) (Result, error)

// TaskError is the error of a run that ended without success. It unwraps to the
// executor's last error.
type TaskError struct {
	Reason   timeline.FailureReason
	Attempts int
	// DeadLetterID names the run's dead letter; zero where there is none.
	DeadLetterID timeline.ID
	Err          error
}

func (e *TaskError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("task failed: %s", e.Reason)
	}
	return fmt.Sprintf("task failed (%s after %d attempts): %v", e.Reason, e.Attempts, e.Err)
}

func (e *TaskError) Unwrap() error { return e.Err }

var (
	// ErrCancelled is the cause of the context of an attempt that an operator
	// cancelled.
	ErrCancelled = errors.New("the task was cancelled by an operator")
	// ErrPoison is the error of a run on which three workers died.
	ErrPoison = errors.New("three workers died on the task")
	// ErrCircuitOpen is the error of a run that the open breaker of its provider
	// ended before an attempt was made.
	ErrCircuitOpen = errors.New("the provider's circuit breaker is open")
)

// Permanent marks an error as one that no further attempt can help.
func Permanent(err error) error { return failure.Permanent(err) }

// RetryAfter marks an error as one to wait for at least d after.
func RetryAfter(d time.Duration, err error) error { return failure.RetryAfter(d, err) }

// CheckResponse returns an error for a response outside 2xx that is classified by
// its status and honours its Retry-After. It reads at most 2 KiB of the body and
// does not close it.
func CheckResponse(resp *http.Response) error {
	if err := failure.NewHTTPError(resp); err != nil {
		return err
	}
	return nil
}

// Attempt tells an executor where it stands.
type Attempt struct {
	Namespace string
	TaskID    string
	Run       int
	Number    int
	// MaxAttempts is how many attempts the run may take.
	MaxAttempts int
	// IdempotencyKey is the same for every run and attempt of the task until its
	// input is edited: give it to the provider, so that a repeated attempt has its
	// effect once.
	IdempotencyKey string
}

type attemptKey struct{}

// AttemptFrom returns the attempt that an executor's context belongs to.
func AttemptFrom(ctx context.Context) (Attempt, bool) {
	c, ok := ctx.Value(attemptKey{}).(*attemptContext)
	if !ok {
		return Attempt{}, false
	}
	r := c.r
	return Attempt{
		Namespace: r.task.Namespace, TaskID: r.task.ID, Run: r.number, Number: c.number, MaxAttempts: r.policy.MaxAttempts,
		IdempotencyKey: timeline.IdempotencyKey(r.task.Namespace, r.task.ID, r.task.Edits),
	}, true
}

// Progress reports how far the attempt is: done of total, and a word about it. A
// total of 0 means that it is not known. It is live data, kept for whoever looks,
// passed on four times a second at most, and never stored.
func Progress(ctx context.Context, done, total float64, message string) {
	c, ok := ctx.Value(attemptKey{}).(*attemptContext)
	if !ok || c.r.running.Load() != int64(c.number) {
		return
	}
	r := c.r
	p := &timeline.Progress{Done: done, Total: total, Message: message, At: time.Now().UTC()}
	if total > 0 {
		p.Fraction = min(max(done/total, 0), 1)
	}
	r.progress.Store(p)
	r.a.live.dirty.Store(true)
}

// Outcome is what became of one attempt.
type Outcome uint8

const (
	// Completed: the run is over, with success.
	Completed Outcome = iota
	// Retrying: another attempt follows after Step.Delay.
	Retrying
	// Failed: the run is over; the runner must not retry it.
	Failed
	// Aborted: the caller cancelled; the attempt does not count, and the runner may
	// hand the task out again.
	Aborted
	// Cancelled: an operator stopped the task; the runner must not retry it.
	Cancelled
)

// Delivery is what a runner knows of the attempt it asks for.
type Delivery struct {
	// Run is the number of the run, from 1.
	Run int
	// Attempt is the runner's own count of attempts of this run, from 1. Where the
	// agent's journal has counted more, the journal holds.
	Attempt int
	// Aborted counts the attempts before this one that the runner's count leaves out,
	// because their worker was shut down under them: their numbers are used up all
	// the same.
	Aborted int
	// Carry is Step.Carry of the run's attempt before this one, for a runner that
	// keeps it (Config.KeepEnds).
	Carry []byte
	// CreatedAt is when the task was enqueued, where that is known.
	CreatedAt time.Time
	// Created says that task_created was written by the side that enqueued.
	Created bool
}

// Step is the outcome of one attempt under a runner that waits by itself.
type Step struct {
	Outcome Outcome
	Result  Result
	// Delay is how long to wait (Retrying).
	Delay time.Duration
	// NextAttempt is the number of the attempt that follows (Retrying).
	NextAttempt int
	// Carry is what the next attempt of the run is to be given (Retrying, Aborted),
	// where Config.KeepEnds is set.
	Carry []byte
	// Err is a *TaskError where the run ended without success, and the attempt's
	// error where it goes on.
	Err error
}

// Wrap returns fn as a Func with retries, breaker and timeline around it.
func (a *Agent) Wrap(fn Func) Func {
	return func(ctx context.Context, t Task) (Result, error) { return a.Do(ctx, t, fn) }
}

// Wrap makes a function of a program's own types a task: describe says what the
// task is about, and the result is fn with retries, breaker and timeline around.
func Wrap[In, Out any](a *Agent, describe func(In) Task, fn func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		var out Out
		_, err := a.Do(ctx, describe(in), func(ctx context.Context, _ Task) (Result, error) {
			var err error
			out, err = fn(ctx, in)
			return Result{}, err
		})
		return out, err
	}
}
