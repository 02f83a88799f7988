// Package readmap is a bounded map that is read much more often than it grows:
// finding what is there takes no lock and allocates nothing. It has no deletion
// by key; entries leave only to make room.
package readmap

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Map is a bounded map from K to V. It is safe for concurrent use. Make it with
// New.
type Map[K comparable, V any] struct {
	limit int
	// known is what Get looks at; it is replaced as a whole and may lack entries
	// that were added since, but never holds one that was evicted.
	known atomic.Pointer[map[K]V]

	mu      sync.Mutex
	all     map[K]V
	misses  int // lookups since known was replaced that found it behind
	evicted atomic.Uint64
	refused atomic.Uint64
}

// New returns an empty map for at most limit entries.
func New[K comparable, V any](limit int) *Map[K, V] {
	m := &Map[K, V]{limit: limit, all: map[K]V{}}
	m.publish()
	return m
}

// Get returns an entry without a lock. It may miss one that was just added, so
// that a miss is to be followed by Add.
func (m *Map[K, V]) Get(key K) (V, bool) {
	v, ok := (*m.known.Load())[key]
	return v, ok
}

// Add returns the entry of key, made by create where there is none. Where the map
// is full, entries that idle reports true for make room; where there are none,
// Add returns false and counts it. Both functions are called with a lock held and
// must not use the map.
func (m *Map[K, V]) Add(key K, create func() V, idle func(V) bool) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.all[key]
	if !ok {
		if len(m.all) >= m.limit && !m.evict(idle) {
			m.refused.Add(1)
			return v, false
		}
		v = create()
		m.all[key] = v
	}
	// A copy costs as much as the map is large, so that it is made only once the
	// lookups it saves are worth it.
	if m.misses++; m.misses >= len(m.all)/8 {
		m.publish()
	}
	return v, true
}

// evict removes idle entries, up to an eighth of the limit at once since every
// eviction costs a copy, and reports whether there was one.
func (m *Map[K, V]) evict(idle func(V) bool) bool {
	want, found := max(m.limit/8, 1), 0
	for key, v := range m.all { // Go's random order makes the choice fair
		if !idle(v) {
			continue
		}
		delete(m.all, key)
		if found++; found == want {
			break
		}
	}
	if found == 0 {
		return false
	}
	m.evicted.Add(uint64(found))
	m.publish()
	return true
}

func (m *Map[K, V]) publish() {
	known := maps.Clone(m.all)
	m.known.Store(&known)
	m.misses = 0
}

// Values returns the entries there are, in no order.
func (m *Map[K, V]) Values() []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := make([]V, 0, len(m.all))
	for _, v := range m.all {
		values = append(values, v)
	}
	return values
}

// Evicted returns how many entries made room for others.
func (m *Map[K, V]) Evicted() uint64 { return m.evicted.Load() }

// Refused returns how many calls of Add found no room.
func (m *Map[K, V]) Refused() uint64 { return m.refused.Load() }
