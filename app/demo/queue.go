package demo

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
)

// maxWaiting and maxRunning bound what the queue holds: a slow machine falls
// behind instead of filling up.
const (
	maxWaiting = 256
	maxRunning = 64
)

// queue is the runner of the demonstration: it hands tasks to the agent, waits
// between their attempts, and starts the next run of one when it is told to.
type queue struct {
	cfg     Config
	a       *agent.Agent
	execute agent.Func
	waiting chan struct{}
	room    chan struct{}
	running sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context // of the run of the demonstration
	started map[timeline.ID]bool
	dying   bool // one worker at a time: the next one would speak for the last
}

func newQueue(cfg Config, a *agent.Agent, fn agent.Func) *queue {
	return &queue{cfg: cfg, a: a, execute: fn, waiting: make(chan struct{}, maxWaiting), room: make(chan struct{}, maxRunning), started: map[timeline.ID]bool{}}
}

// enqueue records a task and runs it a little later, as a queue with a backlog
// would.
func (q *queue) enqueue(ctx context.Context, t agent.Task) error {
	q.mu.Lock()
	q.ctx = ctx
	q.mu.Unlock()
	at := time.Now()
	if err := q.a.Created(ctx, t, at); err != nil {
		return err
	}
	return q.start(ctx, t, agent.Delivery{Run: 1, Attempt: 1, CreatedAt: at, Created: true})
}

var errBusy = errors.New("the demonstration's queue is full")

func (q *queue) start(ctx context.Context, t agent.Task, d agent.Delivery) error {
	select {
	case q.waiting <- struct{}{}:
	default:
		return errBusy
	}
	q.running.Go(func() {
		defer func() { <-q.waiting }()
		if pause(ctx, backlog) != nil {
			return
		}
		select {
		case q.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-q.room }()
		q.deliver(ctx, t, d)
	})
	return nil
}

// deliver hands a run of a task out until it is over.
func (q *queue) deliver(ctx context.Context, t agent.Task, d agent.Delivery) {
	plan := t.Metadata[planKey]
	if plan == planDies && d.Run == 1 && q.mayDie() {
		err := q.dies(ctx, t, d.CreatedAt)
		if err == nil {
			err = pause(ctx, q.cfg.Redeliver)
		}
		q.mu.Lock()
		q.dying = false
		q.mu.Unlock()
		if err != nil {
			if ctx.Err() == nil {
				q.cfg.Logger.Warn("a demonstration task is left as it is", "task", t.ID, "error", err)
			}
			return
		}
		d.Attempt++
	}
	for {
		step := q.step(ctx, t, d, plan == planRestart && d.Run == 1 && d.Aborted == 0)
		switch {
		case step.Outcome == agent.Aborted && pause(ctx, backlog) == nil: // the worker is back
			d.Aborted++
		case step.Outcome == agent.Retrying && pause(ctx, step.Delay) == nil:
			d.Attempt = step.NextAttempt
		default:
			return // what became of the task is on its timeline
		}
	}
}

// step makes an attempt, and shuts its worker down in the middle where that is what
// the task shows.
func (q *queue) step(ctx context.Context, t agent.Task, d agent.Delivery, restart bool) agent.Step {
	if restart {
		var shutDown context.CancelFunc
		ctx, shutDown = context.WithCancel(ctx)
		defer shutDown()
		defer time.AfterFunc(backlog, shutDown).Stop()
	}
	return q.a.Step(ctx, t, d, q.execute)
}

// mayDie reports whether a worker may die now, and takes the turn.
func (q *queue) mayDie() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.cfg.Worker) == 0 || q.dying {
		return false
	}
	q.dying = true
	return true
}

// maxStarted bounds the commands that are remembered.
const maxStarted = 10_000

// again starts the next run of a task, once for each command.
func (q *queue) again(_ context.Context, c timeline.Command) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.started[c.ID] {
		return nil
	}
	if q.ctx == nil {
		return errors.New("the demonstration has not begun")
	}
	t := agent.Task{Task: c.Task}
	if err := q.start(q.ctx, t, agent.Delivery{Run: c.Run, Attempt: 1}); err != nil {
		return err
	}
	if len(q.started) >= maxStarted {
		clear(q.started) // by then the agent's journal knows those runs
	}
	q.started[c.ID] = true
	return nil
}

// wait waits for the tasks that run.
func (q *queue) wait() { q.running.Wait() }

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
