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
// whose StateAfter is not empty. It reads Type, Run, Attempt, Attempts and Seq.
func CompareState(a, b *Event) int {
	return cmp.Or(
		cmp.Compare(a.Run, b.Run),
		compareBool(a.Type.Terminal(), b.Type.Terminal()),
		cmp.Compare(stateAttempt(a), stateAttempt(b)),
		cmp.Compare(statePhase(a), statePhase(b)),
		cmp.Compare(a.Seq, b.Seq),
		cmp.Compare(a.Type, b.Type),
	)
}

// stateAttempt is the attempt an event speaks of. A task_lost belongs to no
// attempt, but says how many had begun: a later one shows that the task lives.
func stateAttempt(e *Event) int {
	if e.Type == TaskLost && e.Attempt == 0 {
		return e.Attempts
	}
	return e.Attempt
}

// statePhase places within an attempt what its agent did not count: a request
// comes before all of it, a loss after its start and before its outcome, which
// shows that the worker lived. Among the agent's own events it follows the
// sequence.
func statePhase(e *Event) int {
	switch e.Type {
	case TaskCreated, DLQRetryRequested:
		return 0
	case TaskLost:
		return 2
	case AttemptSuccess, AttemptFailed, AttemptAborted:
		return 3
	case TaskRetried:
		if e.Attempt > 0 {
			return 3
		}
	}
	return 1
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
	// RetryRequestedAt is since when an accepted retry waits for somebody to take it.
	RetryRequestedAt time.Time `json:"retry_requested_at,omitzero"`
	// CancelRequestedAt is when an operator asked for a stop that has not happened.
	CancelRequestedAt time.Time `json:"cancel_requested_at,omitzero"`
	// CancelIgnoredAt is since when it is known that the handler does not look at it.
	CancelIgnoredAt time.Time `json:"cancel_ignored_at,omitzero"`
	Progress        *Progress `json:"progress,omitempty"`
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
	var end *Event // the terminal event that says how the run ended
	for i := range events {
		e := &events[i]
		if e.Run != s.Run {
			continue
		}
		s.foldRun(e)
		if e.Type.Terminal() && e.Type != MovedToDLQ && e.Type.StateAfter() == s.State && (end == nil || CompareState(e, end) > 0) {
			end = e
		}
	}
	if end != nil {
		s.EndedAt, s.Duration = end.OccurredAt, end.Duration
		if end.Reason != "" {
			s.Reason = end.Reason
		}
	}
	s.settle(decides)
	return s, true
}

// settle drops what the events of the run told and its state makes void: they
// may have come from two sides, one of which gave the task up too early.
func (s *Snapshot) settle(decides *Event) {
	if s.State != StateFailed {
		s.Reason = ""
	}
	if s.State != StateFailed && s.State != StateCancelled {
		s.DeadLetterID, s.AlertSeverity = ID{}, AlertNone
	}
	if s.State == StateCompleted {
		s.Error = nil
	}
	if s.State.Terminal() {
		s.CancelRequestedAt, s.CancelIgnoredAt = time.Time{}, time.Time{}
	}
	if s.State == StateRetrying && decides.Type == DLQRetryRequested {
		s.RetryRequestedAt = decides.OccurredAt
	}
	if s.State == StateRetrying && decides.Type == TaskRetried && decides.Retry != nil {
		s.Waiting, s.NextAttemptAt = decides.Retry, decides.OccurredAt.Add(decides.Retry.Delay.Duration())
	}
}

// foldRun takes one event of the highest run, in timeline order.
func (s *Snapshot) foldRun(e *Event) {
	s.Attempt = max(s.Attempt, e.Attempt)
	if !e.TraceID.IsZero() && e.Type != DLQRetryRequested { // which names the trace of the run before
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
	case CancelRequested:
		s.CancelRequestedAt, s.CancelIgnoredAt = e.OccurredAt, time.Time{}
	case CancelIgnored:
		s.CancelIgnoredAt = e.OccurredAt
	case MovedToDLQ:
		s.DeadLetterID = DeadLetterID(e.Namespace, e.Task.ID, e.Run)
		if e.DeadLetter != nil {
			s.AlertSeverity = e.DeadLetter.AlertSeverity
		}
		s.Reason = e.Reason
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
