package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

var (
	errTaskDeadline   = errors.New("the task's deadline is over")
	errAttemptTimeout = errors.New("the attempt took longer than its timeout")
)

// try makes one attempt, unless the provider's breaker forbids it, and records it
// with what follows from it.
func (r *run) try(fn Func, now time.Time) (step Step) {
	if err := r.ctx.Err(); err != nil {
		return r.stopped("")
	}
	if r.attempt > 0 { // what was idle during a wait may have been forgotten and made anew
		r.breaker = r.a.breakers.Get(r.task.Namespace, r.task.Provider, now)
		r.provider = r.a.providers.Get(r.task.Namespace, r.task.Provider, now)
	}
	permit, ok := r.breaker.Acquire(now)
	if !ok {
		return Step{Outcome: Failed, Err: r.fail(timeline.FailCircuitOpen, r.after(ErrCircuitOpen))}
	}
	r.advance()
	r.emitChange(permit.HalfOpened())
	ctx := r.ctx
	if r.policy.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, r.policy.timeout, errAttemptTimeout)
		defer stop()
	}
	ctx, span := r.tel.startAttempt(ctx, r, now)
	defer span.End()
	ids := timeline.Event{Attempt: r.attempt}
	if sc := span.SpanContext(); sc.IsValid() {
		ids.TraceID, ids.SpanID = timeline.TraceID(sc.TraceID()), timeline.SpanID(sc.SpanID())
	}
	r.running.Store(int64(r.attempt))
	e := ids
	e.Type, e.Breaker, e.OccurredAt = timeline.AttemptStarted, r.breaker.Describe(), now
	r.emit(&e)

	began := time.Now()
	var (
		res      Result
		err      error
		returned bool
	)
	// In a deferred function, so that a panic and runtime.Goexit in the executor
	// are recorded like any failure, and the breaker gets its permit back. After a
	// Goexit the goroutine ends, as its owner wanted, with everything on record.
	defer func() {
		if !returned {
			if v := recover(); v != nil {
				err = failure.NewPanic(v)
			} else {
				err = failure.NewGoexit()
			}
		}
		now := time.Now()
		r.mu.Lock() // the watch over a cancelled handler sees it running or not at all
		r.running.Store(0)
		r.mu.Unlock()
		r.progress.Store(nil)
		ids.Duration, ids.OccurredAt = timeline.Millis(now.Sub(began)), now
		step = r.settle(ctx, span, permit, res, err, ids)
	}()
	res, err = fn(r.within(ctx), r.handed())
	returned = true
	return step
}

// handed is the task as the executor gets it: with its original input.
func (r *run) handed() Task {
	t := r.task
	t.Input = r.original
	return t
}

// attemptContext carries the attempt to AttemptFrom and Progress.
type attemptContext struct {
	context.Context
	r      *run
	number int
}

func (c *attemptContext) Value(key any) any {
	if _, own := key.(attemptKey); own {
		return c
	}
	return c.Context.Value(key)
}

// within returns the executor's context. Only the first attempt's stands in the
// run: an executor may leave it to a goroutine that outlives the attempt.
func (r *run) within(ctx context.Context) context.Context {
	if r.first.r != nil {
		return &attemptContext{ctx, r, r.attempt}
	}
	r.first = attemptContext{ctx, r, r.attempt}
	return &r.first
}

// settle records the outcome of an attempt and decides what follows. ids is what
// its events have in common: when it ended and how long it took among it.
func (r *run) settle(ctx context.Context, span trace.Span, permit breaker.Permit, res Result, err error, ids timeline.Event) Step {
	f := r.a.classifier.Classify(r.ctx, ctx, err)
	took := ids.Duration.Duration()
	if f.OK() {
		change := permit.Success(took)
		r.provider.Success()
		e := ids
		e.Type = timeline.AttemptSuccess
		r.emit(&e)
		r.emitChange(change)
		r.tel.endAttempt(span, nil)
		r.complete(res, e.OccurredAt)
		return Step{Outcome: Completed, Result: res}
	}
	if f.Class == timeline.ClassAborted {
		permit.Ignore(took)
		r.uncount()
		r.tel.endAttempt(span, f.ToError())
		return r.aborted(ids, err)
	}
	var change *breaker.StateChange
	if f.Breaker == failure.BreakerFailure {
		change = permit.Failure(took)
	} else {
		permit.Ignore(took)
	}
	last := f.ToError()
	last.Message = r.a.redactor.Text(last.Message)
	r.lastError, r.lastCause = last, err
	e := ids
	e.Type, e.Error, e.Breaker = timeline.AttemptFailed, last, r.breaker.Describe()
	r.emit(&e)
	r.emitChange(change)
	r.tel.endAttempt(span, last)
	return r.decide(f, last, err)
}

func (r *run) decide(f failure.Failure, last *timeline.Error, err error) Step {
	now := time.Now()
	d := retry.Decide(retry.Input{
		Policy: r.policy.Policy, Attempts: r.counted, NextAttempt: r.attempt + 1, Failure: f, Now: now, Deadline: r.task.Deadline,
		BreakerBlocked: r.breaker.Blocked(now), PausedUntil: r.provider.PausedUntil(now), Budget: r.provider.Budget(), Rand: rand.Float64(),
	})
	if !d.PauseUntil.IsZero() {
		r.provider.Pause(now, d.PauseUntil)
	}
	if d.Action == retry.ActionRetry {
		r.emit(&timeline.Event{Type: timeline.TaskRetried, Attempt: r.attempt, Retry: &d.Retry, Error: last})
		r.tel.retried(r, last)
		return Step{Outcome: Retrying, Delay: d.Delay, NextAttempt: r.attempt + 1, Err: err}
	}
	return Step{Outcome: Failed, Err: r.fail(d.Reason, err)}
}

// aborted records an attempt that was stopped, by the caller or by an operator.
func (r *run) aborted(e timeline.Event, err error) Step {
	cause := context.Cause(r.ctx)
	e.Type = timeline.AttemptAborted
	e.StopProof = r.a.redactor.Text(cause.Error())
	r.emit(&e)
	return r.stopped(proofStopped, err)
}

// stopped ends what was stopped before or during an attempt.
func (r *run) stopped(proof string, errs ...error) Step {
	cause := context.Cause(r.ctx)
	if errors.Is(cause, ErrCancelled) {
		if proof == "" {
			proof = proofNotRunning
		}
		return Step{Outcome: Cancelled, Err: r.cancelled(proof)}
	}
	if errors.Is(cause, errTaskDeadline) {
		return Step{Outcome: Failed, Err: r.fail(timeline.FailDeadline, r.after(cause))}
	}
	r.tel.ended(r, outcomeAborted, "")
	err := errors.Join(errs...)
	if err == nil {
		err = cause
	}
	return Step{Outcome: Aborted, Err: err}
}

// emitChange records a change of the breaker on the task that made it.
func (r *run) emitChange(c *breaker.StateChange) {
	if c == nil {
		return
	}
	e := timeline.Event{Attempt: r.attempt, Breaker: c.Timeline()}
	switch c.To {
	case timeline.BreakerOpen:
		e.Type = timeline.CircuitBreakerOpened
	case timeline.BreakerHalfOpen:
		e.Type = timeline.CircuitBreakerHalfOpened
	default:
		e.Type = timeline.CircuitBreakerClosed
	}
	r.emit(&e)
}
