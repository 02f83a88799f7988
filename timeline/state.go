package timeline

import (
	"cmp"
	"time"
)

// State is where a task stands, folded from its events.
type State string

// The states of a task.
const (
	StatePending    State = "pending"
	StateInProgress State = "in_progress"
	// StateRetrying: waiting for the next attempt, or for the run a retry starts.
	StateRetrying  State = "retrying"
	StateCompleted State = "completed"
	StateFailed    State = "failed"
	StateCancelled State = "cancelled"
	// StateLost: its heartbeat is old while in progress and its agent is silent.
	StateLost State = "lost"
)

// States lists every state.
func States() []State {
	return []State{StatePending, StateInProgress, StateRetrying, StateCompleted, StateFailed, StateCancelled, StateLost}
}

// Terminal reports whether nothing more happens by itself.
func (s State) Terminal() bool {
	return s == StateCompleted || s == StateFailed || s == StateCancelled
}

// StateAfter returns the state an event of this type leads to, and "" for types
// that change none.
func (t Type) StateAfter() State {
	switch t {
	case TaskCreated:
		return StatePending
	case TaskStarted, AttemptStarted, AttemptSuccess, AttemptFailed:
		return StateInProgress
	case TaskRetried, AttemptAborted, DLQRetryRequested:
		return StateRetrying
	case TaskCompleted:
		return StateCompleted
	case TaskFailed, MovedToDLQ:
		return StateFailed
	case TaskCancelled:
		return StateCancelled
	case TaskLost:
		return StateLost
	default:
		return ""
	}
}

// CompareState orders events by what decides a state: the run, a terminal event
// before any other, then attempt, sequence and type. Neither clock nor arrival
// takes part. The state of a task is that of its greatest event among those
// whose StateAfter is not empty.
func CompareState(a, b *Event) int {
	return cmp.Or(
		cmp.Compare(a.Run, b.Run),
		compareBool(a.Type.Terminal(), b.Type.Terminal()),
		cmp.Compare(a.Attempt, b.Attempt),
		cmp.Compare(a.Seq, b.Seq),
		cmp.Compare(a.Type, b.Type),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// Snapshot is a task folded from its events.
type Snapshot struct {
	Task
	State   State `json:"state"`
	Run     int   `json:"run"`
	Attempt int   `json:"attempt"`
	// CreatedAt is the earliest event, StartedAt the first attempt of the highest
	// run, UpdatedAt the latest event, EndedAt the end of the highest run.
	CreatedAt time.Time     `json:"created_at"`
	StartedAt time.Time     `json:"started_at,omitzero"`
	UpdatedAt time.Time     `json:"updated_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Duration  Millis        `json:"duration_ms,omitempty"`
	Error     *Error        `json:"error,omitempty"`
	Reason    FailureReason `json:"failure_reason,omitempty"`
	// NextAttemptAt and Waiting say what a retrying task waits for.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	Waiting       *Retry    `json:"waiting,omitempty"`
	Breaker       *Breaker  `json:"breaker,omitempty"`
	TraceID       TraceID   `json:"trace_id,omitzero"`
	// AlertSeverity is how loudly a failure of it calls.
	AlertSeverity AlertSeverity `json:"alert_severity,omitzero"`
	DeadLetterID  ID            `json:"dead_letter_id,omitzero"`
	// CancelRequestedAt is when an operator asked for a stop that has not happened.
	CancelRequestedAt time.Time `json:"cancel_requested_at,omitzero"`
	Progress          *Progress `json:"progress,omitempty"`
}

// Fold returns the snapshot of one task from all its events, in any order and
// with repeats. The second result is false where there is no event.
func Fold(events []Event) (Snapshot, bool) {
	events = Ordered(events)
	if len(events) == 0 {
		return Snapshot{}, false
	}
	var s Snapshot
	var decides *Event
	for i := range events {
		e := &events[i]
		mergeTask(&s.Task, &e.Task)
		if s.CreatedAt.IsZero() || e.OccurredAt.Before(s.CreatedAt) {
			s.CreatedAt = e.OccurredAt
		}
		if e.OccurredAt.After(s.UpdatedAt) {
			s.UpdatedAt = e.OccurredAt
		}
		if e.Type.StateAfter() != "" && (decides == nil || CompareState(e, decides) > 0) {
			decides = e
		}
		s.Run = max(s.Run, e.Run)
	}
	if decides == nil {
		s.State = StatePending
		return s, true
	}
	s.State, s.Run = decides.Type.StateAfter(), decides.Run
	for i := range events {
		if e := &events[i]; e.Run == s.Run {
			s.foldRun(e)
		}
	}
	if !s.State.Terminal() {
		s.EndedAt, s.Duration, s.Reason = time.Time{}, 0, ""
	}
	if s.State != StateRetrying {
		s.Waiting, s.NextAttemptAt = nil, time.Time{}
	}
	if s.State == StateCompleted {
		s.Error = nil
	}
	if s.State.Terminal() {
		s.CancelRequestedAt = time.Time{}
	}
	return s, true
}

// foldRun takes one event of the highest run, in timeline order.
func (s *Snapshot) foldRun(e *Event) {
	s.Attempt = max(s.Attempt, e.Attempt)
	if !e.TraceID.IsZero() {
		s.TraceID = e.TraceID
	}
	if e.Error != nil {
		s.Error = e.Error
	}
	if e.Breaker != nil {
		s.Breaker = e.Breaker
	}
	switch e.Type {
	case AttemptStarted:
		if s.StartedAt.IsZero() {
			s.StartedAt = e.OccurredAt
		}
	case TaskRetried:
		s.Waiting = e.Retry
		if e.Retry != nil {
			s.NextAttemptAt = e.OccurredAt.Add(e.Retry.Delay.Duration())
		}
	case CancelRequested:
		s.CancelRequestedAt = e.OccurredAt
	case MovedToDLQ:
		s.DeadLetterID = DeadLetterID(e.Namespace, e.Task.ID, e.Run)
		if e.DeadLetter != nil {
			s.AlertSeverity = e.DeadLetter.AlertSeverity
		}
		if e.Reason != "" {
			s.Reason = e.Reason
		}
	}
	if e.Type.Terminal() && e.Type != MovedToDLQ {
		s.EndedAt, s.Duration, s.Reason = e.OccurredAt, e.Duration, e.Reason
	}
}

// mergeTask fills what is known of a task from one more of its events: the
// latest word on each field that is not empty.
func mergeTask(into, from *Task) {
	for _, f := range [...]struct{ dst, src *string }{
		{&into.Namespace, &from.Namespace}, {&into.ID, &from.ID}, {&into.Type, &from.Type}, {&into.Queue, &from.Queue},
		{&into.Runner, &from.Runner}, {&into.Agent, &from.Agent}, {&into.Provider, &from.Provider},
		{&into.UserID, &from.UserID}, {&into.Amount, &from.Amount}, {&into.Currency, &from.Currency},
	} {
		if *f.src != "" {
			*f.dst = *f.src
		}
	}
	if len(from.Input) > 0 {
		into.Input = from.Input
	}
	if len(from.Output) > 0 {
		into.Output = from.Output
	}
	if len(from.Metadata) > 0 {
		into.Metadata = from.Metadata
	}
	if from.MaxAttempts > 0 {
		into.MaxAttempts = from.MaxAttempts
	}
}
