package sidecar

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/execrunner"
	"github.com/tasktrail/tasktrail/agent/runner/httprunner"
	"github.com/tasktrail/tasktrail/internal/spool"
	"github.com/tasktrail/tasktrail/timeline"
)

// attempt is one that runs, for whoever reports its progress.
type attempt struct {
	ctx    context.Context //nolint:containedctx // the attempt's own, which progress belongs to
	run    int
	number int
}

// dispatch gives tasks their turns until ctx ends: one goroutine for each that
// runs, and none for those that wait.
func (s *Sidecar) dispatch(ctx, attempts context.Context) {
	defer close(s.dispatched)
	slots := make(chan struct{}, s.cfg.Workers)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		e := s.queue.next(ctx)
		if e == nil {
			return
		}
		s.turns.Go(func() {
			defer func() { <-slots }()
			s.turn(attempts, e)
		})
	}
}

// turn makes one attempt of a task and writes down what came of it.
func (s *Sidecar) turn(ctx context.Context, e *entry) {
	var r record
	b := s.batches.Get().(*spool.Batch) //nolint:forcetypeassert // the pool's own
	err := s.queue.read(e, taskPlace, opTask, b, &r)
	carry := s.carry(e, b)
	s.batches.Put(b)
	var fn agent.Func
	if err != nil {
		// What is left of the task is its id: the failure is recorded all the same.
		s.cfg.Logger.Error("a task cannot be read from the queue", "task_id", e.id, "error", err)
		r.Spec = &spec{Queue: e.queue}
		fn = func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{}, agent.Permanent(err) }
	} else if r.Spec.Exec {
		fn = s.runCommand
	} else {
		fn = s.caller.Func(r.Spec.CallbackURL)
	}
	if by, ok := s.queue.cancelOf(e); ok { // which the agent does not know after a restart
		s.agent.Cancel(s.cfg.Agent.Namespace, e.id, int(e.run), by)
	}
	number := 0
	step := s.agent.Step(ctx, s.task(e.id, r.Spec), agent.Delivery{
		Run: int(e.run), Attempt: 1, CreatedAt: r.Spec.CreatedAt, Created: e.created, Carry: carry,
	}, func(ctx context.Context, t agent.Task) (agent.Result, error) {
		at, _ := agent.AttemptFrom(ctx)
		number = at.Number
		s.running.Store(e.id, &attempt{ctx, at.Run, at.Number})
		defer s.running.Delete(e.id)
		return fn(ctx, t)
	})
	switch step.Outcome {
	case agent.Retrying:
		s.wait(e, step.Delay, step.Carry)
	case agent.Aborted:
		s.wait(e, 0, step.Carry) // goes on after the next start
	default:
		s.end(ctx, e, outcomeOf(s.cfg.Agent.Namespace, e, step, number))
	}
}

// carry is what the agent gave to the run's next attempt.
func (s *Sidecar) carry(e *entry, b *spool.Batch) []byte {
	var r record
	if s.queue.read(e, waitPlace, opWait, b, &r) != nil { // there was none yet
		return nil
	}
	return r.Carry
}

// wait writes down when the next attempt is due; the agent forgets the run then.
func (s *Sidecar) wait(e *entry, delay time.Duration, carry []byte) {
	s.queue.again(e, delay, carry, func() { s.agent.Forget(s.cfg.Agent.Namespace, e.id, int(e.run)) })
}

// end writes down how a run ended. Only then may the agent forget it: a kill
// before that finds the end in the agent's journal.
func (s *Sidecar) end(ctx context.Context, e *entry, o *outcome) {
	run := int(e.run)
	if err := s.queue.finish(ctx, e, o); err != nil {
		s.cfg.Logger.Error("the end of a task could not be written down", "task_id", e.id, "error", err)
		return
	}
	s.agent.Forget(s.cfg.Agent.Namespace, e.id, run)
}

func outcomeOf(namespace string, e *entry, step agent.Step, number int) *outcome {
	o := &outcome{State: timeline.StateCompleted, Attempts: number, At: time.Now().UTC()}
	if step.Outcome == agent.Completed {
		o.Output = step.Result.Output
		return o
	}
	o.State = timeline.StateFailed
	if step.Outcome == agent.Cancelled {
		o.State = timeline.StateCancelled
	}
	var failed *agent.TaskError
	if !errors.As(step.Err, &failed) {
		failed = &agent.TaskError{Reason: timeline.FailPermanent, Attempts: number, Err: step.Err}
	}
	o.Reason, o.Attempts, o.DeadLetterID = failed.Reason, failed.Attempts, failed.DeadLetterID
	if failed.Err != nil {
		o.Error = cut(failed.Err.Error())
	}
	if o.DeadLetterID.IsZero() && step.Outcome == agent.Failed {
		o.DeadLetterID = timeline.DeadLetterID(namespace, e.id, int(e.run))
	}
	return o
}

func cut(s string) string {
	if len(s) > timeline.MaxMessageBytes {
		s = strings.ToValidUTF8(s[:timeline.MaxMessageBytes], "")
	}
	return s
}

// task is the task as the agent takes it.
func (s *Sidecar) task(id string, sp *spec) agent.Task {
	t := agent.Task{
		Task: timeline.Task{
			Namespace: s.cfg.Agent.Namespace, ID: id, Type: sp.Type, Queue: sp.Queue, Runner: httprunner.Name, Agent: sp.Agent,
			Provider: sp.Provider, UserID: sp.UserID, Amount: sp.Amount, Currency: sp.Currency, Input: sp.Input,
			Metadata: sp.Metadata, MaxAttempts: sp.MaxAttempts,
		},
		Deadline: sp.Deadline, Timeout: sp.Timeout, Requeueable: true, NoAutoRecover: !sp.AutoRecover, KeptInput: true, Edits: sp.Edits,
	}
	if t.Timeout == 0 {
		t.Timeout = s.cfg.CallbackTimeout
	}
	if sp.Exec {
		t.Runner, t.Timeout = execrunner.Name, s.cfg.ExecTimeout
	}
	if sp.TraceParent != "" {
		t.TraceCarrier = map[string]string{"traceparent": sp.TraceParent}
	}
	return t
}

// reconcile settles the runs whose end the agent had recorded when the process
// before this one was killed, before it was written down here.
func (s *Sidecar) reconcile() {
	s.queue.mu.Lock()
	open := make([]*entry, 0, s.queue.open)
	for _, e := range s.queue.tasks {
		if !e.state.ended() {
			open = append(open, e)
		}
	}
	s.queue.mu.Unlock()
	for _, e := range open {
		end, ok := s.agent.Ended(s.cfg.Agent.Namespace, e.id, int(e.run))
		if !ok {
			s.resume(e)
			continue
		}
		o := &outcome{State: end.Type.StateAfter(), Reason: end.Reason, Output: end.Output, Attempts: end.Attempts, At: time.Now().UTC()}
		if end.Error != nil {
			o.Error = cut(end.Error.Message)
		}
		if o.State == timeline.StateFailed {
			run := int(e.run)
			if run > 1 && end.Attempts == 0 && end.Reason == timeline.FailCircuitOpen {
				run-- // the earlier dead letter waits again instead
			}
			o.DeadLetterID = timeline.DeadLetterID(s.cfg.Agent.Namespace, e.id, run)
		}
		s.end(context.Background(), e, o)
	}
	// What was written down is on the disk before the agent forgets it.
	err := s.queue.log.Sync(context.Background(), s.queue.log.End())
	if err = errors.Join(err, s.agent.ForgetAll()); err != nil {
		s.cfg.Logger.Error("settle with the process before this one", "error", err)
	}
}

// resume writes down an attempt that the process before this one was killed in.
func (s *Sidecar) resume(e *entry) {
	var b spool.Batch
	carry, changed := s.agent.Resume(s.cfg.Agent.Namespace, e.id, int(e.run), func() []byte { return s.carry(e, &b) })
	if !changed {
		return
	}
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	e.state = stateRetrying
	s.queue.note(e, s.queue.now().UnixNano(), carry)
}
