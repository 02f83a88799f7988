package timeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Millis is a duration that stands as a number of milliseconds in JSON and on
// the wire, exact to the microsecond.
type Millis time.Duration

// Duration returns the value as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) }

// MarshalJSON gives milliseconds with up to three decimals.
func (m Millis) MarshalJSON() ([]byte, error) {
	us := time.Duration(m).Microseconds()
	return strconv.AppendFloat(nil, float64(us)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads a number of milliseconds.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var f float64
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	const most = float64(math.MaxInt64) / float64(time.Millisecond)
	if math.Abs(f) >= most {
		return fmt.Errorf("%g ms: the limit is 292 years", f)
	}
	*m = Millis(math.Round(f*1000)) * Millis(time.Microsecond)
	return nil
}

// Event is one entry of a timeline: what happened, to which task, when, and the
// details that belong to its type. It is append-only: an event is never changed
// after it was written. A nil or zero detail was not reported.
//
// In JSON the key type is the event's; it hides the task's own type, which
// whoever shows events puts beside it as task_type.
type Event struct {
	// ID is unique; an event that arrives twice has the same ID both times.
	ID ID `json:"event_id"`
	// SourceID names the spool that wrote the event, SourceSeq counts its events
	// without a gap, from 1. Both are zero for events of foreign SDKs.
	SourceID  string `json:"source_id,omitempty"`
	SourceSeq uint64 `json:"source_seq,omitempty"`

	Type     Type     `json:"type"`
	Severity Severity `json:"severity"`

	Task

	// Run is one pass of the task through the pipeline, from 1.
	Run int `json:"run"`
	// Attempt is one call of the executor within the run, from 1; 0 where the
	// event belongs to none.
	Attempt int `json:"attempt"`
	// Seq counts the events of one run at their agent, from 1; 0 elsewhere.
	Seq uint64 `json:"seq,omitempty"`

	// OccurredAt is the writer's clock, IngestedAt the collector's.
	OccurredAt time.Time `json:"occurred_at"`
	IngestedAt time.Time `json:"ingested_at,omitzero"`

	TraceID TraceID `json:"trace_id,omitzero"`
	SpanID  SpanID  `json:"span_id,omitzero"`

	// Duration is how long the attempt, or for task_completed and task_failed the
	// whole run, took.
	Duration Millis `json:"duration_ms,omitempty"`
	// Attempts is how many attempts the run took (task_completed, task_failed,
	// moved_to_dlq), or how many had begun when its worker fell silent (task_lost).
	Attempts int `json:"attempts,omitempty"`
	// Error is the error of the attempt, or the last one of the run.
	Error *Error `json:"error,omitempty"`
	// Policy is the retry configuration in force (task_started).
	Policy *Policy `json:"policy,omitempty"`
	// Retry is the wait that follows and why (task_retried).
	Retry *Retry `json:"retry,omitempty"`
	// Breaker is the provider's circuit breaker at that moment.
	Breaker *Breaker `json:"breaker,omitempty"`
	// Reason is why the run failed (task_failed, moved_to_dlq).
	Reason FailureReason `json:"failure_reason,omitempty"`
	// DeadLetter names the dead letter an event is about.
	DeadLetter *DeadLetterRef `json:"dead_letter,omitempty"`
	// Operator is who asked for it and why (operators' events, manual retries).
	Operator *Operator `json:"operator,omitempty"`
	// StopProof says how a cancelled task stopped (task_cancelled), that it did not
	// (cancel_ignored), or why an attempt was aborted (attempt_aborted).
	StopProof string `json:"stop_proof,omitempty"`
	// Gap is the range of a tombstone.
	Gap *Gap `json:"gap,omitempty"`
	// Setting is what was set (setting_changed).
	Setting *Setting `json:"setting,omitempty"`
	// Progress is the live progress of task_progress.
	Progress *Progress `json:"progress,omitempty"`
	// Attributes are what the sender wrote beyond the vocabulary.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// ErrorClass says what may be done about an error.
type ErrorClass string

// The classes of errors.
const (
	// ClassRetryable: another attempt may succeed.
	ClassRetryable ErrorClass = "retryable"
	// ClassPermanent: no further attempt can help.
	ClassPermanent ErrorClass = "permanent"
	// ClassAborted: the caller cancelled; no attempt counted, no dead letter.
	ClassAborted ErrorClass = "aborted"
	// ClassDeferred: the breaker is open or a limiter full.
	ClassDeferred ErrorClass = "deferred"
)

// Error is what an attempt failed with.
type Error struct {
	Class ErrorClass `json:"class,omitempty"`
	// Kind is the low-cardinality name of the condition (error.type in
	// OpenTelemetry): http_503, timeout, connection_refused, panic, _OTHER …
	Kind string `json:"kind,omitempty"`
	// Message is the error's text, redacted and cut to [MaxMessageBytes].
	Message string `json:"message,omitempty"`
	// Code is the protocol's own code as text: 503, UNAVAILABLE, 40001.
	Code string `json:"code,omitempty"`
	// HTTPStatus is the response's status code, 0 where there was none.
	HTTPStatus int `json:"http_status,omitempty"`
	// Fingerprint groups errors that are the same but for their values.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Stack is where it happened, where that is known.
	Stack string `json:"stack,omitempty"`
}

// Policy is the retry and breaker configuration in force for a run.
type Policy struct {
	MaxAttempts int     `json:"max_attempts"`
	Base        Millis  `json:"base_ms"`
	Cap         Millis  `json:"max_ms"`
	Factor      float64 `json:"factor"`
	// Jitter is the share of the delay that is drawn on either side, 0.25 for 25 %.
	Jitter float64 `json:"jitter"`
	// Timeout bounds one attempt, 0 for none.
	Timeout Millis `json:"attempt_timeout_ms,omitempty"`
	// The breaker's settings; 0 where no breaker guards the task.
	BreakerFailureRate float64 `json:"breaker_failure_rate,omitempty"`
	BreakerMinCalls    int     `json:"breaker_min_calls,omitempty"`
	BreakerConsecutive int     `json:"breaker_consecutive_failures,omitempty"`
	BreakerOpenFor     Millis  `json:"breaker_open_ms,omitempty"`
}

// RetryReason says why a wait is as long as it is.
type RetryReason string

// The reasons of a wait.
const (
	RetryBackoff        RetryReason = "backoff"
	RetryAfter          RetryReason = "retry_after"
	RetryProviderPaused RetryReason = "provider_paused"
	RetryBudget         RetryReason = "retry_budget"
	RetryManual         RetryReason = "manual"
	RetryAutoRecover    RetryReason = "auto_recover"
	// RetryResumed: a worker shut down or died and another carries on.
	RetryResumed RetryReason = "resumed"
)

// Retry is the decision to try again: when, and why then.
type Retry struct {
	// NextAttempt is the number of the attempt that follows.
	NextAttempt int `json:"next_attempt"`
	// Delay is the wait before it.
	Delay  Millis      `json:"delay_ms"`
	Reason RetryReason `json:"reason"`
	// Base, Factor, Cap and Jitter show the arithmetic of a backoff; Jitter is
	// the factor that was drawn, between 0.75 and 1.25 by default.
	Base   Millis  `json:"base_ms,omitempty"`
	Factor float64 `json:"factor,omitempty"`
	Cap    Millis  `json:"max_ms,omitempty"`
	Jitter float64 `json:"jitter_drawn,omitempty"`
	// CommandID is the command that asked for a manual retry or a recovery.
	CommandID ID `json:"command_id,omitzero"`
}

// BreakerState is the state of a provider's circuit breaker.
type BreakerState string

// The states of a breaker; empty where no breaker guards the task.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
)

// Breaker is a provider's circuit breaker as an event saw it; the counts stand
// on circuit_breaker_opened and say what tripped it.
type Breaker struct {
	Provider string       `json:"provider,omitempty"`
	State    BreakerState `json:"state"`
	// Why is failure_rate, slow_call_rate, consecutive_failures, probe_failed or
	// probe_timeout.
	Why         string    `json:"why,omitempty"`
	Calls       int       `json:"calls,omitempty"`
	Failures    int       `json:"failures,omitempty"`
	SlowCalls   int       `json:"slow_calls,omitempty"`
	Consecutive int       `json:"consecutive_failures,omitempty"`
	OpenUntil   time.Time `json:"open_until,omitzero"`
}

// FailureReason says why a run ended without success.
type FailureReason string

// The reasons a run fails for.
const (
	FailExhausted         FailureReason = "exhausted"
	FailPermanent         FailureReason = "permanent"
	FailCircuitOpen       FailureReason = "circuit_open"
	FailDeadline          FailureReason = "deadline"
	FailPoison            FailureReason = "poison"
	FailRetryAfterTooLong FailureReason = "retry_after_too_long"
	FailRetryBudget       FailureReason = "retry_budget"
	FailLost              FailureReason = "lost"
	FailCancelled         FailureReason = "cancelled"
)

// FailureReasons lists every reason.
func FailureReasons() []FailureReason {
	return []FailureReason{FailExhausted, FailPermanent, FailCircuitOpen, FailDeadline, FailPoison,
		FailRetryAfterTooLong, FailRetryBudget, FailLost, FailCancelled}
}

// Operator is who did something to a task, and why.
type Operator struct {
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
	// CommandID is the command the action became.
	CommandID ID `json:"command_id,omitzero"`
	// InputBefore and InputAfter are SHA-256 hashes of the input where it was
	// edited, hexadecimal.
	InputBefore string `json:"input_sha256_before,omitempty"`
	InputAfter  string `json:"input_sha256_after,omitempty"`
	// InputPatch is the edit itself, an RFC 7386 merge patch on the original input
	// (dlq_retry_requested). It is a payload: readers without that right do not
	// see it.
	InputPatch json.RawMessage `json:"input_patch,omitempty"`
	// InputEdits is how often the input of the run that is asked for was edited,
	// over all retries that led to it; 0 where it is the original.
	InputEdits int `json:"input_edits,omitempty"`
}

// Gap is a range of a source's sequence, both ends included, whose events will
// never arrive, and why: shed, refused, set_aside, corrupt.
type Gap struct {
	From   uint64 `json:"from_seq"`
	To     uint64 `json:"to_seq"`
	Reason string `json:"reason"`
}

// Progress is how far a running attempt says it is.
type Progress struct {
	Done     float64   `json:"done"`
	Total    float64   `json:"total,omitempty"`
	Fraction float64   `json:"fraction"`
	Message  string    `json:"message,omitempty"`
	At       time.Time `json:"at,omitzero"`
}
