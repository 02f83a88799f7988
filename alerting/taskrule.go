package alerting

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// maxRuns bounds the runs that are remembered of one task; of more, only those
// above the highest are new.
const maxRuns = 64

// taskEntry is a task that went to the dead letters, or whose retry completed.
type taskEntry struct {
	Namespace string `json:"namespace"`
	TaskID    string `json:"task_id"`
	// Runs are those that went to the dead letters, rising.
	Runs []int `json:"runs,omitempty"`
	// Recoveries are the runs that a closing breaker opened, rising.
	Recoveries []int `json:"recoveries,omitempty"`
	// Closed is the highest run that completed, or whose dead letter was discarded:
	// failures up to it call nobody.
	Closed int `json:"closed,omitempty"`
	// First is when the task was first moved to the dead letters and waited for its
	// breaker.
	First time.Time `json:"first,omitzero"`
	// Due is when the wait ends, zero where nothing waits.
	Due time.Time `json:"due,omitzero"`
	// Draft is the alert that is raised then.
	Draft *timeline.Alert `json:"draft,omitempty"`
	// UpdatedAt is the time of the latest event.
	UpdatedAt time.Time `json:"updated_at"`
}

func (t *taskEntry) last() int {
	if len(t.Runs) == 0 {
		return 0
	}
	return t.Runs[len(t.Runs)-1]
}

// over reports whether the task calls nobody and waits for nothing.
func (t *taskEntry) over() bool { return t.Closed >= t.last() && t.Due.IsZero() }

// copy is changed and put back whole, so that the record and the state are one.
func (t *taskEntry) copy() *taskEntry {
	c := *t
	c.Runs, c.Recoveries = slices.Clone(t.Runs), slices.Clone(t.Recoveries)
	return &c
}

// taskFailed raises one alert for each task whose ways of recovery are used up,
// updates it when a later run fails too, and resolves it when a run completes or
// an operator discards the dead letter. A task that waits for its provider's
// breaker is given its recoveries first: the breaker's own alert stands for it.
type taskFailed struct {
	severities rule.Severities
	wait       time.Duration
	recoveries int

	key []byte
}

func (f *taskFailed) wants(s *state, r *wire.Record) bool {
	switch r.Type {
	case timeline.MovedToDLQ:
		return true
	case timeline.TaskCompleted:
		// A retry's completion is remembered even where its failure was not seen yet:
		// over another collector it may come later.
		return r.Run > 1 || f.known(s, r)
	case timeline.TaskRetried, timeline.DLQDiscarded:
		return f.known(s, r)
	}
	return false
}

func (f *taskFailed) known(s *state, r *wire.Record) bool {
	f.key = append(append(append(f.key[:0], r.Namespace...), 0), r.TaskID...)
	_, ok := s.tasks[taskKey(f.key)]
	return ok
}

func (f *taskFailed) observe(s *state, e *timeline.Event, now time.Time) []timeline.Alert {
	t := s.tasks[keyOf(e.Namespace, e.Task.ID)]
	if t == nil {
		t = &taskEntry{Namespace: e.Namespace, TaskID: e.Task.ID}
	}
	t = t.copy()
	if e.OccurredAt.After(t.UpdatedAt) {
		t.UpdatedAt = e.OccurredAt
	}
	switch e.Type {
	case timeline.MovedToDLQ:
		return f.failed(s, t, e, now)
	case timeline.TaskCompleted:
		return f.closed(s, t, e, e.Run, "completed in run "+fmt.Sprint(e.Run))
	case timeline.DLQDiscarded:
		text := "the dead letter was discarded"
		if e.Operator != nil && e.Operator.Actor != "" {
			text += " by " + e.Operator.Actor
		}
		for _, run := range t.Runs {
			if e.DeadLetter != nil && e.DeadLetter.ID == timeline.DeadLetterID(e.Namespace, e.Task.ID, run) {
				return f.closed(s, t, e, run, text)
			}
		}
	case timeline.TaskRetried:
		if e.Attempt == 0 && e.Retry != nil && e.Retry.Reason == timeline.RetryAutoRecover && insert(&t.Recoveries, e.Run) {
			s.put(record{Task: t})
		}
	}
	return nil
}

// insert adds a run to a rising, bounded list, and reports whether it is new.
func insert(runs *[]int, run int) bool {
	i, found := slices.BinarySearch(*runs, run)
	if found || len(*runs) >= maxRuns && i == 0 {
		return false
	}
	*runs = slices.Insert(*runs, i, run)
	if len(*runs) > maxRuns {
		*runs = (*runs)[1:]
	}
	return true
}

func (f *taskFailed) failed(s *state, t *taskEntry, e *timeline.Event, now time.Time) []timeline.Alert {
	// A cancelled task has a dead letter so that it can be retried; nobody is to be
	// woken for it.
	if e.Reason == timeline.FailCancelled || e.Run <= t.Closed || !insert(&t.Runs, e.Run) {
		return nil
	}
	alert := f.alert(t, e)
	if a := s.alerts[alert.ID]; a != nil && a.State == timeline.AlertFiring {
		if e.Run < a.Run {
			alert = *a // an earlier run that is heard of late adds to the count alone
			alert.Runs = len(t.Runs)
		}
		alert.StartsAt, alert.UpdatedAt = a.StartsAt, later(e.OccurredAt, a.UpdatedAt)
		alert.Severity = max(alert.Severity, a.Severity)
		return f.raise(s, t, alert)
	}
	if e.Reason != timeline.FailCircuitOpen || !f.mayRecover(t, e) {
		return f.raise(s, t, alert)
	}
	if t.First.IsZero() {
		t.First = e.OccurredAt
	}
	t.Due, t.Draft = t.First.Add(f.wait), &alert
	if !now.Before(t.Due) {
		return f.raise(s, t, alert)
	}
	s.put(record{Task: t})
	return nil
}

// mayRecover reports whether the task will be retried when its breaker closes.
func (f *taskFailed) mayRecover(t *taskEntry, e *timeline.Event) bool {
	if e.DeadLetter == nil || !e.DeadLetter.AutoRecover || !e.DeadLetter.Requeueable {
		return false
	}
	used := 0
	for _, run := range t.Recoveries {
		if _, failed := slices.BinarySearch(t.Runs, run); failed {
			used++
		}
	}
	return used < f.recoveries
}

func (f *taskFailed) raise(s *state, t *taskEntry, a timeline.Alert) []timeline.Alert {
	t.Due, t.Draft = time.Time{}, nil
	s.put(record{Task: t})
	return []timeline.Alert{a}
}

func (f *taskFailed) closed(s *state, t *taskEntry, e *timeline.Event, run int, text string) []timeline.Alert {
	if run < t.last() || run <= t.Closed {
		return nil
	}
	t.Closed, t.First, t.Due, t.Draft = run, time.Time{}, time.Time{}, nil
	s.put(record{Task: t})
	a := s.alerts[timeline.TaskAlertID(e.Namespace, e.Task.ID)]
	if a == nil || a.State != timeline.AlertFiring {
		return nil
	}
	end := *a
	end.State, end.EndsAt, end.UpdatedAt, end.Text = timeline.AlertResolved, e.OccurredAt, later(e.OccurredAt, a.UpdatedAt), text
	return []timeline.Alert{end}
}

// settledElsewhere ends the alert of a task that is not failed any more, as the
// store says.
func (f *taskFailed) settledElsewhere(s *state, namespace, taskID string, run int, now time.Time) []timeline.Alert {
	t := s.tasks[keyOf(namespace, taskID)]
	if t == nil {
		t = &taskEntry{Namespace: namespace, TaskID: taskID}
	}
	t = t.copy()
	t.UpdatedAt = now.UTC()
	e := &timeline.Event{Task: timeline.Task{Namespace: namespace, ID: taskID}, OccurredAt: now.UTC()}
	return f.closed(s, t, e, run, "the task is not failed any more")
}

// later keeps the time of an alert's changes rising, whatever the clocks of two
// writers say, so that no two of them look the same.
func later(t, after time.Time) time.Time {
	if t.After(after) {
		return t
	}
	return after.Add(1)
}

func (f *taskFailed) due(s *state, now time.Time) []timeline.Alert {
	var out []timeline.Alert
	for _, w := range s.waiting {
		if now.Before(w.Due) {
			continue
		}
		t := w.copy()
		a := *t.Draft
		a.UpdatedAt = t.Due
		out = append(out, f.raise(s, t, a)...)
	}
	slices.SortFunc(out, func(a, b timeline.Alert) int { return cmp.Compare(a.StartsAt.UnixNano(), b.StartsAt.UnixNano()) })
	return out
}

func (f *taskFailed) alert(t *taskEntry, e *timeline.Event) timeline.Alert {
	severity := f.severities.Classify(&match.Labels{
		match.Namespace: e.Namespace, match.Type: e.Task.Type, match.Queue: e.Queue, match.Provider: e.Provider, match.Agent: e.Agent, match.User: e.UserID,
	}, e.Amount, e.Currency)
	if e.DeadLetter != nil {
		// The agent may know better thresholds for its types: rather too loud.
		severity = max(severity, e.DeadLetter.AlertSeverity)
	}
	a := timeline.Alert{
		ID: timeline.TaskAlertID(e.Namespace, e.Task.ID), Rule: RuleTaskFailed, Severity: severity, State: timeline.AlertFiring,
		Namespace: e.Namespace, TaskID: e.Task.ID, TaskType: e.Task.Type, Queue: e.Queue, Agent: e.Agent, Provider: e.Provider,
		UserID: e.UserID, Amount: e.Amount, Currency: e.Currency, Run: e.Run, Reason: e.Reason,
		DeadLetterID: timeline.DeadLetterID(e.Namespace, e.Task.ID, e.Run), StartsAt: e.OccurredAt, UpdatedAt: e.OccurredAt, Runs: len(t.Runs),
	}
	if e.Error != nil {
		short := *e.Error
		short.Stack = "" // the timeline has it; a call at night does not need it
		a.Error = &short
		a.Text = short.Message
	}
	kind := cmp.Or(e.Task.Type, "task")
	words := []string{kind, e.Task.ID, "failed:", strings.ReplaceAll(string(cmp.Or(e.Reason, "unknown")), "_", " ")}
	if e.Attempts > 0 {
		words = append(words, "after", plural(e.Attempts, "attempt"))
	}
	if len(t.Runs) > 1 {
		words = append(words, "in", plural(len(t.Runs), "run"))
	}
	a.Title = strings.Join(words, " ")
	return a
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
