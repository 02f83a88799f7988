package readmodel

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Matches reports whether a filter selects a task. The events are the task's, for
// the traces of its earlier runs; without them the snapshot's own counts.
func (f *TaskFilter) Matches(t *timeline.Snapshot, events []timeline.Event) bool {
	return among(f.States, t.State) && (!f.Active || !t.State.Terminal()) &&
		among(f.Types, t.Type) && among(f.Queues, t.Queue) && among(f.Agents, t.Agent) && among(f.Providers, t.Provider) &&
		among(f.Runners, t.Runner) && (f.UserID == "" || f.UserID == t.UserID) &&
		(f.PaymentReference == "" || f.PaymentReference == t.Metadata[timeline.PaymentReference]) &&
		among(f.Severities, t.AlertSeverity) && among(f.Reasons, t.Reason) && among(f.Fingerprints, fingerprint(t.Error)) &&
		(f.TraceID.IsZero() || f.TraceID == t.TraceID ||
			slices.ContainsFunc(events, func(e timeline.Event) bool { return e.TraceID == f.TraceID })) &&
		(f.Text == "" || contains(t.ID, f.Text) || contains(t.Type, f.Text) || contains(message(t.Error), f.Text)) &&
		(f.ErrorText == "" || contains(message(t.Error), f.ErrorText)) &&
		t.Attempt >= f.MinAttempts && lasted(f.MinDuration, f.MaxDuration, t.Duration.Duration(), t.State.Terminal()) &&
		f.Created.Contains(t.CreatedAt) && f.Updated.Contains(t.UpdatedAt)
}

// Matches reports whether a filter selects a dead letter.
func (f *DeadLetterFilter) Matches(d *timeline.DeadLetter) bool {
	var longest timeline.Millis
	traced := f.TraceID.IsZero() || f.TraceID == d.TraceID
	for i := range d.Attempts {
		longest = max(longest, d.Attempts[i].Duration)
		traced = traced || d.Attempts[i].TraceID == f.TraceID
	}
	return traced && oneOf(f.IDs, d.ID) && among(f.TaskIDs, d.Task.ID) && among(f.Statuses, d.Status) && among(f.Severities, d.AlertSeverity) && among(f.Reasons, d.Reason) &&
		among(f.Types, d.Type) && among(f.Queues, d.Queue) && among(f.Agents, d.Agent) && among(f.Providers, d.Provider) &&
		among(f.Fingerprints, fingerprint(d.Error)) && (f.UserID == "" || f.UserID == d.UserID) && (f.TaskID == "" || f.TaskID == d.Task.ID) &&
		(f.Text == "" || contains(message(d.Error), f.Text)) && len(d.Attempts) >= f.MinAttempts &&
		lasted(f.MinDuration, f.MaxDuration, longest.Duration(), len(d.Attempts) > 0) && f.Created.Contains(d.CreatedAt)
}

// Selects reports whether a filter selects a failure.
func (f *ErrorFilter) Selects(fingerprint string, at time.Time) bool {
	return f.Seen.Contains(at) && (f.Among == nil || slices.Contains(f.Among, fingerprint)) && !slices.Contains(f.Without, fingerprint)
}

// Contains reports whether a time lies within the range.
func (r Range) Contains(t time.Time) bool {
	return (r.From.IsZero() || !t.Before(r.From)) && (r.To.IsZero() || t.Before(r.To))
}

func among[T cmp.Ordered](allowed []T, v T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, v)
}

func lasted(least, most, took time.Duration, known bool) bool {
	return (least == 0 && most == 0) || (known && took >= least && (most == 0 || took <= most))
}

// contains ignores case.
func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

func message(e *timeline.Error) string {
	if e == nil {
		return ""
	}
	return e.Message
}

func fingerprint(e *timeline.Error) string {
	if e == nil {
		return ""
	}
	return e.Fingerprint
}
