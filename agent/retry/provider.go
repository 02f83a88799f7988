package retry

import (
	"sync"
	"time"
)

// Provider is what is known of one provider besides its breaker: its retry
// budget and its pause. It is safe for concurrent use; a nil *Provider has no
// budget and is never paused.
type Provider struct{ Budget *Budget }

// Success records a successful attempt.
func (p *Provider) Success() {}

// Pause stops new attempts until then; a shorter pause never undercuts a longer
// one. A pause is at most 15 min ahead of now.
func (p *Provider) Pause(now, until time.Time) {}

// PausedUntil returns when the pause is over, and the zero time where there is
// none at now.
func (p *Provider) PausedUntil(now time.Time) time.Time { return time.Time{} }

// Providers is a bounded map of providers, keyed by namespace and provider. It
// is safe for concurrent use.
type Providers struct {
	mu  sync.RWMutex
	cfg BudgetConfig
}

// NewProviders returns an empty map for at most limit providers (4096 where 0).
func NewProviders(cfg BudgetConfig, limit int) *Providers { return &Providers{cfg: cfg} }

// Get returns the provider, made on first use, and nil where provider is empty
// or the map is full of providers that are paused or have spent of their budget.
func (p *Providers) Get(namespace, provider string, now time.Time) *Provider { return nil }

// Unguarded returns how many calls of Get found the map full.
func (p *Providers) Unguarded() uint64 { return 0 }
