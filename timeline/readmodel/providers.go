package readmodel

import (
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// Provider is a dependency whose breakers guard tasks. Each process has a breaker
// of its own.
type Provider struct {
	Provider string `json:"provider"`
	// State is that of the worst of its breakers: open, half_open, closed.
	State timeline.BreakerState `json:"state"`
	// Since is when the provider as a whole came into that state.
	Since time.Time `json:"since,omitzero"`
	// Breakers are those of which an event is known, the worst first.
	Breakers []ProviderBreaker `json:"breakers"`
	// Opened is how often one of them opened within the window.
	Opened int64 `json:"opened"`
	// DeadLetters are the pending ones with the reason circuit_open: those that wait
	// for the provider.
	DeadLetters int64 `json:"dead_letters"`
}

// ProviderBreaker is one process's breaker of a provider, as its last event left
// it.
type ProviderBreaker struct {
	SourceID  string                `json:"source_id"`
	Agent     string                `json:"agent,omitempty"`
	State     timeline.BreakerState `json:"state"`
	Since     time.Time             `json:"since"`
	OpenUntil time.Time             `json:"open_until,omitzero"`
	Why       string                `json:"why,omitempty"`
	// Expired: it was open, and its process has been silent since.
	Expired bool `json:"expired,omitempty"`
}

// BreakerChange is an entry of a provider's history: a breaker changed its state.
type BreakerChange struct {
	At       time.Time             `json:"at"`
	SourceID string                `json:"source_id"`
	Agent    string                `json:"agent,omitempty"`
	State    timeline.BreakerState `json:"state"`
	Why      string                `json:"why,omitempty"`
	Calls    int                   `json:"calls,omitempty"`
	Failures int                   `json:"failures,omitempty"`
	// OpenUntil is of an opening.
	OpenUntil time.Time `json:"open_until,omitzero"`
	// TaskID is the task that tripped or probed it, on whose timeline it stands.
	TaskID string `json:"task_id,omitempty"`
}
