// Package asynqrunner attaches Tasktrail to asynq: a middleware for the worker,
// a client for the side that enqueues, and the way back, on which a retried dead
// letter is enqueued again as its task's next run and a cancelled task that waits
// is taken out.
//
//	r, err := asynqrunner.New(a, asynqrunner.Config{Client: client, Inspector: inspector, Queues: []string{"default"}})
//	mux.Use(r.Middleware())
//	srv := asynq.NewServer(redis, r.Configure(asynq.Config{…}))
//
// asynq keeps the tasks and does the waiting; this package never sleeps. It lives
// in a module of its own, so that asynq reaches only those who use it.
//
// # What asynq shows
//
// An attempt that is to be tried again is asynq's retry, after the agent's delay.
// A run that is over without success (permanent, exhausted, cancelled, its
// provider's breaker open) is archived, whatever retries it had left. An attempt
// that a shutdown stopped is not counted. asynq does not wait for a handler whose
// task it has put back at the end of its ShutdownTimeout: call [Runner.Wait] after
// the server's Shutdown and before the agent's Close, so that such attempts are on
// record as aborted and not as the death of their worker.
package asynqrunner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/agent"
)

// Name is the runner's name in a task's timeline.
const Name = "asynq"

// Headers of an asynq task that carry what the runner's own fields cannot.
const (
	headerTaskID  = "tasktrail-task-id" // the task's id where it differs from asynq's: later runs
	headerRun     = "tasktrail-run"
	headerCommand = "tasktrail-command-id"
	headerCreated = "tasktrail-created-at"
	headerEdits   = "tasktrail-input-edits"
)

// Describe tells what a task is about, from its type, payload and headers: its
// agent.Task with whatever of provider, user, amount, metadata and the like the
// payload holds. Fields that asynq knows (id, type, queue, input) are filled in
// afterwards where they are empty.
type Describe func(t *asynq.Task) agent.Task

// Config says how to attach.
type Config struct {
	// Describe tells what a task is about. Defaults to what asynq knows.
	Describe Describe
	// Client enqueues retries. Without one, dead letters of this worker can not be
	// retried through asynq, and say so.
	Client *asynq.Client
	// Inspector is asked how much waits in Queues, and takes cancelled tasks that
	// wait out of them. Defaults to none: no depth is reported, and a cancelled task
	// is stopped when its turn comes.
	Inspector *asynq.Inspector
	// Queues are those whose retries and cancels this worker takes. Defaults to none.
	Queues []string
	// Redis is asynq's own Redis, where attempts are numbered: two round trips a task.
	// asynq does not count an attempt that a shutdown stopped; with several workers the
	// next one could not know of it, and would give its number again. Defaults to none:
	// the numbers are sure with one worker alone.
	Redis redis.UniversalClient
	// Retention is how long asynq keeps a completed retry, so that the same run is
	// never enqueued twice. Defaults to 24 h.
	Retention time.Duration
}

// Runner is the attachment of one worker. It is safe for concurrent use.
type Runner struct {
	agent   *agent.Agent
	cfg     Config
	running running
}

// New attaches an agent to asynq and registers the queues whose retries it takes.
func New(a *agent.Agent, cfg Config) (*Runner, error) {
	if a == nil {
		return nil, errors.New("asynqrunner: an agent is needed")
	}
	if cfg.Describe == nil {
		cfg.Describe = func(*asynq.Task) agent.Task { return agent.Task{} }
	}
	if cfg.Retention == 0 {
		cfg.Retention = 24 * time.Hour
	}
	r := &Runner{agent: a, cfg: cfg}
	for _, q := range cfg.Queues {
		if cfg.Client == nil {
			return nil, fmt.Errorf("asynqrunner: queue %s: a Client is needed to take its retries", q)
		}
		a.HandleQueue(q, r.requeue)
		if cfg.Inspector != nil {
			a.HandleCancels(q, r.cancel)
			a.HandleOriginals(q, r.original)
		}
	}
	if cfg.Inspector != nil && len(cfg.Queues) > 0 {
		a.ReportDepths(r.depths)
	}
	return r, nil
}

// Middleware executes each task as one attempt of the agent. What the handler
// returns is classified, recorded and turned into asynq's own words: retry with
// our delay, or do not retry.
func (r *Runner) Middleware() asynq.MiddlewareFunc {
	return func(next asynq.Handler) asynq.Handler {
		return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			return r.process(ctx, t, next)
		})
	}
}

func (r *Runner) process(ctx context.Context, t *asynq.Task, next asynq.Handler) error {
	defer r.running.begin()()
	task, delivery := r.describe(ctx, t)
	number := r.number(ctx, &delivery)
	step := r.agent.Step(ctx, task, delivery, func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		ctx, stop := beforeAsynq(ctx)
		defer stop()
		err := next.ProcessTask(ctx, t)
		if final(err) {
			err = agent.Permanent(err)
		}
		return agent.Result{}, err
	})
	switch step.Outcome {
	case agent.Retrying:
		return &delayed{err: step.Err, delay: step.Delay}
	case agent.Aborted:
		return &delayed{err: step.Err, aborted: true}
	case agent.Completed:
		number.forget(ctx)
		return nil
	default:
		number.forget(ctx)
		return fmt.Errorf("%w: %w", step.Err, asynq.SkipRetry)
	}
}

// final reports whether the handler, or asynq in its place, says that no further
// attempt can help.
func final(err error) bool {
	return errors.Is(err, asynq.SkipRetry) || errors.Is(err, asynq.RevokeTask) || errors.Is(err, asynq.ErrHandlerNotFound)
}

var errTimeout = errors.New("the attempt took longer than asynq gives the task")

// beforeAsynq ends the attempt's context a little before asynq's own timeout or
// deadline does: what the handler returns then is a timeout like any other, and
// counts. asynq would not wait for it.
func beforeAsynq(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	margin := min(time.Second, time.Until(deadline)/10)
	return context.WithDeadlineCause(ctx, deadline.Add(-margin), errTimeout)
}

// describe puts together what the payload says, what asynq knows and what the
// headers carry.
func (r *Runner) describe(ctx context.Context, t *asynq.Task) (agent.Task, agent.Delivery) {
	task := r.cfg.Describe(t)
	headers := t.Headers()
	id, _ := asynq.GetTaskID(ctx)
	if v := headers[headerTaskID]; v != "" {
		id = v
	}
	if task.ID == "" {
		task.ID = id
	}
	queue, _ := asynq.GetQueueName(ctx)
	fillTask(&task, t, queue, id)
	task.TraceCarrier = headers
	retried, _ := asynq.GetRetryCount(ctx)
	// asynq gives up after its own count, whatever we decide: the smaller one holds.
	if most, ok := asynq.GetMaxRetry(ctx); ok && (task.MaxAttempts == 0 || task.MaxAttempts > most+1) {
		task.RunnerMaxAttempts = most + 1
	}
	d := agent.Delivery{Run: 1, Attempt: retried + 1}
	if n, err := strconv.Atoi(headers[headerRun]); err == nil && n > 0 {
		d.Run = n
	}
	if n, err := strconv.Atoi(headers[headerEdits]); err == nil && n > 0 {
		task.Edits = n
	}
	if at, err := time.Parse(time.RFC3339Nano, headers[headerCreated]); err == nil {
		d.CreatedAt, d.Created = at, true
	}
	return task, d
}

// Task metadata that carry what the way back needs where the task's own fields say
// something else.
const (
	metaType = "asynq.type"
	metaID   = "asynq.id"
)

func fillTask(task *agent.Task, t *asynq.Task, queue, id string) {
	if task.Type == "" {
		task.Type = t.Type()
	}
	note(task, metaType, t.Type(), task.Type)
	note(task, metaID, id, task.ID)
	if task.Queue == "" {
		task.Queue = queue
	}
	if task.Runner == "" {
		task.Runner = Name
	}
	if task.Input == nil {
		task.Input = t.Payload()
	}
}

// note keeps asynq's own word where the task's is another.
func note(task *agent.Task, key, asynqs, ours string) {
	if asynqs == ours {
		return
	}
	task.Metadata = maps.Clone(task.Metadata)
	if task.Metadata == nil {
		task.Metadata = map[string]string{}
	}
	task.Metadata[key] = asynqs
}

// delayed is what asynq gets back of an attempt that is to be tried again.
type delayed struct {
	err     error
	delay   time.Duration
	aborted bool
}

func (d *delayed) Error() string { return d.err.Error() }
func (d *delayed) Unwrap() error { return d.err }

// leaseDelay is how long a task waits whose worker died: nothing is known against
// the task, and asynq has waited for its lease already.
const leaseDelay = time.Second

// Configure sets what a server needs to wait as the agent decides: RetryDelayFunc
// and IsFailure. What the configuration had is used for tasks that are not ours.
func (r *Runner) Configure(cfg asynq.Config) asynq.Config {
	delay, failure := cfg.RetryDelayFunc, cfg.IsFailure
	cfg.RetryDelayFunc = func(n int, err error, t *asynq.Task) time.Duration {
		var d *delayed
		if errors.As(err, &d) {
			return d.delay
		}
		switch {
		case delay != nil:
			return delay(n, err, t)
		case errors.Is(err, asynq.ErrLeaseExpired):
			return leaseDelay
		default:
			return asynq.DefaultRetryDelayFunc(n, err, t)
		}
	}
	// An aborted attempt does not count: asynq hands the task out again with the
	// count it had.
	cfg.IsFailure = func(err error) bool {
		var d *delayed
		if errors.As(err, &d) && d.aborted {
			return false
		}
		return failure == nil && err != nil || failure != nil && failure(err)
	}
	return cfg
}
