package querytest

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Life writes the events of one task, a second apart.
type Life struct {
	Task timeline.Task
	// At is when the next event occurs.
	At time.Time
	// Source is the spool the events come from. Empty means that of foreign SDKs.
	Source string
	// Events are those written so far.
	Events []timeline.Event

	sourceSeq uint64
	seq       map[int]uint64 // by run
	ids       timeline.IDGenerator
}

// NewLife begins the life of a task; nothing has happened yet.
func NewLife(task timeline.Task, at time.Time) *Life {
	if task.Namespace == "" {
		task.Namespace = timeline.DefaultNamespace
	}
	return &Life{Task: task, At: at, Source: "0197b0a0-0000-7000-8000-000000000001"}
}

// Event adds an event and lets change fill in its details.
func (l *Life) Event(kind timeline.Type, run, attempt int, change ...func(*timeline.Event)) *Life {
	if l.seq == nil {
		l.seq = map[int]uint64{}
	}
	l.sourceSeq++
	l.seq[run]++
	e := timeline.Event{
		ID: l.ids.Next(l.At), SourceID: l.Source, SourceSeq: l.sourceSeq, Type: kind, Severity: kind.Severity(), Task: l.Task,
		Run: run, Attempt: attempt, Seq: l.seq[run], OccurredAt: l.At, IngestedAt: l.At.Add(10 * time.Millisecond),
	}
	for _, f := range change {
		f(&e)
	}
	l.At = l.At.Add(time.Second)
	l.Events = append(l.Events, e)
	return l
}

// Started adds task_created, task_started and attempt_started of run 1.
func (l *Life) Started() *Life {
	return l.Event(timeline.TaskCreated, 1, 0).Event(timeline.TaskStarted, 1, 0).Event(timeline.AttemptStarted, 1, 1)
}

// Completed is a whole life without a fault.
func (l *Life) Completed() *Life {
	return l.Started().Event(timeline.AttemptSuccess, 1, 1).Event(timeline.TaskCompleted, 1, 0)
}

// Failed is a whole life that ends as a dead letter, which change may alter.
func (l *Life) Failed(change ...func(*timeline.DeadLetterRef)) *Life {
	failure := &timeline.Error{Class: timeline.ClassPermanent, Kind: "http_404", Message: "no such account 7777", Code: "404", HTTPStatus: 404, Fingerprint: "fp1:0011223344556677"}
	ref := &timeline.DeadLetterRef{ID: timeline.DeadLetterID(l.Task.Namespace, l.Task.ID, 1), AlertSeverity: timeline.AlertHigh, Requeueable: true}
	for _, f := range change {
		f(ref)
	}
	withError := func(e *timeline.Event) { e.Error, e.Reason = failure, timeline.FailPermanent }
	l.Started().Event(timeline.AttemptFailed, 1, 1, func(e *timeline.Event) { e.Error, e.Duration = failure, timeline.Millis(120*time.Millisecond) })
	l.Event(timeline.TaskFailed, 1, 0, withError, func(e *timeline.Event) { e.Attempts = 1 })
	return l.Event(timeline.MovedToDLQ, 1, 0, withError, func(e *timeline.Event) { e.Attempts, e.DeadLetter = 1, ref })
}
