package retry

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
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

// WithDefaults returns the settings with every zero field set to its default.
func (c BudgetConfig) WithDefaults() BudgetConfig {
	setDefault(&c.Capacity, 500)
	setDefault(&c.RetryCost, 5)
	setDefault(&c.TimeoutCost, 10)
	setDefault(&c.SuccessRefund, 1)
	setDefault(&c.RefillPerSecond, 5)
	setDefault(&c.MaxWait, 5*time.Minute)
	return c
}

// Validate reports every fault of the settings, their defaults set, at once.
func (c BudgetConfig) Validate() error {
	c = c.WithDefaults()
	var faults []error
	for _, f := range [...]struct {
		name string
		ok   bool
		got  any
	}{
		{"capacity", c.Capacity > 0, c.Capacity},
		{"retry cost", c.RetryCost > 0, c.RetryCost},
		{"timeout cost", c.TimeoutCost > 0, c.TimeoutCost},
		{"success refund", c.SuccessRefund > 0, c.SuccessRefund},
		{"refill a second", c.RefillPerSecond > 0 && !math.IsInf(c.RefillPerSecond, 0), c.RefillPerSecond},
		{"longest wait", c.MaxWait > 0, c.MaxWait},
	} {
		if !f.ok {
			faults = append(faults, fmt.Errorf("retry budget: %s %v: want more than 0", f.name, f.got))
		}
	}
	return errors.Join(faults...)
}

// Budget is the retry budget of one provider. It is safe for concurrent use; a
// nil *Budget lets everything through.
type Budget struct {
	cfg BudgetConfig
	// full lets a success on an untouched bucket, the usual case by far, pass
	// without the lock.
	full atomic.Bool

	mu     sync.Mutex
	tokens float64 // negative in debt
	at     time.Time
}

// NewBudget returns a full budget, and nil where cfg disables it. Zero fields of
// cfg get their defaults.
func NewBudget(cfg BudgetConfig, now time.Time) *Budget {
	if cfg.Disabled {
		return nil
	}
	cfg = cfg.WithDefaults()
	b := &Budget{cfg: cfg, tokens: float64(cfg.Capacity), at: now}
	b.full.Store(true)
	return b
}

// Success gives back what a successful attempt is worth. On a full bucket it is
// one atomic load.
func (b *Budget) Success() {
	if b == nil || b.full.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(float64(b.cfg.SuccessRefund))
}

// Reserve implements [Reserver]. The bucket may go into debt: each retry without
// a token waits until time has paid for it and for those before it, MaxWait at
// most.
func (b *Budget) Reserve(now time.Time, timeout bool, limit time.Duration) (time.Duration, bool) {
	if b == nil {
		return 0, true
	}
	cost := float64(b.cfg.RetryCost)
	if timeout {
		cost = float64(b.cfg.TimeoutCost)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	var wait time.Duration
	if debt := cost - b.tokens; debt > 0 {
		seconds := debt / b.cfg.RefillPerSecond
		wait = b.cfg.MaxWait
		if seconds < b.cfg.MaxWait.Seconds() {
			wait = time.Duration(math.Ceil(seconds * float64(time.Second)))
		} else {
			// Past the longest wait the debt grows no more, else the bucket would
			// still be paying long after the provider came back.
			cost = max(b.tokens+b.cfg.MaxWait.Seconds()*b.cfg.RefillPerSecond, 0)
		}
	}
	if wait > limit {
		return 0, false
	}
	b.tokens -= cost
	b.full.Store(b.tokens >= float64(b.cfg.Capacity))
	return wait, true
}

// Tokens returns how many whole tokens are left, negative in debt; for a nil
// budget the most an int holds.
func (b *Budget) Tokens(now time.Time) int {
	if b == nil {
		return math.MaxInt
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	return int(math.Floor(b.tokens))
}

func (b *Budget) refill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.at = now
		b.add(passed.Seconds() * b.cfg.RefillPerSecond)
	}
}

func (b *Budget) add(tokens float64) {
	b.tokens = min(b.tokens+tokens, float64(b.cfg.Capacity))
	b.full.Store(b.tokens >= float64(b.cfg.Capacity))
}
