package readmodel

import (
	"slices"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// AuditRecord is one call that changed something, or was refused to.
type AuditRecord struct {
	ID timeline.ID `json:"id"`
	At time.Time   `json:"at"`
	// Namespace is the one the call was about.
	Namespace string `json:"namespace"`
	// Actor is who called: the id of an API key, or of a JWT's subject. UserID is the
	// user whose tasks alone the token sees, empty for all.
	Actor  string `json:"actor"`
	UserID string `json:"user_id,omitempty"`
	// Action is the method and the route, Target what its path names.
	Action string `json:"action"`
	Target string `json:"target,omitempty"`
	// Result is accepted, or the code of the refusal; Status is HTTP's.
	Result string `json:"result"`
	Status int    `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Details are what else the route says of the call.
	Details   map[string]string `json:"details,omitempty"`
	RequestID string            `json:"request_id"`
	Remote    string            `json:"remote,omitempty"`
}

// AuditFilter selects audit records; empty fields select all.
type AuditFilter struct {
	Actor   string
	Action  string
	Target  string
	Results []string
	At      Range
}

// Matches reports whether a filter selects a record.
func (f *AuditFilter) Matches(a *AuditRecord) bool {
	return (f.Actor == "" || f.Actor == a.Actor) && (f.Action == "" || f.Action == a.Action) && (f.Target == "" || f.Target == a.Target) &&
		(len(f.Results) == 0 || slices.Contains(f.Results, a.Result)) && f.At.Contains(a.At)
}
