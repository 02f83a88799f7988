package store

import (
	"sync"
	"time"
)

// rememberedNamespaces bounds what is kept by namespace.
const rememberedNamespaces = 1000

// windows remembers from when on a namespace had the rows that first pages are
// looked for in. It is a guess at how far to look and decides nothing.
type windows struct {
	mu     sync.Mutex
	byRows map[windowKey]window
}

type windowKey struct {
	namespace string
	rows      int
}

type window struct{ since, read time.Time }

// windowAge is how long a guess is good for.
const windowAge = 5 * time.Second

func (w *windows) get(namespace string, rows int, at time.Time) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	got, ok := w.byRows[windowKey{namespace, rows}]
	return got.since, ok && at.Sub(got.read) < windowAge
}

func (w *windows) set(namespace string, rows int, since, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byRows == nil || len(w.byRows) >= rememberedNamespaces {
		w.byRows = map[windowKey]window{}
	}
	w.byRows[windowKey{namespace, rows}] = window{since, at}
}

// aged remembers answers that take long, so that readers need not wait: they are
// made anew beside the reads and told with the time they are of.
type aged[T any] struct {
	mu    sync.Mutex
	byKey map[string]agedAnswer[T]
}

type agedAnswer[T any] struct {
	value  T
	of     time.Time
	making bool
}

// agedAnew is how old an answer may be before it is made anew, and agedEnd before
// it is not told any more.
const (
	agedAnew = time.Second
	agedEnd  = 15 * time.Second
	// agedWorth is from how many tasks that are looked for by their ids on the answer
	// is remembered.
	agedWorth = 200
)

// get returns what is remembered, and whether the caller should make it anew.
func (m *aged[T]) get(key string, at time.Time) (a agedAnswer[T], known, anew bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, known = m.byKey[key]
	if !known || at.Sub(a.of) > agedEnd {
		return a, false, false
	}
	if anew = at.Sub(a.of) > agedAnew && !a.making; anew {
		a.making = true
		m.byKey[key] = a
	}
	return a, true, anew
}

// set remembers an answer.
func (m *aged[T]) set(key string, value T, of time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byKey == nil || len(m.byKey) >= rememberedNamespaces {
		m.byKey = map[string]agedAnswer[T]{}
	}
	m.byKey[key] = agedAnswer[T]{value: value, of: of}
}

// stale says of when an answer is, where it is not of just now.
func (a agedAnswer[T]) stale(what string, at time.Time) string {
	if at.Sub(a.of) <= agedAnew {
		return ""
	}
	return what + " are of " + a.of.Format(time.RFC3339)
}

func (m *aged[T]) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byKey, key)
}
