package breaker

import "time"

// SetConfig are the settings of a set of breakers.
type SetConfig struct {
	// Config is for every breaker that has none of its own.
	Config
	// PerProvider are the settings of single providers.
	// Defaults to none.
	PerProvider map[string]Config
	// Max is how many breakers are kept. Past it, idle closed ones make room; an
	// open or half-open one is never evicted. Where none can go, the newcomer runs
	// without a breaker, and is counted.
	// Defaults to 4096.
	Max int
	// OnChange is told of every change of state, in order for each breaker, in
	// the goroutine of one of the callers and outside every lock: it may call the
	// breaker and the set. A panic in it goes to that caller.
	// Defaults to none.
	OnChange func(StateChange)
}

// Set is a bounded map of breakers. It is safe for concurrent use.
type Set struct{ cfg SetConfig }

// NewSet returns an empty set.
func NewSet(cfg SetConfig) (*Set, error) { return &Set{cfg}, nil }

// Get returns the breaker of a provider, made on first use, and nil (which lets
// everything through) where provider is empty, breakers are disabled, or the set
// is full. Ask for each attempt rather than keeping the result: an idle breaker
// may have been evicted meanwhile. Finding one takes no lock and does not
// allocate.
func (s *Set) Get(namespace, provider string, now time.Time) *Breaker { return nil }

// All returns the breakers there are, in no order.
func (s *Set) All() []*Breaker { return nil }

// Unguarded returns how many calls of Get found the set full.
func (s *Set) Unguarded() uint64 { return 0 }

// Evicted returns how many breakers made room for others.
func (s *Set) Evicted() uint64 { return 0 }
