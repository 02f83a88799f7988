package readmodel

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// AlertRow is an alert with what people did about it.
type AlertRow struct {
	timeline.Alert
	// Acknowledged says who took it up; nil where nobody did.
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
	// SilencedBy are the ids of the silences that hold its notifications back.
	SilencedBy []string `json:"silenced_by,omitempty"`
}

// Acknowledgement is the body of a setting of kind alert_state, whose id is the
// alert's: somebody took the alert up. It holds for the alert as it stands: one
// that was resolved and fires anew is not acknowledged.
type Acknowledgement struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// Holds reports whether the acknowledgement is of the alert as it stands.
func (a *Acknowledgement) Holds(al *timeline.Alert) bool {
	return a != nil && !a.At.Before(al.StartsAt)
}

// AlertFilter selects alerts; empty fields select all. Values within one field
// are alternatives.
type AlertFilter struct {
	States     []timeline.AlertState
	Severities []timeline.AlertSeverity
	Rules      []string
	Types      []string
	Queues     []string
	Agents     []string
	Providers  []string
	UserID     string
	TaskID     string
	// Acknowledged and Silenced select by what people did; nil selects all.
	Acknowledged *bool
	Silenced     *bool
	// Text is looked for in the title, the text and the error's message, in any case.
	Text    string
	Started Range
}

// Matches reports whether a filter selects an alert.
func (f *AlertFilter) Matches(a *AlertRow) bool {
	return oneOf(f.States, a.State) && oneOf(f.Severities, a.Severity) && oneOf(f.Rules, a.Rule) && oneOf(f.Types, a.TaskType) &&
		oneOf(f.Queues, a.Queue) && oneOf(f.Agents, a.Agent) && oneOf(f.Providers, a.Provider) &&
		(f.UserID == "" || f.UserID == a.UserID) && (f.TaskID == "" || f.TaskID == a.TaskID) &&
		(f.Acknowledged == nil || *f.Acknowledged == (a.Acknowledged != nil)) &&
		(f.Silenced == nil || *f.Silenced == (len(a.SilencedBy) > 0)) &&
		(f.Text == "" || a.mentions(f.Text)) &&
		(f.Started.From.IsZero() || !a.StartsAt.Before(f.Started.From)) && (f.Started.To.IsZero() || a.StartsAt.Before(f.Started.To))
}

// mentions reports whether the text stands in what the alert says, in any case.
func (a *AlertRow) mentions(text string) bool {
	said := a.Title + "\x00" + a.Text
	if a.Error != nil {
		said += "\x00" + a.Error.Message
	}
	return strings.Contains(strings.ToLower(said), strings.ToLower(text))
}

// Silence is the body of a setting of kind silence, whose id is its own: alerts it
// matches are kept and shown, and nobody is notified of them.
type Silence struct {
	ID       string     `json:"id"`
	Match    AlertMatch `json:"match"`
	StartsAt time.Time  `json:"starts_at"`
	EndsAt   time.Time  `json:"ends_at"`
	// Reason says why, CreatedBy who.
	Reason    string    `json:"reason"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

// In reports whether the silence is in force.
func (s *Silence) In(now time.Time) bool { return !now.Before(s.StartsAt) && now.Before(s.EndsAt) }

// AlertMatch says which alerts a silence is about: those that fit every field that
// is set. One without a field fits none.
type AlertMatch struct {
	Rules      []string                 `json:"rule,omitempty"`
	Severities []timeline.AlertSeverity `json:"severity,omitempty"`
	Types      []string                 `json:"type,omitempty"`
	Queues     []string                 `json:"queue,omitempty"`
	Agents     []string                 `json:"agent,omitempty"`
	Providers  []string                 `json:"provider,omitempty"`
	Reasons    []timeline.FailureReason `json:"reason,omitempty"`
	UserID     string                   `json:"user_id,omitempty"`
	TaskID     string                   `json:"task_id,omitempty"`
}

// Empty reports whether no field is set.
func (m *AlertMatch) Empty() bool {
	return len(m.Rules)+len(m.Severities)+len(m.Types)+len(m.Queues)+len(m.Agents)+len(m.Providers)+len(m.Reasons) == 0 && m.UserID == "" && m.TaskID == ""
}

// Matches reports whether the alert fits.
func (m *AlertMatch) Matches(a *timeline.Alert) bool {
	return !m.Empty() && oneOf(m.Rules, a.Rule) && oneOf(m.Severities, a.Severity) && oneOf(m.Types, a.TaskType) && oneOf(m.Queues, a.Queue) &&
		oneOf(m.Agents, a.Agent) && oneOf(m.Providers, a.Provider) && oneOf(m.Reasons, a.Reason) &&
		(m.UserID == "" || m.UserID == a.UserID) && (m.TaskID == "" || m.TaskID == a.TaskID)
}

func oneOf[T comparable](allowed []T, v T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, v)
}

// Channel is where notifications go, and how it does.
type Channel struct {
	Name string `json:"name"`
	// Type is redis, webhook, alertmanager, slack, pagerduty …
	Type string `json:"type"`
	// Target says where it leads without what is secret in that: a host, no path.
	Target      string                 `json:"target,omitempty"`
	MinSeverity timeline.AlertSeverity `json:"min_severity,omitzero"`
	// Disabled says why nothing is sent; empty where it is in use.
	Disabled string `json:"disabled,omitempty"`
	// Waiting is how many notifications are to be sent yet, OldestWaitingAt since
	// when.
	Waiting         int       `json:"waiting"`
	OldestWaitingAt time.Time `json:"oldest_waiting_at,omitzero"`
	// Delivered, Failed and Dropped count since the process started.
	Delivered     int64     `json:"delivered"`
	Failed        int64     `json:"failed"`
	Dropped       int64     `json:"dropped"`
	LastSuccessAt time.Time `json:"last_success_at,omitzero"`
	LastFailureAt time.Time `json:"last_failure_at,omitzero"`
	LastError     string    `json:"last_error,omitempty"`

	// Namespace is whose alerts it is for; empty for those of all.
	Namespace string      `json:"namespace,omitempty"`
	Source    AlertSource `json:"source,omitempty"`
	// Config is how it was set over the API, without what is secret.
	Config    json.RawMessage `json:"config,omitempty"`
	ChangedAt time.Time       `json:"changed_at,omitzero"`
	ChangedBy string          `json:"changed_by,omitempty"`
}

// AlertSource is where a channel or an alert rule comes from.
type AlertSource string

// The sources: the configuration and its file of rules, which the API shows and
// does not change, and the API.
const (
	FromFile AlertSource = "file"
	FromAPI  AlertSource = "api"
)

// AlertRule is a rule in force, or one that would be.
type AlertRule struct {
	Name     string                 `json:"name"`
	Kind     string                 `json:"kind"`
	Severity timeline.AlertSeverity `json:"severity,omitzero"`
	// Namespace is whose tasks it is about; empty for those of all.
	Namespace string      `json:"namespace,omitempty"`
	Source    AlertSource `json:"source"`
	// Rule is the rule as it was written.
	Rule json.RawMessage `json:"rule,omitempty"`
	// Disabled says why it is not in force; empty where it is.
	Disabled  string    `json:"disabled,omitempty"`
	ChangedAt time.Time `json:"changed_at,omitzero"`
	ChangedBy string    `json:"changed_by,omitempty"`
}

// AlertRules are the alert rules, and what decides how loudly a failed task calls.
type AlertRules struct {
	Rules    []AlertRule `json:"rules,omitempty"`
	Severity Severities  `json:"severity,omitzero"`
}

// Severities say how loudly a failed task calls: critical from the threshold of
// its currency on, else high where it moves money, else medium.
type Severities struct {
	// Thresholds are by ISO 4217 currency; one that is not listed counts like USD.
	Thresholds timeline.Thresholds `json:"thresholds"`
	// Types are exceptions, the first that matches deciding.
	Types []TypeSeverity `json:"types"`
}

// TypeSeverity is the severity of the tasks that match.
type TypeSeverity struct {
	// Match is as in an alert rule: patterns by label.
	Match json.RawMessage `json:"match"`
	// Severity is that of a task below the thresholds; none: as without an exception.
	Severity timeline.AlertSeverity `json:"severity,omitzero"`
	// Thresholds stand for those of their currencies.
	Thresholds timeline.Thresholds `json:"thresholds,omitempty"`
}

// RuleTrial says when a rule would have fired.
type RuleTrial struct {
	From    time.Time    `json:"from"`
	To      time.Time    `json:"to"`
	Events  int64        `json:"events"`
	Held    int          `json:"held"`
	Firings []RuleFiring `json:"firings"`
	// Omitted is how many firings more there were.
	Omitted int `json:"omitted,omitempty"`
}

// RuleFiring is one time that a rule would have fired; EndedAt is zero where it
// would fire still.
type RuleFiring struct {
	FiredAt   time.Time              `json:"fired_at"`
	EndedAt   time.Time              `json:"ended_at,omitzero"`
	Severity  timeline.AlertSeverity `json:"severity,omitzero"`
	Condition string                 `json:"condition,omitempty"`
	Title     string                 `json:"title"`
	Text      string                 `json:"text,omitempty"`
	TaskID    string                 `json:"task_id,omitempty"`
}

// DeliveryStatus is what became of a notification.
type DeliveryStatus string

// The statuses of a delivery.
const (
	DeliveryWaiting   DeliveryStatus = "waiting"
	DeliveryDelivered DeliveryStatus = "delivered"
	// DeliveryFailed: a call was refused, and will not be tried again.
	DeliveryFailed DeliveryStatus = "failed"
	// DeliveryDropped: it grew too old, or gave way to later ones.
	DeliveryDropped DeliveryStatus = "dropped"
)

// DeliveryStatuses lists every status.
func DeliveryStatuses() []DeliveryStatus {
	return []DeliveryStatus{DeliveryWaiting, DeliveryDelivered, DeliveryFailed, DeliveryDropped}
}

// Delivery is an entry of a channel's log: one notification and how sending it
// went.
type Delivery struct {
	// ID is what the receiver was given to drop repeats by.
	ID      string `json:"id"`
	Channel string `json:"channel"`
	// AlertID is zero for a test.
	AlertID  timeline.ID            `json:"alert_id,omitzero"`
	Title    string                 `json:"title"`
	Severity timeline.AlertSeverity `json:"severity,omitzero"`
	State    timeline.AlertState    `json:"state,omitempty"`
	Status   DeliveryStatus         `json:"status"`
	Attempts int                    `json:"attempts"`
	// HTTPStatus and Error are of the last call.
	HTTPStatus int       `json:"http_status,omitempty"`
	Error      string    `json:"error,omitempty"`
	QueuedAt   time.Time `json:"queued_at"`
	LastTryAt  time.Time `json:"last_try_at,omitzero"`
	NextTryAt  time.Time `json:"next_try_at,omitzero"`
}

// DeliveryFilter selects entries of a channel's log; empty fields select all.
type DeliveryFilter struct {
	Channel  string
	Statuses []DeliveryStatus
	AlertID  timeline.ID
}
