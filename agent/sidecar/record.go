package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// The kinds of records of the queue's log.
const (
	opTask = "task" // a run of a task that was accepted
	opWait = "wait" // when its next attempt is due
	opEnd  = "end"  // how the run ended
	opDrop = "drop" // the task was not accepted after all
	// opCancel: the run is to stop.
	opCancel = "cancel"
)

// record is one frame of the queue's log.
type record struct {
	Op  string `json:"op"`
	ID  string `json:"id"`
	Run int    `json:"run"`

	Spec *spec `json:"spec,omitempty"`
	// Due is when the next attempt may begin, in nanoseconds since 1970 (opWait).
	Due int64 `json:"due,omitempty"`
	// Noted is when that was written down: the two together say how long the wait is,
	// whatever the clock says later.
	Noted int64 `json:"noted,omitempty"`
	// Carry is the agent's, for that attempt.
	Carry json.RawMessage `json:"carry,omitempty"`
	End   *outcome        `json:"end,omitempty"`
	// By is who wants it to stop (opCancel).
	By *timeline.Operator `json:"by,omitempty"`
}

// spec is what is needed to execute a run.
type spec struct {
	Type        string            `json:"type"`
	Queue       string            `json:"queue"`
	Agent       string            `json:"agent,omitempty"`
	Provider    string            `json:"provider,omitempty"`
	UserID      string            `json:"user_id,omitempty"`
	Amount      string            `json:"amount,omitempty"`
	Currency    string            `json:"currency,omitempty"`
	CallbackURL string            `json:"callback_url,omitempty"`
	Input       timeline.Payload  `json:"input,omitzero"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	MaxAttempts int               `json:"max_attempts,omitempty"`
	Timeout     time.Duration     `json:"timeout,omitempty"`
	Deadline    time.Time         `json:"deadline,omitzero"`
	Sync        bool              `json:"sync,omitempty"`
	// AutoRecover: a closing breaker may start its next run.
	AutoRecover bool `json:"auto_recover,omitempty"`
	// Exec: the input names a command that was run elsewhere.
	Exec        bool      `json:"exec,omitempty"`
	TraceParent string    `json:"traceparent,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	// Edits counts how often an operator changed the input.
	Edits int `json:"edits,omitempty"`
}

// outcome is how a run ended.
type outcome struct {
	State  timeline.State         `json:"state"`
	Reason timeline.FailureReason `json:"reason,omitempty"`
	Error  string                 `json:"error,omitempty"`
	// Output is the body of the callback's answer.
	Output       timeline.Payload `json:"output,omitzero"`
	Attempts     int              `json:"attempts"`
	DeadLetterID timeline.ID      `json:"dead_letter_id,omitzero"`
	At           time.Time        `json:"at"`
}

func (r *record) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // which makes six bytes of one
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode a record of task %.80q: %w", r.ID, err)
	}
	return b.Bytes(), nil
}

// decode reads a frame; what is no record is an error, never a panic.
func (r *record) decode(frame []byte) error {
	*r = record{}
	if err := json.Unmarshal(frame, r); err != nil {
		return fmt.Errorf("decode a record: %w", err)
	}
	switch {
	case r.ID == "" || r.Run < 1:
		return fmt.Errorf("decode a record: no task and run")
	case r.Op == opTask && r.Spec == nil, r.Op == opEnd && r.End == nil, r.Op == opCancel && r.By == nil:
		return fmt.Errorf("decode a record: %s says nothing", r.Op)
	}
	return nil
}
