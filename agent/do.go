package agent

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/timeline"
)

// Do executes a task to its end: attempts, the waits between them in the caller's
// goroutine, and the record of it all. The error of a run without success is a
// *TaskError around the executor's last error. A caller that cancels ctx stops the
// attempt, which does not count, and leaves no dead letter.
func (a *Agent) Do(ctx context.Context, t Task, fn Func) (Result, error) {
	if err := a.check(&t); err != nil {
		return Result{}, err
	}
	now := time.Now()
	r := a.begin(ctx, a.newRun(&t, 1, now), now)
	defer r.end()
	r.open(Delivery{}, now)
	for {
		step := r.try(fn, now)
		switch step.Outcome {
		case Completed:
			return step.Result, nil
		case Retrying:
			if err := r.wait(step.Delay); err != nil {
				return Result{}, r.stopped("").Err
			}
			now = time.Now()
		default:
			return Result{}, step.Err
		}
	}
}

var errNoneLeft = errors.New("no attempt is left")

// check refuses what could never be recorded.
func (a *Agent) check(t *Task) error {
	if err := t.Task.Validate(); err != nil {
		return &TaskError{Reason: timeline.FailPermanent, Err: Permanent(err)}
	}
	return nil
}

// wait waits for the next attempt, or for the end of the task's context.
func (r *run) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// Step makes one attempt of a task for a runner that does the waiting itself. The
// first step of a run begins it; the agent's journal carries the count of
// attempts from step to step, and where the delivery's is higher, because other
// processes made some, that holds.
func (a *Agent) Step(ctx context.Context, t Task, d Delivery, fn Func) Step {
	if err := a.check(&t); err != nil {
		return Step{Outcome: Failed, Err: err}
	}
	now := time.Now()
	r := a.newRun(&t, d.Run, now)
	r.step = true
	a.journal.load(r, d.Carry)
	// Another process may have made attempts that this one's journal has not seen, and
	// this one some that the runner does not count.
	r.counted = max(r.counted, d.Attempt-1)
	r.attempt = max(r.attempt, d.Attempt-1+max(d.Aborted, 0))
	a.begin(ctx, r, now)
	defer r.end()
	if !r.started && r.attempt == 0 {
		r.open(d, now)
	}
	// Kept however the executor ends, a Goexit included.
	over := true
	defer func() { a.journal.store(r, over) }()
	if op := a.live.cancelledBefore(r); op != nil {
		r.operator.Store(op)
		return Step{Outcome: Cancelled, Err: r.cancelled(proofNotRunning)}
	}
	switch {
	case r.deaths >= poisonDeaths:
		return Step{Outcome: Failed, Err: r.fail(timeline.FailPoison, r.after(ErrPoison))}
	case r.counted >= r.policy.MaxAttempts: // the last ones died, or the runner counted them
		return Step{Outcome: Failed, Err: r.fail(timeline.FailExhausted, r.after(errNoneLeft))}
	}
	step := r.try(fn, now)
	over = step.Outcome != Retrying && step.Outcome != Aborted
	if !over && a.cfg.KeepEnds {
		step.Carry = r.carry()
	}
	return step
}

// Created records that a task exists, for the side that enqueues: pending and
// queue depth are true before any worker has seen it.
func (a *Agent) Created(ctx context.Context, t Task, at time.Time) error {
	if err := a.check(&t); err != nil {
		return err
	}
	if a.log == nil {
		return errors.New("agent: the spool could not be opened, nothing is recorded")
	}
	now := time.Now()
	r := a.newRun(&t, 1, now)
	r.task.Agent = t.Agent // not this process: who executes it is not known yet
	if at.IsZero() {
		at = now
	}
	// Without a sequence within the run: that begins at the worker's first event.
	e := timeline.Event{Type: timeline.TaskCreated, OccurredAt: at.UTC(), Task: r.task.Task, Run: r.number}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		e.TraceID, e.SpanID = timeline.TraceID(sc.TraceID()), timeline.SpanID(sc.SpanID())
	}
	a.record(&e)
	return nil
}
