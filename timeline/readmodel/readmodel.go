// Package readmodel names what readers of the timeline ask for and what they
// get: filters, pages, health. The store answers in these words and the query
// service asks in them, so that neither has to know the other.
//
// It holds shapes, and what a filter means, alone: no SQL, no HTTP, no defaults of
// a route. The folds behind the answers are those of package timeline.
package readmodel

import (
	"errors"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// ErrNotFound: the namespace holds no such task or dead letter, or it belongs to
// a user the scope excludes.
var ErrNotFound = errors.New("not found")

// Scope is what a reader may see: one namespace, and in it one user's tasks or
// everybody's. It comes from the token, never from the request.
type Scope struct {
	Namespace string
	// UserID restricts to one user's tasks; empty for all of the namespace.
	UserID string
}

// Range is a half-open interval of time; a zero end is open.
type Range struct {
	From, To time.Time
}

// Page asks for a part of a list. Rows come newest first unless the list says
// otherwise.
type Page struct {
	// Limit is how many rows, 1 to 200.
	Limit int
	// After is the position behind which the page begins; nil for the first page.
	After *Position
	// Backwards asks for the rows just before After instead; they too come in the
	// list's order.
	Backwards bool
}

// Position is a place in a list: the sort time and the id that breaks ties.
type Position struct {
	At time.Time
	ID string
}

// List is a page of rows. Next is the position of its last row, to go on from,
// nil at the end of the list; Prev that of its first row, to go back from, nil
// at the beginning.
type List[T any] struct {
	Rows []T
	Next *Position
	Prev *Position
}

// TaskFilter selects tasks; empty fields select all. Values within one field are
// alternatives.
type TaskFilter struct {
	States    []timeline.State
	Types     []string
	Queues    []string
	Agents    []string
	Providers []string
	Runners   []string
	UserID    string
	// TraceID is one of the task's traces: a run has a trace of its own.
	TraceID timeline.TraceID
	// PaymentReference is what the task's metadata say under
	// [timeline.PaymentReference]: the tasks of one payment share it.
	PaymentReference string
	// Active selects pending, in progress, retrying and lost tasks.
	Active bool
	// Severities, Reasons and Fingerprints are how loudly the failure calls, why
	// the task failed, and the fingerprint of its latest error.
	Severities   []timeline.AlertSeverity
	Reasons      []timeline.FailureReason
	Fingerprints []string
	// Text is looked for in the id, the type and the error's message, ErrorText in
	// the error's message alone; both in any case.
	Text      string
	ErrorText string
	// MinAttempts is of the highest run. MinDuration and MaxDuration, both included,
	// bound how long an ended run took; zero bounds nothing.
	MinAttempts int
	MinDuration time.Duration
	MaxDuration time.Duration
	// Created bounds when the task's first event occurred, Updated its latest.
	Created Range
	Updated Range
}

// DeadLetterFilter selects dead letters; empty fields select all.
type DeadLetterFilter struct {
	// IDs are the dead letters' own, TaskIDs those of their tasks; whoever knows both
	// gives both, which is found sooner.
	IDs          []timeline.ID
	TaskIDs      []string
	Statuses     []timeline.DeadLetterStatus
	Severities   []timeline.AlertSeverity
	Reasons      []timeline.FailureReason
	Types        []string
	Queues       []string
	Agents       []string
	Providers    []string
	Fingerprints []string
	UserID       string
	TaskID       string
	// TraceID is a trace of the run or of one of its attempts.
	TraceID timeline.TraceID
	// Text is looked for in the error's message, in any case.
	Text string
	// MinAttempts is how many attempts the run made at least. MinDuration and
	// MaxDuration, both included, bound its longest attempt; zero bounds nothing.
	MinAttempts int
	MinDuration time.Duration
	MaxDuration time.Duration
	Created     Range
}

// ErrorFilter selects failures, by when they happened and by their fingerprints.
type ErrorFilter struct {
	Seen Range
	// Among are the only fingerprints to look at, nil for all; Without are left out.
	Among   []string
	Without []string
}

// QueueDepth is how much waits in one queue.
type QueueDepth struct {
	Queue string `json:"queue"`
	// Pending waits for its first attempt, Retrying for another one.
	Pending    int64 `json:"pending"`
	InProgress int64 `json:"in_progress"`
	Retrying   int64 `json:"retrying"`
	// OldestPendingAt is when the oldest pending task was created.
	OldestPendingAt time.Time `json:"oldest_pending_at,omitzero"`
}

// ActiveBreaker is a breaker that is not closed, as its last event left it.
type ActiveBreaker struct {
	Provider string                `json:"provider"`
	SourceID string                `json:"source_id,omitempty"`
	State    timeline.BreakerState `json:"state"`
	Since    time.Time             `json:"since"`
	// OpenUntil is when the breaker lets a probe through.
	OpenUntil time.Time `json:"open_until,omitzero"`
	Why       string    `json:"why,omitempty"`
	Calls     int       `json:"calls,omitempty"`
	Failures  int       `json:"failures,omitempty"`
}

// ExecutionTime is the distribution of the durations of attempts that ended
// within the window; all zero where there were none.
type ExecutionTime struct {
	Count   int64           `json:"count"`
	Average timeline.Millis `json:"average_ms"`
	P50     timeline.Millis `json:"p50_ms"`
	P95     timeline.Millis `json:"p95_ms"`
	P99     timeline.Millis `json:"p99_ms"`
}

// Health is how a namespace does.
type Health struct {
	Window      timeline.Millis `json:"window_ms"`
	GeneratedAt time.Time       `json:"generated_at"`
	// QueueDepth is how many tasks wait or run, over all queues.
	QueueDepth int64        `json:"queue_depth"`
	Queues     []QueueDepth `json:"queues"`
	// Tasks counts tasks by state: those that are not terminal as they stand, the
	// terminal ones that ended within the window.
	Tasks map[timeline.State]int64 `json:"tasks"`
	// FailureRate is failed / (failed + completed) runs within the window, 0..1.
	FailureRate float64       `json:"failure_rate"`
	Completed   int64         `json:"completed_runs"`
	Failed      int64         `json:"failed_runs"`
	Execution   ExecutionTime `json:"execution_time"`
	// ActiveBreakers are open or half open.
	ActiveBreakers []ActiveBreaker `json:"active_circuit_breakers"`
	// DeadLetters counts the pending ones; OldestDeadLetterAt is the oldest.
	DeadLetters        int64     `json:"dead_letter_depth"`
	OldestDeadLetterAt time.Time `json:"oldest_dead_letter_at,omitzero"`
	Lost               int64     `json:"lost_tasks"`
	// WaitingRetries are accepted retries that nobody has taken yet, the oldest asked
	// for at OldestWaitingRetryAt.
	WaitingRetries       int64     `json:"waiting_retries"`
	OldestWaitingRetryAt time.Time `json:"oldest_waiting_retry_at,omitzero"`
	// IngestLag is how old the newest accepted and not yet readable event is.
	IngestLag timeline.Millis `json:"ingest_lag_ms"`
	// Stale says what could not be read or is old, empty where all is current.
	Stale string `json:"stale,omitempty"`
}

// ErrorGroup is the failures that share a fingerprint.
type ErrorGroup struct {
	Fingerprint string         `json:"fingerprint"`
	Count       int64          `json:"count"`
	DeadLetters int64          `json:"dead_letters"`
	FirstSeen   time.Time      `json:"first_seen"`
	LastSeen    time.Time      `json:"last_seen"`
	Types       []string       `json:"types"`
	Queues      []string       `json:"queues"`
	Sample      timeline.Error `json:"sample"`
	SampleTask  string         `json:"sample_task_id"`
	// Counts are the failed attempts in as many equal parts of the time asked for,
	// oldest first; the first part begins at CountsFrom and each lasts CountsStep.
	Counts     []int64         `json:"counts,omitempty"`
	CountsFrom time.Time       `json:"counts_from,omitzero"`
	CountsStep timeline.Millis `json:"counts_step_ms,omitempty"`
	// ByType are the same failures by type and queue, the most first.
	ByType []ErrorCount `json:"by_type,omitempty"`
}

// ErrorBuckets is how many parts the counts of an error group have.
const ErrorBuckets = 24

// ErrorCount is an error group's share in one type and queue.
type ErrorCount struct {
	Type        string `json:"type"`
	Queue       string `json:"queue"`
	Count       int64  `json:"count"`
	DeadLetters int64  `json:"dead_letters"`
}
