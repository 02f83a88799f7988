package timeline

import (
	"encoding/json"
	"time"
)

// CommandKind says what an agent is asked to do.
type CommandKind string

// The kinds of commands.
const (
	// CommandRetry starts the task's next run through its runner's own pipeline.
	CommandRetry CommandKind = "retry"
	// CommandCancel stops a running task.
	CommandCancel CommandKind = "cancel"
)

// RequeueURLSource stands for a source where no agent can start a task's next run
// and the URL that is registered for its queue takes it.
const RequeueURLSource = "requeue-url"

// Command is what travels from a collector to the agent that serves a queue. It
// is delivered at least once; agents recognise a repeat by its ID and answer
// with events, which are the acknowledgement.
type Command struct {
	ID   ID          `json:"id"`
	Kind CommandKind `json:"kind"`
	Task
	// Run is the run to start (retry) or to stop (cancel).
	Run int `json:"run"`
	// SourceID is the source that owns the task where only that one can act, or
	// [RequeueURLSource].
	SourceID string `json:"source_id,omitempty"`
	// DeadLetterID is the dead letter being retried.
	DeadLetterID ID `json:"dead_letter_id,omitzero"`
	// Reason is manual or auto_recover (retry).
	Reason   RetryReason `json:"reason,omitempty"`
	Operator *Operator   `json:"operator,omitempty"`
	// Sealed is the encrypted original input, where Input is not it.
	Sealed []byte `json:"sealed,omitempty"`
	// KeptInput: Input is not given, and the original is with the task's runner.
	KeptInput bool `json:"kept_input,omitempty"`
	// InputPatch is an RFC 7386 merge patch the agent applies to the original.
	InputPatch json.RawMessage `json:"input_patch,omitempty"`
	// InputEdits is how often the input was edited, this command's edit included:
	// the idempotency key follows it.
	InputEdits int `json:"input_edits,omitempty"`
	// TraceID and SpanID are the span of the run before it (retry), which the trace
	// of the new one is linked to; zero where it had none.
	TraceID TraceID `json:"trace_id,omitzero"`
	SpanID  SpanID  `json:"span_id,omitzero"`
	// RequestedAt is when it was asked for: an agent's events of the run are
	// never earlier.
	RequestedAt time.Time `json:"requested_at"`
}
