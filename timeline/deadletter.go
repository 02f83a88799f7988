package timeline

import (
	"strconv"
	"time"
)

// DeadLetterStatus is what became of a dead letter.
type DeadLetterStatus string

// The statuses of a dead letter.
const (
	DeadLetterPending    DeadLetterStatus = "pending"
	DeadLetterRetrying   DeadLetterStatus = "retrying"
	DeadLetterResolved   DeadLetterStatus = "resolved"
	DeadLetterSuperseded DeadLetterStatus = "superseded"
	DeadLetterDiscarded  DeadLetterStatus = "discarded"
)

// DeadLetterRef is what an event says of a dead letter.
type DeadLetterRef struct {
	ID ID `json:"id"`
	// AlertSeverity is how loudly its failure calls (moved_to_dlq).
	AlertSeverity AlertSeverity `json:"alert_severity,omitzero"`
	// Requeueable: the writer of the event owns the re-enqueue, so that a retry
	// can reach a runner.
	Requeueable bool `json:"requeueable,omitempty"`
	// AutoRecover: a closing breaker retries it without being asked.
	AutoRecover bool `json:"auto_recover,omitempty"`
	// NotReplayable says why the original input is not to be had; empty where it is.
	NotReplayable string `json:"not_replayable,omitempty"`
	// KeptInput: what is stored of the input was redacted or cut, and the original is
	// with the task's runner.
	KeptInput bool `json:"kept_input,omitempty"`
	// Sealed is the original input, encrypted for agents, where what is stored was
	// redacted or cut.
	Sealed []byte `json:"sealed,omitempty"`
	// SourceID is the source that holds the task, where only that one can start
	// its next run (dlq_retry_requested).
	SourceID string `json:"source_id,omitempty"`
}

// DeadLetterID is the id of the dead letter of one run.
func DeadLetterID(namespace, taskID string, run int) ID {
	return DeriveID("dead_letter", namespace, taskID, strconv.Itoa(run))
}

// DerivedEventID is the id of an event that several parties may write.
func DerivedEventID(namespace, taskID string, run, attempt int, t Type) ID {
	return DeriveID("event", namespace, taskID, strconv.Itoa(run), strconv.Itoa(attempt), t.String())
}

// CommandID is the id of the command that starts a run: the same for everybody
// who asks for it, so that one request wins.
func CommandID(namespace, taskID string, run int) ID {
	return DeriveID("retry", namespace, taskID, strconv.Itoa(run))
}

// DeadLetter is the full context of a run that could not be saved, folded from
// its task's timeline.
type DeadLetter struct {
	ID     ID               `json:"id"`
	Status DeadLetterStatus `json:"status"`
	Task
	Run           int           `json:"run"`
	Reason        FailureReason `json:"reason"`
	AlertSeverity AlertSeverity `json:"alert_severity"`
	// Error is the last error of the run; Attempts every attempt of it.
	Error    *Error    `json:"error,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
	Breaker  *Breaker  `json:"breaker,omitempty"`
	TraceID  TraceID   `json:"trace_id,omitzero"`
	// CreatedAt is when the run was moved to the dead letters.
	CreatedAt time.Time `json:"created_at"`
	// UpdatedAt is when the status last changed.
	UpdatedAt time.Time `json:"updated_at"`
	// NextRun is the run that retries it, 0 where none was asked for.
	NextRun int `json:"next_run,omitempty"`
	// SupersededBy is the dead letter of the later run that failed too.
	SupersededBy ID   `json:"superseded_by,omitzero"`
	Replayable   bool `json:"replayable"`
	// NotReplayable says why not.
	NotReplayable string `json:"not_replayable,omitempty"`
	Requeueable   bool   `json:"requeueable"`
	AutoRecover   bool   `json:"auto_recover,omitempty"`
	// KeptInput: the original input is with the task's runner alone.
	KeptInput bool   `json:"kept_input,omitempty"`
	Sealed    []byte `json:"-"`
}

// FoldDeadLetters returns the dead letters of one task, by rising run, from all
// events of the task in any order. An event that stands there twice counts once.
func FoldDeadLetters(events []Event) []DeadLetter {
	events = Ordered(events)
	var letters []DeadLetter
	at := map[int]int{} // run → index in letters
	for i := range events {
		e := &events[i]
		if e.Type != MovedToDLQ {
			continue
		}
		if _, seen := at[e.Run]; seen {
			continue
		}
		d := DeadLetter{
			ID: DeadLetterID(e.Namespace, e.Task.ID, e.Run), Status: DeadLetterPending, Task: e.Task, Run: e.Run,
			Reason: e.Reason, Error: e.Error, Breaker: e.Breaker, TraceID: e.TraceID,
			CreatedAt: e.OccurredAt, UpdatedAt: e.OccurredAt, Replayable: true,
		}
		if r := e.DeadLetter; r != nil {
			d.AlertSeverity, d.Requeueable, d.AutoRecover = r.AlertSeverity, r.Requeueable, r.AutoRecover
			d.NotReplayable, d.KeptInput, d.Sealed = r.NotReplayable, r.KeptInput, r.Sealed
			d.Replayable = r.NotReplayable == ""
		}
		at[e.Run] = len(letters)
		letters = append(letters, d)
	}
	if len(letters) == 0 {
		return nil
	}
	for _, a := range FoldAttempts(events) {
		if i, ok := at[a.Run]; ok {
			letters[i].Attempts = append(letters[i].Attempts, a)
		}
	}
	for i := range letters {
		letters[i].complete(events)
		foldLetterStatus(&letters[i], events)
	}
	return letters
}

// complete fills in what earlier events of the run know and the moved_to_dlq did
// not say again. events are in timeline order.
func (d *DeadLetter) complete(events []Event) {
	said := d.Task
	d.Task = Task{}
	for i := range events {
		e := &events[i]
		if e.Run > d.Run {
			break
		}
		mergeTask(&d.Task, &e.Task)
		if e.Run != d.Run {
			continue
		}
		if d.Error == nil && e.Type == TaskFailed {
			d.Error = e.Error
		}
		if d.Reason == "" && e.Type == TaskFailed {
			d.Reason = e.Reason
		}
	}
	mergeTask(&d.Task, &said)
	if d.Error == nil {
		for i := len(d.Attempts) - 1; i >= 0 && d.Error == nil; i-- {
			d.Error = d.Attempts[i].Error
		}
	}
	if d.Breaker == nil && len(d.Attempts) > 0 {
		d.Breaker = d.Attempts[len(d.Attempts)-1].Breaker
	}
}

// foldLetterStatus follows what later runs and operators did to a dead letter.
// events are in timeline order.
func foldLetterStatus(d *DeadLetter, events []Event) {
	for i := range events {
		e := &events[i]
		about := e.DeadLetter != nil && e.DeadLetter.ID == d.ID
		if e.Type == MovedToDLQ && e.Run == d.Run {
			continue
		}
		set := func(s DeadLetterStatus) {
			if d.Status == s || d.Status == DeadLetterDiscarded || d.Status == DeadLetterResolved {
				return
			}
			d.Status, d.UpdatedAt = s, e.OccurredAt
		}
		switch {
		case e.Type == DLQDiscarded && about:
			set(DeadLetterDiscarded)
		case e.Type == DLQResolved && about:
			set(DeadLetterResolved)
		case e.Type == TaskCompleted && e.Run >= d.Run:
			// A later run saved it, or this very run did after it was given up as lost.
			set(DeadLetterResolved)
		case e.Run <= d.Run:
		case e.Type == DLQRetryRequested, e.Type == TaskRetried && e.Attempt == 0, e.Type == TaskStarted:
			if d.Status == DeadLetterPending || d.Status == DeadLetterRetrying {
				set(DeadLetterRetrying)
				d.NextRun = e.Run
			}
		case e.Type == MovedToDLQ:
			if d.Status != DeadLetterSuperseded {
				set(DeadLetterSuperseded)
				d.SupersededBy = DeadLetterID(e.Namespace, e.Task.ID, e.Run)
			}
		case (e.Type == TaskFailed && e.Attempts == 0) || e.Type == TaskCancelled:
			// No attempt was made, or the retry was cancelled: nothing changed for the letter.
			if d.Status == DeadLetterRetrying {
				set(DeadLetterPending)
				d.NextRun = 0
			}
		}
	}
}
