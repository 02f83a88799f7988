package requeue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/internal/mergepatch"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// maxAnswered bounds the answers that are remembered until they have their effect.
const maxAnswered = 10_000

// worker carries out the commands of one queue, each once at a time.
type worker struct {
	r      *Requeue
	target *Target

	mu   sync.Mutex
	busy map[timeline.ID]bool
	// answered are the commands that have their answer; one that comes again gets
	// the same answer, and no second call.
	answered map[timeline.ID]timeline.Event
	order    []timeline.ID
	// state is how the latest calls went.
	state readmodel.RequeueState
	// rest is until when the receiver asked to be left alone.
	rest time.Time
}

// carryOut posts a command and writes what became of it. Without an answer the
// command comes again.
func (w *worker) carryOut(ctx context.Context, c *timeline.Command) {
	known, ours := w.begin(c.ID)
	if !ours {
		return
	}
	defer w.end(c.ID)
	answer := known
	if answer.Type == timeline.TypeUnknown {
		e, ok := w.deliver(ctx, c)
		if !ok {
			return
		}
		answer = e
		w.remember(c.ID, e)
	}
	if answer.ID.IsZero() { // a cancel that was taken: the worker's events are the answer
		return
	}
	if err := w.r.deps.Writer.WriteEvents(ctx, c.Namespace, []timeline.Event{answer}); err != nil && ctx.Err() == nil {
		w.r.cfg.Logger.Warn("the answer to a command could not be written; it is written when the command comes again",
			"task_id", c.Task.ID, "run", c.Run, "error", err)
	}
}

// deliver makes the calls; false where the command is to come again.
func (w *worker) deliver(ctx context.Context, c *timeline.Command) (timeline.Event, bool) {
	cfg := &w.r.cfg
	body, fault := w.encode(c)
	if fault != nil {
		w.r.refused.Add(1)
		return refusedEvent(c, fault), true
	}
	wait := cfg.Backoff
	var last *refusal
	for try := range cfg.Tries {
		if try > 0 {
			if !pause(ctx, time.Duration(float64(wait)*(0.75+rand.Float64()/2))) {
				return timeline.Event{}, false
			}
			wait *= 2
		}
		if time.Now().Before(w.resting()) {
			break
		}
		// Before the call: a worker may write the run's first events at once, and they
		// come after.
		at := time.Now()
		last = w.r.call.post(ctx, w.target, c.ID.String(), body)
		if last != nil && ctx.Err() != nil {
			return timeline.Event{}, false
		}
		w.tell(ctx, last, at)
		if last == nil {
			w.r.taken.Add(1)
			return takenEvent(c), true
		}
		if last.permanent {
			w.r.refused.Add(1)
			cfg.Logger.Warn("a re-enqueue URL refused a command", "kind", c.Kind, "namespace", c.Namespace, "queue", c.Queue, "task_id", c.Task.ID, "run", c.Run, "error", last)
			return refusedEvent(c, last), true
		}
		w.r.failed.Add(1)
		if last.after > 0 {
			w.restUntil(at.Add(last.after))
			break
		}
	}
	if last != nil && time.Since(c.RequestedAt) > cfg.GiveUpAfter {
		w.r.refused.Add(1)
		last.err = fmt.Errorf("not taken within %v: %w", cfg.GiveUpAfter, last.err)
		return refusedEvent(c, last), true
	}
	if last != nil {
		cfg.Logger.Warn("a re-enqueue URL does not take a command; it is posted again", "kind", c.Kind, "namespace", c.Namespace, "queue", c.Queue,
			"task_id", c.Task.ID, "run", c.Run, "waiting_since", c.RequestedAt, "error", last)
	}
	return timeline.Event{}, false
}

// encode makes the body of the call.
func (w *worker) encode(c *timeline.Command) ([]byte, *refusal) {
	encode := cancelBodyOf
	if c.Kind == timeline.CommandRetry {
		if err := w.prepare(c); err != nil {
			return nil, &refusal{permanent: true, kind: "not_replayable", err: err}
		}
		encode = bodyOf
	}
	body, err := encode(c)
	if err != nil {
		return nil, &refusal{permanent: true, kind: "encoding", err: fmt.Errorf("encode the command: %w", err)}
	}
	return body, nil
}

// tell says how a call went.
func (w *worker) tell(ctx context.Context, fault *refusal, at time.Time) {
	if w.r.deps.States == nil {
		return
	}
	w.mu.Lock()
	s := &w.state
	if fault == nil {
		s.State, s.DeliveredAt = readmodel.RequeueTaking, at.UTC()
	} else {
		s.State, s.ErrorAt, s.Error = readmodel.RequeueFailing, at.UTC(), fault.Error()
		if fault.permanent {
			s.State = readmodel.RequeueRefusing
		}
	}
	now := *s
	w.mu.Unlock()
	w.r.deps.States.SetRequeueState(ctx, w.target.Namespace, w.target.Queue, now)
}

var errSealed = errors.New("the original input is sealed for agents, and no agent serves the queue")

// prepare puts the original input, as the operator edited it, into the command.
func (w *worker) prepare(c *timeline.Command) error {
	if len(c.Sealed) > 0 {
		if !w.target.KeepsInput || len(c.InputPatch) > 0 {
			return errSealed
		}
		c.Input = nil // what is stored is not it
	}
	if len(c.InputPatch) > 0 {
		edited, err := mergepatch.Apply(c.Input, c.InputPatch)
		if err != nil {
			return fmt.Errorf("edit the input: %w", err)
		}
		c.Input = edited
	}
	if c.Reason == "" {
		c.Reason = timeline.RetryManual
	}
	return nil
}

// takenEvent is what an agent writes when its runner has the task. Of a cancel that was taken there is none: it is only remembered.
func takenEvent(c *timeline.Command) timeline.Event {
	if c.Kind == timeline.CommandCancel {
		return timeline.Event{Type: timeline.CancelRequested}
	}
	e := answerOf(c, timeline.TaskRetried)
	e.Retry = &timeline.Retry{NextAttempt: 1, Reason: c.Reason, CommandID: c.ID}
	return e
}

// proofRefused is how a cancel was ignored that the queue's URL refused.
const proofRefused = "refused"

// refusedEvent ends a run that never began, which puts its dead letter back; or says
// that a cancel had no effect, which ends nothing.
func refusedEvent(c *timeline.Command, f *refusal) timeline.Event {
	var e timeline.Event
	if c.Kind == timeline.CommandCancel {
		e = answerOf(c, timeline.CancelIgnored)
		e.StopProof = proofRefused
	} else {
		e = answerOf(c, timeline.TaskFailed)
		e.Reason = timeline.FailPermanent
	}
	e.Error = &timeline.Error{Class: timeline.ClassPermanent, Kind: f.kind, Message: f.Error(), HTTPStatus: f.status}
	if f.status > 0 {
		e.Error.Code = fmt.Sprint(f.status)
	}
	return e
}

// answerOf is an answer to a command. Its time is that of the request, whenever the
// answer came and whichever process gave it: an event that is written again under
// its id is stored once only at the same time. When the answer really came is the
// time it was ingested.
func answerOf(c *timeline.Command, kind timeline.Type) timeline.Event {
	e := timeline.Event{
		ID: timeline.DerivedEventID(c.Namespace, c.Task.ID, c.Run, 0, kind), Type: kind, Severity: kind.Severity(),
		Task: c.Task, Run: c.Run, OccurredAt: c.RequestedAt.Add(time.Microsecond).UTC(), Operator: c.Operator,
	}
	e.Input = nil
	if !c.DeadLetterID.IsZero() {
		e.DeadLetter = &timeline.DeadLetterRef{ID: c.DeadLetterID}
	}
	return e
}

// begin says whether this goroutine is to carry the command out, and its answer
// where there is one already.
func (w *worker) begin(id timeline.ID) (timeline.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy[id] {
		return timeline.Event{}, false
	}
	w.busy[id] = true
	return w.answered[id], true
}

func (w *worker) end(id timeline.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, id)
}

func (w *worker) remember(id timeline.ID, e timeline.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered[id] = e
	w.order = append(w.order, id)
	if len(w.order) > maxAnswered {
		delete(w.answered, w.order[0])
		w.order = w.order[1:]
	}
}

func (w *worker) resting() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rest
}

func (w *worker) restUntil(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.After(w.rest) {
		w.rest = at
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
