package timeline

import "time"

// AlertState is the state of an alert.
type AlertState string

// The states of an alert.
const (
	// AlertPending: a rule holds, and not yet for as long as it must.
	AlertPending  AlertState = "pending"
	AlertFiring   AlertState = "firing"
	AlertResolved AlertState = "resolved"
)

// Alert is a call for attention: a failed task, an open breaker, or a rule that
// holds. Its ID is stable, so that a receiver can drop repeats.
type Alert struct {
	ID       ID            `json:"id"`
	Rule     string        `json:"rule"`
	Severity AlertSeverity `json:"severity"`
	State    AlertState    `json:"state"`
	Title    string        `json:"title"`
	Text     string        `json:"text,omitempty"`

	Namespace string        `json:"namespace"`
	TaskID    string        `json:"task_id,omitempty"`
	TaskType  string        `json:"task_type,omitempty"`
	Queue     string        `json:"queue,omitempty"`
	Agent     string        `json:"agent,omitempty"`
	Provider  string        `json:"provider,omitempty"`
	UserID    string        `json:"user_id,omitempty"`
	Amount    string        `json:"amount,omitempty"`
	Currency  string        `json:"currency,omitempty"`
	Run       int           `json:"run,omitempty"`
	Reason    FailureReason `json:"reason,omitempty"`
	Error     *Error        `json:"error,omitempty"`

	DeadLetterID ID `json:"dead_letter_id,omitzero"`

	// Condition tells alerts of one rule apart: never_started and late, new and
	// regressed; Value is what the rule measured last, in its own unit.
	Condition string  `json:"condition,omitempty"`
	Value     float64 `json:"value,omitempty"`
	// Labels are further names of what it is about.
	Labels map[string]string `json:"labels,omitempty"`
	// Runbook is a link that the rule gives along.
	Runbook string `json:"runbook,omitempty"`

	StartsAt  time.Time `json:"starts_at"`
	UpdatedAt time.Time `json:"updated_at"`
	EndsAt    time.Time `json:"ends_at,omitzero"`
	// Runs counts the runs that failed so far.
	Runs int `json:"runs,omitempty"`

	// AcknowledgedBy is who took it on, InhibitedBy the alert that stands for it:
	// nobody is called for it again, or yet.
	AcknowledgedBy string `json:"acknowledged_by,omitempty"`
	InhibitedBy    ID     `json:"inhibited_by,omitzero"`
}

// TaskAlertID is the id of the one alert a task raises.
func TaskAlertID(namespace, taskID string) ID {
	return DeriveID("alert", "task_failed", namespace, taskID)
}
