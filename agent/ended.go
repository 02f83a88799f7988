package agent

import (
	"bytes"
	"encoding/json"
	"fmt"

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

// carriedEntry reads what a runner carried; what cannot be read counts as nothing.
func carriedEntry(carry []byte) (journalEntry, bool) {
	var e journalEntry
	if len(carry) == 0 || json.Unmarshal(carry, &e) != nil {
		return journalEntry{}, false
	}
	return e, true
}

// resumed adds what the spool has seen of a run since its runner wrote c down: one
// attempt at most, since it writes down every one.
func (c journalEntry) resumed(seen journalEntry) journalEntry {
	if seen.Attempt > c.Attempt {
		c.Attempt = seen.Attempt
		if !seen.Aborted {
			c.Counted++
		}
		if seen.Died {
			c.Deaths++
		}
	}
	c.Seq = max(c.Seq, seen.Seq)
	if seen.Last.After(c.Last) {
		c.Last = seen.Last
	}
	if c.Began.IsZero() {
		c.Began = seen.Began
	}
	c.Started = c.Started || seen.Started
	return c
}

func (r *run) carry() []byte {
	r.mu.Lock()
	e := r.entry()
	r.mu.Unlock()
	e.Running = false
	b, err := json.Marshal(e)
	if err != nil { // numbers and times alone: this cannot fail
		return nil
	}
	return b
}

// Resume returns what the next attempt of a run is to be given after the process
// before this one was killed, from what its runner had written down; false where
// that holds as it is. The runner writes it down before it makes the attempt.
func (a *Agent) Resume(namespace, taskID string, run int, carry func() []byte) ([]byte, bool) {
	key := runKey{namespace, taskID, run}
	a.journal.mu.Lock()
	seen, ok := a.journal.runs[key]
	a.journal.mu.Unlock()
	if !ok || seen.End != nil {
		return nil, false
	}
	c, _ := carriedEntry(carry())
	if c.Seq >= seen.Seq {
		return nil, false
	}
	b, err := json.Marshal(c.resumed(seen))
	return b, err == nil
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

// ForgetAll drops everything that is remembered of runs, once a runner has asked
// for what it needs of it.
func (a *Agent) ForgetAll() error {
	a.journal.mu.Lock()
	clear(a.journal.runs)
	a.journal.mu.Unlock()
	if err := a.journal.save(a); err != nil {
		return fmt.Errorf("forget what was remembered of runs: %w", err)
	}
	return nil
}
