package breaker

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
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
	cfg SetConfig
	// known is what Get looks at first, without a lock; it is replaced as a whole
	// and may lack breakers that were made since, but never holds an evicted one.
	known atomic.Pointer[map[Key]*Breaker]

	mu        sync.Mutex
	all       map[Key]*Breaker
	misses    int // lookups since known was replaced that found it behind
	unguarded atomic.Uint64
	evicted   atomic.Uint64
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
	s := &Set{cfg: cfg, all: map[Key]*Breaker{}}
	s.publish()
	return s, nil
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
	if b, ok := (*s.known.Load())[key]; ok {
		return b
	}
	cfg, own := s.cfg.PerProvider[provider]
	if !own {
		cfg = s.cfg.Config
	}
	if cfg.Disabled {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.all[key]
	if !ok {
		if len(s.all) >= s.cfg.Max && !s.evict(now) {
			s.unguarded.Add(1)
			return nil
		}
		b = newBreaker(key, cfg, now, s.cfg.OnChange)
		s.all[key] = b
	}
	// A copy costs as much as the set is large, so that it is made only once the
	// lookups it saves are worth it.
	if s.misses++; s.misses >= len(s.all)/8 {
		s.publish()
	}
	return b
}

// evict removes idle closed breakers, up to an eighth of the set at once since
// every eviction costs a copy, and reports whether any was found.
func (s *Set) evict(now time.Time) bool {
	want := max(s.cfg.Max/8, 1)
	found := 0
	for key, b := range s.all { // Go's random order makes the choice fair
		if !b.idle(now) {
			continue
		}
		delete(s.all, key)
		if found++; found == want {
			break
		}
	}
	if found == 0 {
		return false
	}
	s.evicted.Add(uint64(found))
	s.publish()
	return true
}

func (s *Set) publish() {
	known := maps.Clone(s.all)
	s.known.Store(&known)
	s.misses = 0
}

// idle reports whether the breaker is closed and no call was counted for the
// length of its window.
func (b *Breaker) idle(now time.Time) bool {
	c := b.calm.Load()
	return c != nil && c.window.idle(now.Sub(b.base))
}

// All returns the breakers there are, in no order.
func (s *Set) All() []*Breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Breaker, 0, len(s.all))
	for _, b := range s.all {
		all = append(all, b)
	}
	return all
}

// Unguarded returns how many calls of Get found the set full.
func (s *Set) Unguarded() uint64 { return s.unguarded.Load() }

// Evicted returns how many breakers made room for others.
func (s *Set) Evicted() uint64 { return s.evicted.Load() }
