package query

import (
	"context"
	"fmt"
	"slices"

	"github.com/tasktrail/tasktrail/query/auth"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// retryTask starts the next run of a failed or cancelled task.
func (s *Server) retryTask(r *request, o order) (accepted, error) {
	id, err := r.taskID()
	if err != nil {
		return accepted{}, err
	}
	return s.retry(r, o, id, func(events []timeline.Event, snap timeline.Snapshot, letters []timeline.DeadLetter) (timeline.DeadLetter, []timeline.Event, error) {
		if err := s.mayRetry(r.scope, snap); err != nil {
			return timeline.DeadLetter{}, nil, err
		}
		if d := pendingLetter(letters); d != nil {
			return *d, nil, nil
		}
		if snap.State == timeline.StateCancelled {
			d, moved := s.letterOfCancelled(r, snap, letters, events)
			return d, []timeline.Event{moved}, nil
		}
		f := fail(codeNoDeadLetter, "none of the task's %d dead letters is pending", len(letters))
		if len(letters) > 0 {
			last := letters[len(letters)-1]
			f.deadLetter, f.link = last.ID, s.deadLetterLink(r.scope, last.ID)
		}
		return timeline.DeadLetter{}, nil, f
	})
}

// retryDeadLetter starts the run that a pending dead letter waits for.
func (s *Server) retryDeadLetter(r *request, o order) (accepted, error) {
	id, err := r.deadLetterID()
	if err != nil {
		return accepted{}, err
	}
	return s.retryLetter(r, o, id)
}

func (s *Server) retryLetter(r *request, o order, id timeline.ID) (accepted, error) {
	found, err := s.deadLetter(r.ctx, r.scope, id)
	if err != nil {
		return accepted{}, err
	}
	return s.retry(r, o, found.Task.ID, func(_ []timeline.Event, snap timeline.Snapshot, letters []timeline.DeadLetter) (timeline.DeadLetter, []timeline.Event, error) {
		d, err := s.pendingByID(r.scope, letters, id)
		if err != nil {
			return d, nil, err
		}
		return d, nil, s.mayRetry(r.scope, snap)
	})
}

// mayRetry says why a task in this state is not retried.
func (s *Server) mayRetry(scope readmodel.Scope, snap timeline.Snapshot) error {
	var f *failure
	switch snap.State {
	case timeline.StateFailed, timeline.StateCancelled:
		return nil
	case timeline.StateCompleted:
		f = fail(codeTaskCompleted, "run %d completed", snap.Run)
	case timeline.StateRetrying:
		f = fail(codeAlreadyRetrying, "run %d is waiting to go on", snap.Run)
	case timeline.StateLost:
		f = fail(codeTaskRunning, "run %d lost its worker; it is taken up again, or becomes a dead letter", snap.Run)
	default:
		f = fail(codeTaskRunning, "run %d is %s", snap.Run, snap.State)
	}
	f.link = s.taskLink(scope, snap.ID)
	return f
}

func pendingLetter(letters []timeline.DeadLetter) *timeline.DeadLetter {
	for i := len(letters) - 1; i >= 0; i-- {
		if letters[i].Status == timeline.DeadLetterPending {
			return &letters[i]
		}
	}
	return nil
}

// pendingByID returns the dead letter, or says why it is not pending and which
// one is.
func (s *Server) pendingByID(scope readmodel.Scope, letters []timeline.DeadLetter, id timeline.ID) (timeline.DeadLetter, error) {
	for _, d := range letters {
		if d.ID != id {
			continue
		}
		if d.Status == timeline.DeadLetterPending {
			return d, nil
		}
		f := fail(codeNotPending, "it is %s", d.Status)
		if p := pendingLetter(letters); p != nil {
			f.detail += "; another of the task's is pending"
			f.deadLetter, f.link = p.ID, s.deadLetterLink(scope, p.ID)
		}
		return d, f
	}
	return timeline.DeadLetter{}, readmodel.ErrNotFound
}

// letterOfCancelled makes the dead letter of a cancelled run, so that its retry
// takes the same way as every other. It raises no alert.
func (s *Server) letterOfCancelled(r *request, snap timeline.Snapshot, letters []timeline.DeadLetter, events []timeline.Event) (timeline.DeadLetter, timeline.Event) {
	id := timeline.DeadLetterID(r.scope.Namespace, snap.ID, snap.Run)
	ref := timeline.DeadLetterRef{ID: id, Requeueable: byAgent(events) && snap.Runner != "" && snap.Runner != foreignRunner}
	if len(letters) > 0 {
		// What an agent said of an earlier run holds for this one.
		last := letters[len(letters)-1]
		ref.Requeueable, ref.NotReplayable, ref.KeptInput, ref.Sealed = last.Requeueable, last.NotReplayable, last.KeptInput, last.Sealed
	}
	for i := range events { // and what the agent that stopped it knows of its input
		if e := &events[i]; e.Type == timeline.TaskCancelled && e.Run == snap.Run && e.DeadLetter != nil {
			ref.NotReplayable, ref.KeptInput, ref.Sealed = e.DeadLetter.NotReplayable, e.DeadLetter.KeptInput, e.DeadLetter.Sealed
		}
	}
	moved := s.operatorEvent(r, snap.Task, timeline.MovedToDLQ, snap.Run, timeline.Operator{Actor: r.principal.ID})
	moved.Reason, moved.DeadLetter, moved.Error, moved.TraceID = timeline.FailCancelled, &ref, snap.Error, snap.TraceID
	return timeline.DeadLetter{
		ID: id, Status: timeline.DeadLetterPending, Task: snap.Task, Run: snap.Run, Reason: timeline.FailCancelled,
		Replayable: ref.NotReplayable == "", NotReplayable: ref.NotReplayable, Requeueable: ref.Requeueable, KeptInput: ref.KeptInput, Sealed: ref.Sealed,
	}, moved
}

// byAgent reports whether an agent of ours wrote any of the events; a foreign SDK's
// have no source.
func byAgent(events []timeline.Event) bool {
	return slices.ContainsFunc(events, func(e timeline.Event) bool { return e.SourceID != "" })
}

// foreignRunner is the runner of tasks that a foreign SDK reported: nobody takes
// commands for them.
const foreignRunner = "otlp"

// choose picks the dead letter to retry from a task's events, and the events that
// must be written before the request; or says why there is none.
type choose func([]timeline.Event, timeline.Snapshot, []timeline.DeadLetter) (timeline.DeadLetter, []timeline.Event, error)

// retry is the one way every retry by hand takes: read, decide, claim the run,
// write the request.
func (s *Server) retry(r *request, o order, taskID string, pick choose) (accepted, error) {
	if o.inputPatch != nil && !r.principal.Has(auth.ScopeReadPayload) {
		return accepted{}, fail(codeForbidden, "editing an input needs the scope read:payload")
	}
	unlock, err := s.locks.lock(r.ctx, r.scope.Namespace, taskID)
	if err != nil {
		return accepted{}, err
	}
	defer unlock()
	events, err := s.events(r.ctx, r.scope, taskID)
	if err != nil {
		return accepted{}, err
	}
	snap, _ := timeline.Fold(events)
	d, before, err := pick(events, snap, timeline.FoldDeadLetters(events))
	if err != nil {
		return accepted{}, err
	}
	if !d.Requeueable && d.Runner == commandRunner {
		// The process that ran the command is gone; an agent that was told of its queue
		// runs it again.
		yes := s.served(r.ctx, r.scope.Namespace, d.Queue, nil)
		d.Requeueable = yes != nil && *yes
	}
	var target *timeline.RequeueURL
	if !d.Requeueable { // no agent can start it: where a URL is registered, that does
		if target, err = s.requeueURL(r.ctx, r.scope.Namespace, d.Queue); err != nil {
			return accepted{}, err
		}
	}
	if err := replayable(d, target, o.inputPatch != nil); err != nil {
		return accepted{}, err
	}
	run := 1
	for i := range events {
		run = max(run, events[i].Run+1)
	}
	op := timeline.Operator{Actor: r.principal.ID, Reason: o.reason, CommandID: timeline.CommandID(r.scope.Namespace, taskID, run), InputPatch: o.inputPatch}
	op.InputEdits = editsBefore(events, d, o.inputPatch != nil)
	input := d.Input
	if len(input) == 0 {
		input = snap.Input
	}
	if o.inputPatch != nil {
		if op.InputBefore, op.InputAfter, err = patchHashes(input, o.inputPatch, len(d.Sealed) > 0); err != nil {
			return accepted{}, err
		}
	}
	task := snap.Task
	if task.Input = input; !d.Replayable || d.KeptInput {
		task.Input = nil // what is stored is not the original
	}
	request := s.operatorEvent(r, task, timeline.DLQRetryRequested, run, op)
	request.DeadLetter = &timeline.DeadLetterRef{ID: d.ID, Requeueable: d.Requeueable, AutoRecover: d.AutoRecover, KeptInput: d.KeptInput, Sealed: d.Sealed, SourceID: holderOf(events, d)}
	request.TraceID, request.SpanID = spanOf(events, d.Run)
	if target != nil {
		request.DeadLetter.SourceID = timeline.RequeueURLSource
	}
	r.audit = append(r.audit, "task_id", taskID, "run", run, "dead_letter_id", d.ID.String(), "edited", o.inputPatch != nil)
	if err := s.claimAndWrite(r, taskID, run, append(before, request)); err != nil {
		return accepted{}, err
	}
	return accepted{
		TaskID: taskID, Run: run, CommandID: op.CommandID, DeadLetterID: d.ID, Status: "accepted",
		State: timeline.StateRetrying, DeadLetterStatus: timeline.DeadLetterRetrying, location: s.taskLink(r.scope, taskID),
		Served: s.served(r.ctx, r.scope.Namespace, d.Queue, target),
	}, nil
}

// spanOf is the span of a run, which the trace of the next one is linked to. An
// attempt's events are of the attempt's own.
func spanOf(events []timeline.Event, run int) (trace timeline.TraceID, span timeline.SpanID) {
	for i := range events {
		if e := &events[i]; e.Run == run && e.Attempt == 0 && !e.SpanID.IsZero() && e.Type != timeline.DLQRetryRequested {
			trace, span = e.TraceID, e.SpanID
		}
	}
	return trace, span
}

// editsBefore counts how often the input was edited on the way to the run that is
// asked for. An edit counts one more than any before it, so that no two inputs
// share an idempotency key; a plain retry repeats what its dead letter ran with.
func editsBefore(events []timeline.Event, d timeline.DeadLetter, edited bool) int {
	most, own := 0, 0
	for i := range events {
		e := &events[i]
		if e.Type != timeline.DLQRetryRequested || e.Operator == nil {
			continue
		}
		most = max(most, e.Operator.InputEdits)
		if e.Run == d.Run {
			own = e.Operator.InputEdits
		}
	}
	if edited {
		return most + 1
	}
	return own
}

// sidecarRunner is the runner of tasks that only the sidecar which took them can
// run again: their callback is known to it alone.
const sidecarRunner = "http"

// commandRunner is the runner of tasks that are commands.
const commandRunner = "exec"

// holderOf is the source that holds the dead letter's task, empty where any agent
// of its queue can start its next run.
func holderOf(events []timeline.Event, d timeline.DeadLetter) (source string) {
	if d.Runner != sidecarRunner {
		return ""
	}
	for i := range events {
		if e := &events[i]; e.Run <= d.Run && e.SourceID != "" && e.Type != timeline.TaskCreated {
			source = e.SourceID
		}
	}
	return source
}

// served tells whether somebody is there to take the retries of a queue; nil where
// that can't be known, which fails nothing: the retry is accepted and waits.
func (s *Server) served(ctx context.Context, namespace, queue string, target *timeline.RequeueURL) *bool {
	yes := target != nil
	if !yes {
		if s.deps.Servers == nil {
			return nil
		}
		var err error
		if yes, err = s.deps.Servers.Served(ctx, namespace, queue); err != nil {
			s.log.Warn("look who serves a queue", "queue", queue, "error", err)
			return nil
		}
	}
	return &yes
}

// replayable says why a dead letter cannot be retried. The target is its queue's
// re-enqueue URL, nil where there is none or an agent starts the run.
func replayable(d timeline.DeadLetter, target *timeline.RequeueURL, edited bool) error {
	var f *failure
	known := d.Replayable && (target == nil || len(d.Sealed) == 0 && !d.KeptInput)
	kept := target != nil && target.KeepsInput
	switch {
	case !d.Requeueable && target == nil:
		f = fail(codeNotRequeueable, "no agent runs the task, and no re-enqueue URL is registered for its queue; whoever ran it keeps the decision to run it again")
	case !known && kept && edited:
		f = fail(codePatchNotApplicable, "the original input is known to the task's runner alone")
	case !known && kept:
		return nil
	case d.Replayable && !known:
		f = fail(codeNotReplayable, "the original input is for the task's agents alone, and no agent runs the task")
	case !d.Replayable:
		f = fail(codeNotReplayable, "%s", d.NotReplayable)
	default:
		return nil
	}
	f.deadLetter = d.ID
	return f
}

// claimAndWrite takes the run and writes the events. Where writing fails the claim
// is given back: the events' ids are derived, so that whoever comes next writes
// the same ones.
func (s *Server) claimAndWrite(r *request, taskID string, run int, events []timeline.Event) error {
	if s.deps.Claimer == nil {
		return unavailable("what decides who starts a run", nil)
	}
	holder := s.ids.Next(s.now()).String()
	won, err := s.deps.Claimer.ClaimRun(r.ctx, r.scope.Namespace, taskID, run, holder)
	if err != nil {
		return unavailable("what decides who starts a run", fmt.Errorf("claim run: %w", err))
	}
	if !won {
		f := fail(codeRunClaimed, "run %d was asked for by somebody else a moment ago", run)
		f.link = s.taskLink(r.scope, taskID)
		return f
	}
	if err := s.write(r.ctx, r.scope, events...); err != nil {
		if releaser, ok := s.deps.Claimer.(RunReleaser); ok {
			if rerr := releaser.ReleaseRun(context.WithoutCancel(r.ctx), r.scope.Namespace, taskID, run, holder); rerr != nil {
				s.log.Warn("release run", "error", rerr, "request_id", r.id)
			}
		}
		return err
	}
	return nil
}
