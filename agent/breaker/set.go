package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/tasktrail/tasktrail/internal/readmap"
)

// SetConfig are the settings of a set of breakers. Its zero value works.
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

// Validate reports every fault at once.
func (c SetConfig) Validate() error {
	faults := []error{c.Config.Validate()}
	if c.Max < 0 {
		faults = append(faults, fmt.Errorf("number of breakers %d: want more than 0", c.Max))
	}
	for name, own := range c.PerProvider {
		if err := own.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("provider %q: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// Set is a bounded map of breakers. It is safe for concurrent use.
type Set struct {
	cfg      SetConfig
	breakers *readmap.Map[Key, *Breaker]
}

// NewSet returns an empty set, or an error that names every fault of cfg.
func NewSet(cfg SetConfig) (*Set, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Config = cfg.WithDefaults()
	setDefault(&cfg.Max, 4096)
	own := make(map[string]Config, len(cfg.PerProvider))
	for name, c := range cfg.PerProvider {
		own[name] = c.WithDefaults()
	}
	cfg.PerProvider = own
	return &Set{cfg: cfg, breakers: readmap.New[Key, *Breaker](cfg.Max)}, nil
}

// Get returns the breaker of a provider, made on first use, and nil (which lets
// everything through) where provider is empty, breakers are disabled, or the set
// is full. Ask for each attempt rather than keeping the result: an idle breaker
// may have been evicted meanwhile. Finding one that is not new takes no lock and
// does not allocate.
func (s *Set) Get(namespace, provider string, now time.Time) *Breaker {
	if provider == "" {
		return nil
	}
	key := Key{namespace, provider}
	if b, ok := s.breakers.Get(key); ok {
		return b
	}
	return s.add(key, now)
}

func (s *Set) add(key Key, now time.Time) *Breaker {
	cfg, own := s.cfg.PerProvider[key.Provider]
	if !own {
		cfg = s.cfg.Config
	}
	if cfg.Disabled {
		return nil
	}
	b, _ := s.breakers.Add(key,
		func() *Breaker { return newBreaker(key, cfg, now, s.cfg.OnChange) },
		func(b *Breaker) bool { return b.idle(now) })
	return b
}

// idle reports whether the breaker is closed and no call was counted for the
// length of its window.
func (b *Breaker) idle(now time.Time) bool {
	c := b.calm.Load()
	return c != nil && c.window.idle(now.Sub(b.base))
}

// All returns the breakers there are, in no order.
func (s *Set) All() []*Breaker { return s.breakers.Values() }

// Unguarded returns how many calls of Get found the set full.
func (s *Set) Unguarded() uint64 { return s.breakers.Refused() }

// Evicted returns how many breakers made room for others.
func (s *Set) Evicted() uint64 { return s.breakers.Evicted() }
