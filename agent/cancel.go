package agent

import (
	"context"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// How a cancelled task stopped, as task_cancelled says it, or did not, as
// cancel_ignored does.
const (
	proofStopped    = "stopped"     // the handler returned
	proofNotRunning = "not_running" // no attempt ran
	proofIgnored    = "ignored"     // it did not: the handler still runs and does not look at its context
)

// cancelBy stops the run as an operator wants, and watches whether its handler
// does stop. A second command for it changes nothing.
func (r *run) cancelBy(op *timeline.Operator) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.watch != nil {
		return
	}
	r.operator.Store(op)
	r.watch = time.AfterFunc(r.a.cfg.CancelGrace, r.ignored)
	r.stop(ErrCancelled)
}

// ignored puts on record that a cancelled handler goes on. That ends nothing: the
// run ends with what the handler comes to, a completion among it.
func (r *run) ignored() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && r.running.Load() > 0 {
		r.emitLocked(&timeline.Event{
			Type: timeline.CancelIgnored, Attempt: r.attempt, Operator: r.operator.Load(), StopProof: proofIgnored,
		})
	}
}

// cancelled ends the run as an operator wanted.
func (r *run) cancelled(proof string) error {
	r.seal()
	r.mu.Lock()
	if !r.over {
		r.emitLocked(&timeline.Event{
			Type: timeline.TaskCancelled, Operator: r.operator.Load(), StopProof: proof, Attempts: r.counted,
			Duration: timeline.Millis(time.Since(r.began)), DeadLetter: r.cancelledInput(),
		})
	}
	r.mu.Unlock()
	r.a.recover.forget(r)
	r.tel.ended(r, outcomeCancelled, "")
	return &TaskError{Reason: timeline.FailCancelled, Attempts: r.counted, Err: r.after(ErrCancelled)}
}

// cancelledInput says where the original input of a cancelled run is, for its dead
// letter, which is written when somebody retries it; nil where what is recorded is the
// original.
func (r *run) cancelledInput() *timeline.DeadLetterRef {
	if !r.redacted {
		return nil
	}
	return &timeline.DeadLetterRef{
		ID:            timeline.DeadLetterID(r.task.Namespace, r.task.ID, r.number),
		NotReplayable: r.replayFault, KeptInput: r.inputKept(), Sealed: r.sealed,
	}
}

// CancelHandler takes a task that does not run in this process out of its runner.
// It returns true where no attempt of the run will begin any more: then the task
// is cancelled on record. It returns false where another worker runs it, who gets
// the same command, or where the runner does not know it. It may be called by
// several workers at once, and more than once for the same run.
type CancelHandler func(ctx context.Context, c timeline.Command) (bool, error)

// HandleCancels registers who takes cancelled tasks of a queue out of the runner
// before their turn. Without one, a cancelled task that waits is stopped when its
// turn comes. The cancels of a queue come to those who take its retries
// ([Agent.HandleQueue]), and to those who call this; h may be nil, where nothing
// waits that could be taken out. Safe at any time.
func (a *Agent) HandleCancels(queue string, h CancelHandler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.cancels[queue]
	if a.cancels[queue] = h; known || a.queues[queue] != nil {
		return
	}
	close(a.changed)
	a.changed = make(chan struct{})
}

// cancelTimeout bounds how long the runner is asked to take a task out; the other
// commands wait for that.
const cancelTimeout = 5 * time.Second

// cancelWaiting stops a task that waits in its runner.
func (a *Agent) cancelWaiting(ctx context.Context, c timeline.Command) {
	a.mu.Lock()
	h := a.cancels[c.Queue]
	a.mu.Unlock()
	if h == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, cancelTimeout)
	defer stop()
	gone, err := h(ctx, c)
	if err != nil {
		a.cfg.Logger.Warn("a cancelled task could not be taken out of its runner; it is stopped when its turn comes",
			"task_id", c.Task.ID, "run", c.Run, "error", err)
		return
	}
	if !gone {
		return
	}
	if _, over := a.Ended(c.Namespace, c.Task.ID, c.Run); over {
		return // it was written when the command came before
	}
	t := c.Task
	if f := a.original(c.Queue); f != nil { // of the run that is cancelled
		before := c
		before.Run++
		if input, ok, err := f(ctx, before); err == nil && ok {
			t.Input = input
		}
	}
	r := a.newRun(&Task{Task: t}, c.Run, time.Now())
	r.seal()
	r.step = true // its runner's, which is told how it ended
	a.journal.load(r, nil)
	// Each worker of the queue gets the command, and gets it again until it is
	// answered: the event is stored once only where its time is the same each time as
	// its id is. Where clocks differ so much that the run's last event is later, it
	// stands behind that one.
	r.emit(&timeline.Event{
		ID:   timeline.DerivedEventID(r.task.Namespace, r.task.ID, r.number, 0, timeline.TaskCancelled),
		Type: timeline.TaskCancelled, OccurredAt: c.RequestedAt.Add(1), Operator: c.Operator, StopProof: proofNotRunning, Attempts: r.counted,
		DeadLetter: r.cancelledInput(),
	})
	a.journal.store(r, true)
	a.recover.forget(r)
	a.live.settled(r.key())
}
