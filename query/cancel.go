package query

import (
	"strconv"

	"github.com/tasktrail/tasktrail/timeline"
)

// cancelTask asks for a task to stop. Asking again while it has not stopped is the
// same request.
func (s *Server) cancelTask(r *request, o order) (accepted, error) {
	id, err := r.taskID()
	if err != nil {
		return accepted{}, err
	}
	unlock, err := s.locks.lock(r.ctx, r.scope.Namespace, id)
	if err != nil {
		return accepted{}, err
	}
	defer unlock()
	events, err := s.events(r.ctx, r.scope, id)
	if err != nil {
		return accepted{}, err
	}
	snap, _ := timeline.Fold(events)
	r.audit = append(r.audit, "task_id", id, "run", snap.Run)
	a := accepted{
		TaskID: id, Run: snap.Run, CommandID: timeline.DeriveID("cancel", r.scope.Namespace, id, strconv.Itoa(snap.Run)),
		Status: "accepted", State: snap.State, location: s.taskLink(r.scope, id),
	}
	switch {
	case snap.State == timeline.StateCompleted:
		f := fail(codeTaskCompleted, "run %d completed", snap.Run)
		f.link = a.location
		return accepted{}, f
	case snap.State.Terminal():
		f := fail(codeTaskEnded, "run %d is %s", snap.Run, snap.State)
		f.link = a.location
		return accepted{}, f
	case !snap.CancelRequestedAt.IsZero():
		return a, nil
	}
	target, err := s.cancelTarget(r, events, snap)
	if err != nil {
		return accepted{}, err
	}
	task := snap.Task
	task.Input = nil
	e := s.operatorEvent(r, task, timeline.CancelRequested, max(snap.Run, 1), timeline.Operator{Actor: r.principal.ID, Reason: o.reason, CommandID: a.CommandID})
	if target != nil {
		e.DeadLetter, a.Served = &timeline.DeadLetterRef{SourceID: timeline.RequeueURLSource}, new(true)
	}
	if err := s.write(r.ctx, r.scope, e); err != nil {
		return accepted{}, err
	}
	return a, nil
}

// cancelTarget is the re-enqueue URL that a cancel is posted to, nil where the agents
// of the queue take it; or says that nobody could.
func (s *Server) cancelTarget(r *request, events []timeline.Event, snap timeline.Snapshot) (*timeline.RequeueURL, error) {
	if byAgent(events) {
		return nil, nil
	}
	target, err := s.requeueURL(r.ctx, r.scope.Namespace, snap.Queue)
	if target != nil || err != nil {
		return target, err
	}
	// It may have been enqueued by a foreign SDK for a worker with an agent.
	if served := s.served(r.ctx, r.scope.Namespace, snap.Queue, nil); served == nil || *served {
		return nil, nil
	}
	return nil, fail(codeNotCancellable, "no agent runs the task, and no re-enqueue URL is registered for its queue: stop it where it runs")
}

// discardDeadLetter gives a pending dead letter up.
func (s *Server) discardDeadLetter(r *request, o order) (accepted, error) {
	id, err := r.deadLetterID()
	if err != nil {
		return accepted{}, err
	}
	return s.discardLetter(r, o, id)
}

func (s *Server) discardLetter(r *request, o order, id timeline.ID) (accepted, error) {
	found, err := s.deadLetter(r.ctx, r.scope, id)
	if err != nil {
		return accepted{}, err
	}
	unlock, err := s.locks.lock(r.ctx, r.scope.Namespace, found.Task.ID)
	if err != nil {
		return accepted{}, err
	}
	defer unlock()
	events, err := s.events(r.ctx, r.scope, found.Task.ID)
	if err != nil {
		return accepted{}, err
	}
	d, err := s.pendingByID(r.scope, timeline.FoldDeadLetters(events), id)
	if err != nil {
		return accepted{}, err
	}
	snap, _ := timeline.Fold(events)
	task := d.Task
	task.Input = nil
	e := s.operatorEvent(r, task, timeline.DLQDiscarded, d.Run, timeline.Operator{Actor: r.principal.ID, Reason: o.reason})
	e.DeadLetter = &timeline.DeadLetterRef{ID: d.ID}
	r.audit = append(r.audit, "task_id", d.Task.ID, "run", d.Run, "dead_letter_id", d.ID.String())
	if err := s.write(r.ctx, r.scope, e); err != nil {
		return accepted{}, err
	}
	return accepted{
		TaskID: d.Task.ID, Run: d.Run, DeadLetterID: d.ID, Status: "accepted", State: snap.State,
		DeadLetterStatus: timeline.DeadLetterDiscarded, location: s.deadLetterLink(r.scope, d.ID),
	}, nil
}
