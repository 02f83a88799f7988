package agent

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// run is one pass of a task through the pipeline, as this process sees it: for Do
// from its beginning to its end, for Step one attempt of it.
type run struct {
	a      *Agent
	task   Task
	number int
	policy policy

	// step: the runner hands out the attempts, and the journal carries the counts.
	step bool

	next, prev *run // of the agent's list of runs, under its lock

	// mu guards what the journal's snapshot and the watch over a cancelled handler
	// see of the run from outside the goroutine that executes it.
	mu sync.Mutex
	// attempt is the number of the last attempt that began, counted how many of
	// them count towards the policy's most.
	attempt, counted int
	// seq and last are the sequence and time of the run's latest event: both only
	// rise, whatever the clock does.
	seq   uint64
	last  time.Time
	over  bool // the run's end is on record
	ended *End // how, where it is
	// watch says so when a cancelled handler does not stop.
	watch *time.Timer

	// deaths counts the workers that died on the run.
	deaths int
	// lastError and lastCause are of the last attempt that failed.
	lastError *timeline.Error
	lastCause error
	// began is when the run began, as far as this process knows.
	began   time.Time
	started bool

	breaker  *breaker.Breaker
	provider *retry.Provider
	span     trace.Span
	traceID  timeline.TraceID // the span's, in every event but those of an attempt
	spanID   timeline.SpanID
	tel      *taskInstruments

	// fields are what every event of the run says alike, encoded once.
	fields *[]byte

	// original is the input before redaction; where what is recorded is not it,
	// sealed is it for retries, and replayFault says why it is nowhere.
	original    []byte
	redacted    bool
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
func (a *Agent) begin(ctx context.Context, r *run, now time.Time) *run {
	ctx = a.extract(ctx, r.task.TraceCarrier)
	if !r.task.Deadline.IsZero() {
		ctx, r.free = context.WithDeadlineCause(ctx, r.task.Deadline, errTaskDeadline)
	}
	ctx, r.stop = context.WithCancelCause(ctx)
	r.tel = a.tel.forTask(&r.task)
	r.ctx, r.span = r.tel.start(ctx, r, now)
	if sc := r.span.SpanContext(); sc.IsValid() {
		r.traceID, r.spanID = timeline.TraceID(sc.TraceID()), timeline.SpanID(sc.SpanID())
	}
	a.live.add(r)
	return r
}

// newRun completes the task and looks up what guards it.
func (a *Agent) newRun(t *Task, number int, now time.Time) *run {
	if t.Namespace == "" {
		t.Namespace = a.cfg.Namespace
	}
	if t.Agent == "" {
		t.Agent = a.cfg.Name
	}
	if t.Queue == "" {
		t.Queue = "default"
	}
	r := &run{
		a: a, task: *t, number: max(number, 1), policy: a.policyOf(t), began: now,
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
	r.mu.Lock()
	r.over = true
	if r.watch != nil {
		r.watch.Stop()
	}
	if r.fields != nil && cap(*r.fields) <= 16*fieldsRoom {
		fieldsPool.Put(r.fields)
	}
	r.fields = nil
	r.mu.Unlock()
	if r.free != nil {
		r.free()
	}
}

// prepareInput redacts what is recorded of the input and keeps the original for
// the executor and for a retry.
func (r *run) prepareInput() {
	r.original = r.task.Input
	r.task.Input, r.redacted = r.a.redactor.Apply(r.task.Input)
}

// maxOriginal bounds a sealed original, so that a dead letter is one that a
// collector takes.
const maxOriginal = 1 << 20

// seal makes the original ready to travel with a dead letter where what is
// recorded is not it, or says why it cannot.
func (r *run) seal() {
	if !r.redacted || r.sealed != nil || r.task.KeptInput {
		return
	}
	kept := r.a.original(r.task.Queue) != nil
	switch {
	case kept && (r.a.sealer == nil || len(r.original) > maxOriginal):
		r.task.KeptInput = true
		return
	case r.a.sealer == nil:
		r.replayFault = "the input was redacted or cut, and no key is set to seal the original"
		return
	case len(r.original) > maxOriginal:
		r.replayFault = fmt.Sprintf("the original input has %d bytes, at most %d are sealed", len(r.original), maxOriginal)
		return
	}
	sealed, err := r.a.sealer.Seal(r.task.Namespace, r.task.ID, r.number, r.original)
	if err != nil {
		r.replayFault = "the original input could not be sealed"
		return
	}
	r.sealed = sealed
}

// inputKept reports whether the original of what was redacted or cut is with the
// runner alone.
func (r *run) inputKept() bool { return r.redacted && r.sealed == nil && r.task.KeptInput }

// open writes what begins a run: that the task exists, and the policy in force.
func (r *run) open(d Delivery, now time.Time) {
	if r.number == 1 && !d.Created {
		e := timeline.Event{Type: timeline.TaskCreated, OccurredAt: now}
		if !d.CreatedAt.IsZero() && d.CreatedAt.Before(now) {
			e.OccurredAt = d.CreatedAt
		}
		r.emit(&e)
	}
	r.mu.Lock()
	r.started = true
	r.emitLocked(&timeline.Event{Type: timeline.TaskStarted, OccurredAt: now}, r.a.shownPolicy(r)...)
	r.mu.Unlock()
	r.tel.started(r)
}

// emit completes an event of the run and records it. It happened now where the
// event does not say when: what is emitted in one breath shares a look at the
// clock.
func (r *run) emit(e *timeline.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitLocked(e)
}

// emitLocked is emit under r.mu; more is what the event carries beside its fields,
// encoded.
func (r *run) emitLocked(e *timeline.Event, more ...byte) {
	now := e.OccurredAt
	if now.IsZero() {
		now = time.Now()
	}
	// The wall clock alone is written, so it alone is compared: a clock that is set
	// back moves no event before the one it follows.
	now = now.Round(0).UTC()
	if !now.After(r.last) {
		now = r.last.Add(1)
	}
	r.last = now
	r.seq++
	r.over = r.over || e.Type.Terminal()
	if r.step && r.a.cfg.KeepEnds && e.Type.Terminal() {
		r.ended = &End{Type: e.Type, Reason: e.Reason, Attempts: e.Attempts, Output: e.Output, Error: e.Error}
	}
	e.OccurredAt, e.Seq = now, r.seq
	if r.fields == nil {
		r.encode()
	}
	// The input stands on task_created, and on what a retry needs.
	if e.Type == timeline.TaskCreated || e.Type == timeline.MovedToDLQ {
		e.Input = r.task.Input
	}
	if e.TraceID.IsZero() {
		e.TraceID, e.SpanID = r.traceID, r.spanID
	}
	fields := append(*r.fields, more...)
	*r.fields = fields[:len(*r.fields)] // with the room they have grown to
	r.a.recordOf(e, fields)
}

// fieldsPool keeps the buffers of runs' common fields. Most fit in fieldsRoom;
// what metadata made much larger is not kept.
var fieldsPool = sync.Pool{New: func() any { b := make([]byte, 0, fieldsRoom); return &b }}

const fieldsRoom = 1024

// encode makes the fields that all events of the run share. The task does not
// change from its first event on.
func (r *run) encode() {
	e := timeline.Event{SourceID: r.a.source, Task: r.task.Task, Run: r.number}
	r.fields = fieldsPool.Get().(*[]byte)
	*r.fields = wire.AppendRunFields((*r.fields)[:0], &e)
}

// advance counts an attempt that begins.
func (r *run) advance() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempt++
	r.counted++
}

// uncount takes back an attempt that was aborted.
func (r *run) uncount() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted--
}

// snapshot is what the journal keeps of the run, and whether it is over.
func (r *run) snapshot() (journalEntry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entry(), r.over
}

func (r *run) entry() journalEntry {
	return journalEntry{
		Attempt: r.attempt, Counted: r.counted, Seq: r.seq, Last: r.last, Began: r.began, Started: r.started, Deaths: r.deaths,
		Running: r.running.Load() > 0, End: r.ended,
	}
}

// complete ends the run with success.
func (r *run) complete(res Result, now time.Time) {
	output, _ := r.a.redactor.Apply(res.Output)
	took := now.Sub(r.began)
	e := timeline.Event{Type: timeline.TaskCompleted, OccurredAt: now, Duration: timeline.Millis(took), Attempts: r.counted}
	e.Output = output
	r.emit(&e)
	r.a.recover.forget(r)
	r.tel.completed(r, took)
}

// fail ends the run without success: its failure and its dead letter are on the
// disk when it returns, or the wait for that was too long and is counted.
func (r *run) fail(reason timeline.FailureReason, cause error) *TaskError {
	r.seal()
	last, recovers := r.lastError, r.autoRecovers(reason)
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
				Requeueable: r.task.Requeueable, AutoRecover: recovers,
				NotReplayable: r.replayFault, KeptInput: r.inputKept(), Sealed: r.sealed,
			},
		})
	}
	r.a.syncDeadLetter(r.ctx)
	if recovers {
		r.a.recover.remember(r)
	} else {
		r.a.recover.forget(r)
	}
	return failed
}

func (r *run) autoRecovers(reason timeline.FailureReason) bool {
	return reason == timeline.FailCircuitOpen && r.task.Requeueable && !r.task.NoAutoRecover && !r.a.cfg.NoAutoRecover && r.replayFault == "" &&
		r.a.recover.takes(r)
}

// after joins what ended the run to the error of its last attempt, which is never
// lost.
func (r *run) after(end error) error {
	if r.lastCause == nil {
		return end
	}
	return fmt.Errorf("%w: %w", end, r.lastCause)
}
