package rule

import (
	"encoding/json"
	"time"

	"github.com/tasktrail/tasktrail/alerting/match"
	"github.com/tasktrail/tasktrail/timeline"
)

// Kind is what a rule measures.
type Kind string

// The kinds of rules.
const (
	// FailureRate: failed of all runs that ended within the window, 0 to 1.
	FailureRate Kind = "failure_rate"
	// ConsecutiveFailures: runs that failed since the last one that completed.
	ConsecutiveFailures Kind = "consecutive_failures"
	// DeadLetters: dead letters that are pending.
	DeadLetters Kind = "dead_letters"
	// DeadLetterGrowth: dead letters added within the window, less those that were
	// resolved or discarded.
	DeadLetterGrowth Kind = "dead_letter_growth"
	// OldestPending: how long the oldest task has waited for its first attempt.
	OldestPending Kind = "oldest_pending"
	// LostTasks: tasks whose heartbeat stopped within the window.
	LostTasks Kind = "lost_tasks"
	// Silent: how long nothing was heard of what was heard of before.
	Silent Kind = "silent"
	// MissedRun: a declared run that did not start (never_started), or started and
	// did not end in time (late).
	MissedRun Kind = "missed_run"
	// NewError: an error whose fingerprint is new, or comes again after it was
	// quiet.
	NewError Kind = "new_error"
	// StalledIngest: how old the oldest event is that a collector accepted and
	// ClickHouse has not.
	StalledIngest Kind = "stalled_ingest"
)

// Kinds lists the kinds in the order of the documentation.
func Kinds() []Kind {
	return []Kind{FailureRate, ConsecutiveFailures, DeadLetters, DeadLetterGrowth, OldestPending, LostTasks, Silent, MissedRun, NewError, StalledIngest}
}

// Rule is one rule, with its defaults in place.
type Rule struct {
	// Name is unique within its Scope; it is part of the alerts' ids.
	Name string
	// Scope is the namespace that the rule was set in and is about; empty for a file's,
	// which is about all.
	Scope string
	// JSON is the rule as it was written.
	JSON json.RawMessage
	Kind Kind
	// Match says which tasks it is about; everything where it is empty.
	Match match.Set
	// By splits what is measured by these labels, one alert a group. The namespace
	// always splits.
	By []match.Field
	// Window is how far back is looked.
	Window time.Duration
	// Above is what the measure must pass, in the kind's unit: a share, a number, or
	// seconds.
	Above float64
	// Clear is at or below what the alert ends. Defaults to Above.
	Clear float64
	// MinSamples is how many runs a failure rate is made of at least. Defaults to 10.
	MinSamples int
	// For is how long it must hold before the alert fires. Defaults to 0.
	For time.Duration
	// Keep is how long it must be over before the alert ends. Defaults to 0.
	Keep time.Duration
	// Severity defaults to high.
	Severity timeline.AlertSeverity
	// Repeat is how often an alert that goes on is told again; 0: as the channel
	// says.
	Repeat time.Duration
	// Title and Text are templates; empty for the kind's own words.
	Title, Text string
	// Runbook is a link that goes with the alert.
	Runbook string

	// Schedule, Grace, FinishWithin are a missed run's.
	Schedule     Schedule
	Grace        time.Duration
	FinishWithin time.Duration
	// Quiet is after how long without it an error counts as regressed. Defaults to
	// 7 days.
	Quiet time.Duration
}

// id names a rule among those of all namespaces.
func (r *Rule) id() string {
	if r.Scope == "" || r.Scope == timeline.DefaultNamespace {
		return r.Name
	}
	return r.Scope + "/" + r.Name
}

// about reports whether a rule is about a task.
func (r *Rule) about(l *match.Labels) bool {
	return (r.Scope == "" || r.Scope == l[match.Namespace]) && r.Match.Match(l)
}

// Severities say how loudly a failed task calls.
type Severities struct {
	// Thresholds by currency, over the shipped ones.
	Thresholds timeline.Thresholds
	// Types are overrides, the first that matches deciding.
	Types []TypeSeverity
}

// TypeSeverity is the severity of the tasks that Match.
type TypeSeverity struct {
	Match match.Set
	// Severity is that of a task below the thresholds; none: as by default.
	Severity timeline.AlertSeverity
	// Thresholds replace those of their currencies.
	Thresholds timeline.Thresholds
}

// Classify returns how loudly a failure of a task calls.
func (s *Severities) Classify(l *match.Labels, amount, currency string) timeline.AlertSeverity {
	for i := range s.Types {
		t := &s.Types[i]
		if !t.Match.Match(l) {
			continue
		}
		th := s.Thresholds
		if len(t.Thresholds) > 0 {
			th = s.Thresholds.With(t.Thresholds)
		}
		got := th.Classify(l[match.Type], amount, currency)
		if got != timeline.AlertCritical && t.Severity != timeline.AlertNone {
			return t.Severity
		}
		return got
	}
	return s.Thresholds.Classify(l[match.Type], amount, currency)
}

// File is what a file of rules holds.
type File struct {
	Rules      []Rule
	Severities Severities
	// Channels and Watchdog are other rooms' parts of the file, as they stand.
	Channels []Section
	Watchdog *Section
}

// Section is a part of the file that is not about rules.
type Section struct {
	Line, Column int
	JSON         []byte
}

// groupOf gives the key of the group that labels belong to, and the labels that
// name it.
func (r *Rule) groupOf(l *match.Labels) match.Labels {
	var g match.Labels
	g[match.Namespace] = l[match.Namespace]
	for _, f := range r.By {
		g[f] = l[f]
	}
	return g
}

func typesOf(k Kind) []timeline.Type {
	switch k {
	case FailureRate, ConsecutiveFailures:
		return []timeline.Type{timeline.TaskCompleted, timeline.TaskFailed}
	case DeadLetterGrowth:
		return []timeline.Type{timeline.MovedToDLQ, timeline.DLQResolved, timeline.DLQDiscarded, timeline.TaskCompleted}
	case LostTasks:
		return []timeline.Type{timeline.TaskLost}
	case Silent:
		return []timeline.Type{timeline.TaskCreated, timeline.TaskStarted, timeline.AttemptStarted, timeline.AttemptSuccess,
			timeline.AttemptFailed, timeline.TaskRetried, timeline.TaskCompleted, timeline.TaskFailed}
	case MissedRun:
		return []timeline.Type{timeline.TaskStarted, timeline.TaskCompleted, timeline.TaskFailed, timeline.TaskCancelled}
	case NewError:
		return []timeline.Type{timeline.AttemptFailed}
	}
	return nil
}
