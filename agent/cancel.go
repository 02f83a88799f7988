package agent

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// How a cancelled task stopped, as task_cancelled says it.
const (
	proofStopped    = "stopped"     // the handler returned
	proofNotRunning = "not_running" // no attempt ran
	proofIgnored    = "ignored"     // the handler still runs: it does not look at its context
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

// ignored puts on record that a cancelled handler goes on. What it comes to in the
// end is recorded after it: where it completes, that is the truth.
func (r *run) ignored() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && r.running.Load() > 0 {
		r.emitCancelled(proofIgnored)
	}
}

func (r *run) emitCancelled(proof string) {
	r.emitLocked(&timeline.Event{
		Type: timeline.TaskCancelled, Operator: r.operator.Load(), StopProof: proof, Attempts: r.counted,
		Duration: timeline.Millis(time.Since(r.began)),
	})
}

// cancelled ends the run as an operator wanted.
func (r *run) cancelled(proof string) error {
	r.mu.Lock()
	if !r.over {
		r.emitCancelled(proof)
	}
	r.mu.Unlock()
	r.a.recover.forget(r)
	r.tel.ended(r, outcomeCancelled, "")
	return &TaskError{Reason: timeline.FailCancelled, Attempts: r.counted, Err: r.after(ErrCancelled)}
}
