package agent

import (
	"bytes"

	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// End is how a run ended, as its timeline has it.
type End struct {
	// Type is the terminal event: completed, failed, cancelled.
	Type     timeline.Type
	Reason   timeline.FailureReason
	Attempts int
	// Output is what was recorded of it: redacted and cut.
	Output []byte
	Error  *timeline.Error
}

// endOf reads the end of a run from its terminal event in the spool.
func endOf(rec *wire.Record) *End {
	var e timeline.Event
	rec.Event(&e)
	return &End{Type: e.Type, Reason: e.Reason, Attempts: e.Attempts, Output: bytes.Clone(e.Output), Error: e.Error}
}

// Ended tells how a run ended whose end was recorded and not yet forgotten
// (Config.KeepEnds).
func (a *Agent) Ended(namespace, taskID string, run int) (End, bool) {
	a.journal.mu.Lock()
	defer a.journal.mu.Unlock()
	if e := a.journal.runs[runKey{namespace, taskID, run}]; e.End != nil {
		return *e.End, true
	}
	return End{}, false
}

// Forget drops what is remembered of a run: its runner has written down how it
// ended, or will not go on with it.
func (a *Agent) Forget(namespace, taskID string, run int) {
	a.journal.mu.Lock()
	defer a.journal.mu.Unlock()
	delete(a.journal.runs, runKey{namespace, taskID, run})
}

// ForgetEnds drops every end that is remembered, after a runner has asked for
// those of all the runs it has not seen the end of.
func (a *Agent) ForgetEnds() {
	a.journal.mu.Lock()
	defer a.journal.mu.Unlock()
	for k, e := range a.journal.runs {
		if e.End != nil {
			delete(a.journal.runs, k)
		}
	}
}
