package timeline

import "fmt"

// Type says what an event reports. Its text form is the snake_case name that
// stands on the wire, in ClickHouse and in the API; the numbers are not stable
// and never leave the process.
type Type uint8

// The ten types of the contract, and beside them those that put every other
// state change and recovery on record.
const (
	// TypeUnknown is the zero value; no stored event has it.
	TypeUnknown Type = iota

	// TaskCreated: the task exists. May be written by the side that enqueues and
	// by the agent that sees the task first; readers show the earliest.
	TaskCreated
	// DLQRetryRequested: an operator asked for a dead letter's retry; it stands
	// in the run that the retry starts.
	DLQRetryRequested
	// TaskStarted opens a run and carries the policy in force.
	TaskStarted
	// AttemptStarted: the executor is called.
	AttemptStarted
	// AttemptSuccess: the executor returned without an error.
	AttemptSuccess
	// AttemptFailed carries the error of one attempt.
	AttemptFailed
	// AttemptAborted: the attempt was stopped by us or by the caller; it does
	// not count towards max_attempts.
	AttemptAborted
	// TaskRetried: another attempt, or another run, will follow; carries the
	// delay and why it is that long.
	TaskRetried
	// CircuitBreakerOpened stands on the task whose outcome tripped the breaker.
	CircuitBreakerOpened
	// CircuitBreakerHalfOpened stands on the task that probes.
	CircuitBreakerHalfOpened
	// CircuitBreakerClosed stands on the task whose probe succeeded.
	CircuitBreakerClosed
	// CancelRequested: an operator asked for the task to stop.
	CancelRequested
	// CancelIgnored: the handler of a cancelled task still runs after the time it
	// had to look at its context. The run goes on; what it comes to follows.
	CancelIgnored
	// TaskLost: heartbeats stopped and the agent is silent altogether.
	TaskLost
	// TaskFailed ends a run without success; carries the reason.
	TaskFailed
	// MovedToDLQ: the run's dead letter is on record.
	MovedToDLQ
	// TaskCompleted ends a run with success.
	TaskCompleted
	// TaskCancelled ends a run that was stopped on request.
	TaskCancelled
	// DLQResolved: a later run completed what the dead letter stood for.
	DLQResolved
	// DLQDiscarded: an operator gave the dead letter up.
	DLQDiscarded

	// Tombstone stands for events of a source that will never arrive (shed,
	// refused or set aside); it carries their range and belongs to no task.
	Tombstone
	// SettingChanged: an operator set something (a silence, a channel, a bulk
	// action …); it carries one version of it and belongs to no task.
	SettingChanged

	// TaskProgress and TaskHeartbeat are live data: published, never stored.
	TaskProgress
	TaskHeartbeat

	numTypes
)

var typeNames = [numTypes]string{
	TypeUnknown:              "unknown",
	TaskCreated:              "task_created",
	DLQRetryRequested:        "dlq_retry_requested",
	TaskStarted:              "task_started",
	AttemptStarted:           "attempt_started",
	AttemptSuccess:           "attempt_success",
	AttemptFailed:            "attempt_failed",
	AttemptAborted:           "attempt_aborted",
	TaskRetried:              "task_retried",
	CircuitBreakerOpened:     "circuit_breaker_opened",
	CircuitBreakerHalfOpened: "circuit_breaker_half_opened",
	CircuitBreakerClosed:     "circuit_breaker_closed",
	CancelRequested:          "cancel_requested",
	CancelIgnored:            "cancel_ignored",
	TaskLost:                 "task_lost",
	TaskFailed:               "task_failed",
	MovedToDLQ:               "moved_to_dlq",
	TaskCompleted:            "task_completed",
	TaskCancelled:            "task_cancelled",
	DLQResolved:              "dlq_resolved",
	DLQDiscarded:             "dlq_discarded",
	Tombstone:                "tombstone",
	SettingChanged:           "setting_changed",
	TaskProgress:             "task_progress",
	TaskHeartbeat:            "task_heartbeat",
}

// Types lists every type that is stored, in the order of the vocabulary.
func Types() []Type {
	all := make([]Type, 0, SettingChanged)
	for t := TaskCreated; t <= SettingChanged; t++ {
		all = append(all, t)
	}
	return all
}

// String returns the snake_case name.
func (t Type) String() string {
	if t < numTypes {
		return typeNames[t]
	}
	return typeNames[TypeUnknown]
}

// ParseType reads a snake_case name.
func ParseType(s string) (Type, bool) {
	t, ok := typesByName[s]
	return t, ok
}

// ParseTypeBytes is [ParseType] for a name in a buffer; it does not allocate.
func ParseTypeBytes(b []byte) (Type, bool) {
	switch string(b) { // the events of most tasks: quicker than the map
	case "task_created":
		return TaskCreated, true
	case "task_started":
		return TaskStarted, true
	case "attempt_started":
		return AttemptStarted, true
	case "attempt_success":
		return AttemptSuccess, true
	case "task_completed":
		return TaskCompleted, true
	}
	t, ok := typesByName[string(b)]
	return t, ok
}

var typesByName = func() map[string]Type {
	m := make(map[string]Type, numTypes)
	for t := TaskCreated; t < numTypes; t++ {
		m[typeNames[t]] = t
	}
	return m
}()

// MarshalText gives the snake_case name.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a snake_case name; an unknown one is an error.
func (t *Type) UnmarshalText(b []byte) error {
	v, ok := ParseTypeBytes(b)
	if !ok {
		return fmt.Errorf("event type %.64q is not known", b)
	}
	*t = v
	return nil
}

// Rank is the place of the type in a timeline's order, used where neither time
// nor sequence decides. It rises from task_created to dlq_discarded.
func (t Type) Rank() int { return int(t) }

// Severity is the fixed severity of events of this type.
func (t Type) Severity() Severity {
	switch t {
	case AttemptFailed, TaskFailed, TaskLost:
		return SeverityError
	case MovedToDLQ, TaskCancelled, AttemptAborted, CancelIgnored, DLQDiscarded, Tombstone:
		return SeverityWarning
	case CircuitBreakerOpened:
		return SeverityCritical
	default:
		return SeverityInfo
	}
}

// Terminal reports whether the event ends its run.
func (t Type) Terminal() bool {
	return t == TaskFailed || t == TaskCompleted || t == TaskCancelled || t == MovedToDLQ
}

// OfTask reports whether events of the type belong to a task; the others name
// none.
func (t Type) OfTask() bool { return t != TypeUnknown && t != Tombstone && t != SettingChanged }

// Live reports whether the type is live data, which is published but neither
// spooled nor stored.
func (t Type) Live() bool { return t == TaskProgress || t == TaskHeartbeat }
