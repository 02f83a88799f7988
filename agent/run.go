package agent

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// run is one pass of a task through the pipeline, as this process sees it: for Do
// from its beginning to its end, for Step one attempt of it.
type run struct {
	a      *Agent
	task   Task
	number int
	policy policy

	// attempt is the number of the last attempt that began, counted how many of
	// them count towards the policy's most.
	attempt, counted int
	// seq and last are the sequence and time of the run's latest event: both only
	// rise, whatever the clock does.
	seq  uint64
	last time.Time
	// began is when the run began, as far as this process knows.
	began   time.Time
	started bool

	breaker  *breaker.Breaker
	provider *retry.Provider
	span     trace.Span
	tel      *taskInstruments

	shown timeline.Policy // the policy as task_started carries it

	// original is the input before redaction; sealed is it for retries, where what
	// is recorded is not it, and replayFault says why it is nowhere.
	original    []byte
	sealed      []byte
	replayFault string

	ctx      context.Context // the task's: the caller's with the deadline
	stop     context.CancelCauseFunc
	free     context.CancelFunc                // of the deadline; nil without one
	first    attemptContext                    // the context of the first attempt, so that it costs no allocation
	operator atomic.Pointer[timeline.Operator] // who cancelled it
	progress atomic.Pointer[timeline.Progress]
	running  atomic.Int64 // the attempt that runs, for heartbeats; 0 for none
}

// begin makes a run known to the agent and starts its span. end is to be called
// when it is over or its attempt is.
func (a *Agent) begin(ctx context.Context, t Task, number int) *run {
	r := a.newRun(t, number)
	ctx = a.extract(ctx, t.TraceCarrier)
	if !t.Deadline.IsZero() {
		ctx, r.free = context.WithDeadlineCause(ctx, t.Deadline, errTaskDeadline)
	}
	ctx, r.stop = context.WithCancelCause(ctx)
	r.tel = a.tel.forTask(&r.task)
	r.ctx, r.span = r.tel.start(ctx, r)
	a.live.add(r)
	return r
}

// newRun completes the task and looks up what guards it.
func (a *Agent) newRun(t Task, number int) *run {
	if t.Namespace == "" {
		t.Namespace = a.cfg.Namespace
	}
	if t.Agent == "" {
		t.Agent = a.cfg.Name
	}
	if t.Queue == "" {
		t.Queue = "default"
	}
	now := time.Now()
	r := &run{
		a: a, task: t, number: max(number, 1), policy: a.policyOf(&t), began: now,
		breaker: a.breakers.Get(t.Namespace, t.Provider, now), provider: a.providers.Get(t.Namespace, t.Provider, now),
	}
	r.task.MaxAttempts = r.policy.MaxAttempts
	r.task.Requeueable = t.Requeueable || a.serves(t.Queue) && t.Runner != ""
	r.prepareInput()
	return r
}

// end forgets the run and ends its span.
func (r *run) end() {
	r.a.live.remove(r)
	r.tel.t.active.Add(r.ctx, -1, r.tel.add...)
	r.span.End()
	r.stop(nil)
	if r.free != nil {
		r.free()
	}
}

// prepareInput redacts what is recorded of the input and keeps the original where
// a retry will need it.
func (r *run) prepareInput() {
	r.original = r.task.Input
	out, changed := r.a.redactor.Apply(r.task.Input)
	r.task.Input = out
	if !changed {
		return
	}
	if r.a.sealer == nil {
		r.replayFault = "the input was redacted or cut, and no key is set to seal the original"
		return
	}
	sealed, err := r.a.sealer.Seal(r.task.Namespace, r.task.ID, r.number, r.original)
	if err != nil {
		r.replayFault = "the original input could not be sealed"
		return
	}
	r.sealed = sealed
}

// open writes what begins a run: that the task exists, and the policy in force.
func (r *run) open(d Delivery) {
	if r.number == 1 && !d.Created {
		e := timeline.Event{Type: timeline.TaskCreated}
		if !d.CreatedAt.IsZero() && d.CreatedAt.Before(time.Now()) {
			e.OccurredAt = d.CreatedAt
		}
		r.emit(&e)
	}
	r.shown = timeline.Policy{
		MaxAttempts: r.policy.MaxAttempts, Base: timeline.Millis(r.policy.Base), Cap: timeline.Millis(r.policy.Cap),
		Factor: r.policy.Factor, Jitter: max(r.policy.Jitter, 0), Timeout: timeline.Millis(r.policy.timeout),
	}
	if r.breaker != nil {
		b := &r.a.cfg.Breaker
		r.shown.BreakerFailureRate, r.shown.BreakerMinCalls = max(b.FailureRate, 0), b.MinCalls
		r.shown.BreakerConsecutive, r.shown.BreakerOpenFor = max(b.ConsecutiveFailures, 0), timeline.Millis(b.OpenFor)
	}
	r.emit(&timeline.Event{Type: timeline.TaskStarted, Policy: &r.shown})
	r.tel.started(r)
	r.started = true
}

// emit completes an event of the run and records it.
func (r *run) emit(e *timeline.Event) {
	now := e.OccurredAt
	if now.IsZero() {
		now = time.Now()
	}
	if !now.After(r.last) {
		now = r.last.Add(1)
	}
	r.last = now
	r.seq++
	e.OccurredAt, e.Seq, e.Run = now.UTC(), r.seq, r.number
	e.Task = r.task.Task
	if e.Type != timeline.TaskCreated {
		e.Task.Input = nil // it stands on task_created, and on what a retry needs
	}
	if e.Type == timeline.MovedToDLQ {
		e.Task.Input = r.task.Input
	}
	if sc := r.span.SpanContext(); sc.IsValid() && e.TraceID.IsZero() {
		e.TraceID, e.SpanID = timeline.TraceID(sc.TraceID()), timeline.SpanID(sc.SpanID())
	}
	r.a.record(e)
}

// complete ends the run with success.
func (r *run) complete(res Result) {
	output, _ := r.a.redactor.Apply(res.Output)
	took := time.Since(r.began)
	e := timeline.Event{Type: timeline.TaskCompleted, Duration: timeline.Millis(took), Attempts: r.counted}
	out := r.task.Task.Output
	r.task.Task.Output = output
	r.emit(&e)
	r.task.Task.Output = out
	r.tel.completed(r, took)
}

// fail ends the run without success: its failure and its dead letter are on the
// disk when it returns, or the wait for that was too long and is counted.
func (r *run) fail(reason timeline.FailureReason, last *timeline.Error, cause error) *TaskError {
	r.emit(&timeline.Event{
		Type: timeline.TaskFailed, Reason: reason, Error: last, Attempts: r.counted,
		Duration: timeline.Millis(time.Since(r.began)), Breaker: r.breaker.Describe(),
	})
	failed := &TaskError{Reason: reason, Attempts: r.counted, Err: cause}
	r.tel.failed(r, reason, last)
	// A later run in which no attempt was made puts the earlier dead letter back
	// instead of adding another.
	if r.number > 1 && r.attempt == 0 && reason == timeline.FailCircuitOpen {
		failed.DeadLetterID = timeline.DeadLetterID(r.task.Namespace, r.task.ID, r.number-1)
	} else {
		failed.DeadLetterID = timeline.DeadLetterID(r.task.Namespace, r.task.ID, r.number)
		r.emit(&timeline.Event{
			ID:   timeline.DerivedEventID(r.task.Namespace, r.task.ID, r.number, 0, timeline.MovedToDLQ),
			Type: timeline.MovedToDLQ, Reason: reason, Error: last, Attempts: r.counted, Breaker: r.breaker.Describe(),
			DeadLetter: &timeline.DeadLetterRef{
				ID: failed.DeadLetterID, AlertSeverity: r.a.cfg.Thresholds.Classify(r.task.Type, r.task.Amount, r.task.Currency),
				Requeueable: r.task.Requeueable, AutoRecover: r.autoRecovers(reason),
				NotReplayable: r.replayFault, Sealed: r.sealed,
			},
		})
	}
	r.a.syncDeadLetter(r.ctx)
	if r.autoRecovers(reason) {
		r.a.recover.remember(r)
	}
	return failed
}

func (r *run) autoRecovers(reason timeline.FailureReason) bool {
	return reason == timeline.FailCircuitOpen && r.task.Requeueable && !r.a.cfg.NoAutoRecover && r.replayFault == ""
}

// cancelled ends the run as an operator wanted.
func (r *run) cancelled(proof string) error {
	r.emit(&timeline.Event{
		Type: timeline.TaskCancelled, Operator: r.operator.Load(), StopProof: proof, Attempts: r.counted,
		Duration: timeline.Millis(time.Since(r.began)),
	})
	r.tel.ended(r, outcomeCancelled, nil)
	return &TaskError{Reason: timeline.FailCancelled, Attempts: r.counted, Err: ErrCancelled}
}
