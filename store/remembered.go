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

// letterDepths remembers the depth of dead letters where so many are pending
// that counting them takes long.
type letterDepths struct {
	mu          sync.Mutex
	byNamespace map[string]letterDepth
}

type letterDepth struct {
	n        uint64
	oldest   time.Time
	read     time.Time
	counting bool
}

// depthAge is how old a remembered depth may be before it is counted anew, and
// depthEnd before it is not told any more.
const (
	depthAge = time.Second
	depthEnd = 15 * time.Second
)

// get returns what is remembered, and whether the caller should count anew.
func (l *letterDepths) get(namespace string, at time.Time) (d letterDepth, known, count bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, known = l.byNamespace[namespace]
	if !known || at.Sub(d.read) > depthEnd {
		return d, false, false
	}
	if count = at.Sub(d.read) > depthAge && !d.counting; count {
		d.counting = true
		l.byNamespace[namespace] = d
	}
	return d, true, count
}

// set remembers a depth, forget takes back that it is being counted.
func (l *letterDepths) set(namespace string, d letterDepth) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byNamespace == nil || len(l.byNamespace) >= rememberedNamespaces {
		l.byNamespace = map[string]letterDepth{}
	}
	l.byNamespace[namespace] = d
}

func (l *letterDepths) forget(namespace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byNamespace, namespace)
}
