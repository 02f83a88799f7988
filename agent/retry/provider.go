package retry

import (
	"sync/atomic"
	"time"

	"github.com/tasktrail/tasktrail/internal/readmap"
)

// MaxPause bounds how long a provider is paused, however long it asked for.
const MaxPause = 15 * time.Minute

// Provider is what is known of one provider besides its breaker: its retry
// budget and its pause. It is safe for concurrent use; a nil *Provider has no
// budget and is never paused.
type Provider struct {
	budget *Budget
	paused atomic.Pointer[time.Time]
}

// Budget returns the provider's retry budget as [Input] takes it: nil where
// there is none.
func (p *Provider) Budget() Reserver {
	if p == nil || p.budget == nil {
		return nil
	}
	return p.budget
}

// Success records a successful attempt.
func (p *Provider) Success() {
	if p != nil {
		p.budget.Success()
	}
}

// Pause stops new attempts until then; a shorter pause never undercuts a longer
// one. A pause is at most [MaxPause] ahead of now.
func (p *Provider) Pause(now, until time.Time) {
	if p == nil || !until.After(now) {
		return
	}
	if latest := now.Add(MaxPause); until.After(latest) {
		until = latest
	}
	for {
		old := p.paused.Load()
		if old != nil && !until.After(*old) {
			return
		}
		if p.paused.CompareAndSwap(old, &until) {
			return
		}
	}
}

// PausedUntil returns when the pause is over, and the zero time where there is
// none at now.
func (p *Provider) PausedUntil(now time.Time) time.Time {
	if p == nil {
		return time.Time{}
	}
	until := p.paused.Load()
	if until == nil {
		return time.Time{}
	}
	if !until.After(now) {
		p.paused.CompareAndSwap(until, nil) // the next caller needs no clock to know
		return time.Time{}
	}
	return *until
}

// idle reports whether forgetting the provider would lose nothing.
func (p *Provider) idle(now time.Time) bool {
	if !p.PausedUntil(now).IsZero() {
		return false
	}
	return p.budget == nil || p.budget.Tokens(now) >= p.budget.cfg.Capacity
}

// Providers is a bounded map of providers, keyed by namespace and provider. It
// is safe for concurrent use.
type Providers struct {
	cfg   BudgetConfig
	byKey *readmap.Map[providerKey, *Provider]
}

type providerKey struct{ namespace, provider string }

// NewProviders returns an empty map for at most limit providers (4096 where 0).
// Zero fields of cfg get their defaults.
func NewProviders(cfg BudgetConfig, limit int) *Providers {
	if limit <= 0 {
		limit = 4096
	}
	return &Providers{cfg: cfg.WithDefaults(), byKey: readmap.New[providerKey, *Provider](limit)}
}

// Get returns the provider, made on first use, and nil where provider is empty
// or the map is full of providers that are paused or have spent of their budget.
// Ask for each attempt rather than keeping the result: what was idle may have
// been forgotten meanwhile. Finding one that is not new takes no lock.
func (p *Providers) Get(namespace, provider string, now time.Time) *Provider {
	if provider == "" {
		return nil
	}
	key := providerKey{namespace, provider}
	if found, ok := p.byKey.Get(key); ok {
		return found
	}
	return p.add(key, now)
}

func (p *Providers) add(key providerKey, now time.Time) *Provider {
	found, _ := p.byKey.Add(key,
		func() *Provider { return &Provider{budget: NewBudget(p.cfg, now)} },
		func(p *Provider) bool { return p.idle(now) })
	return found
}

// Unguarded returns how many calls of Get found the map full.
func (p *Providers) Unguarded() uint64 { return p.byKey.Refused() }
