package query

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const maxSharedAnswers = 1_000

// readCache makes those who ask the same at the same time share one read: health
// and its history are the dearest of all, and every open page asks for them every
// few seconds. It is safe for concurrent use.
type readCache[K comparable, V any] struct {
	base    context.Context // the service's: a read is nobody's in particular
	ask     func(context.Context, K) (V, error)
	ttl     time.Duration
	timeout time.Duration
	now     func() time.Time

	mu      sync.Mutex
	answers map[K]*sharedAnswer[V]
}

type healthKey struct {
	scope  readmodel.Scope
	window time.Duration
}

type historyKey struct {
	scope readmodel.Scope
	query readmodel.HistoryQuery
}

// sharedAnswer is one read; done is closed when it is over.
type sharedAnswer[V any] struct {
	done  chan struct{}
	value V
	err   error
	until time.Time // zero while it is read
}

func newReadCache[K comparable, V any](base context.Context, ttl, timeout time.Duration, now func() time.Time, ask func(context.Context, K) (V, error)) *readCache[K, V] {
	return &readCache[K, V]{base: base, ask: ask, ttl: ttl, timeout: timeout, now: now, answers: map[K]*sharedAnswer[V]{}}
}

// read returns an answer that is at most ttl old. What it returns is shared: it
// must not be changed.
func (c *readCache[K, V]) read(ctx context.Context, k K) (V, error) {
	c.mu.Lock()
	a := c.answers[k]
	if a == nil || (!a.until.IsZero() && !c.now().Before(a.until)) {
		a = &sharedAnswer[V]{done: make(chan struct{})}
		c.makeRoom()
		c.answers[k] = a
		c.mu.Unlock()
		// Its end is not that of the first who asked: the others wait for it too.
		ctx, cancel := context.WithTimeout(c.base, c.timeout)
		defer cancel()
		c.fill(ctx, k, a)
		return a.value, a.err
	}
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none V
		return none, fmt.Errorf("wait for the answer to somebody else: %w", context.Cause(ctx))
	}
}

// fill reads the answer, and forgets it where it is an error.
func (c *readCache[K, V]) fill(ctx context.Context, k K, a *sharedAnswer[V]) {
	finished := false
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !finished {
			a.err = fmt.Errorf("it could not be read")
		}
		if a.until = c.now().Add(c.ttl); a.err != nil && c.answers[k] == a {
			delete(c.answers, k)
		}
		close(a.done)
	}()
	a.value, a.err = c.ask(ctx, k)
	finished = true
}

// makeRoom forgets what is old, and where that is not enough anything. Callers
// hold mu.
func (c *readCache[K, V]) makeRoom() {
	if len(c.answers) < maxSharedAnswers {
		return
	}
	now := c.now()
	for k, a := range c.answers {
		if !a.until.IsZero() && !now.Before(a.until) {
			delete(c.answers, k)
		}
	}
	for k := range c.answers {
		if len(c.answers) < maxSharedAnswers {
			return
		}
		delete(c.answers, k)
	}
}
