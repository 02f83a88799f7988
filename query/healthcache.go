package query

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

const maxHealthAnswers = 1_000

// healthCache makes those who ask for the same health at the same time share one
// read: it is the dearest of all, and every open page asks for it every few
// seconds. It is safe for concurrent use.
type healthCache struct {
	base    context.Context // the service's: a read is nobody's in particular
	reader  HealthReader
	ttl     time.Duration
	timeout time.Duration
	now     func() time.Time

	mu      sync.Mutex
	answers map[healthKey]*healthAnswer
}

type healthKey struct {
	scope  readmodel.Scope
	window time.Duration
}

// healthAnswer is one read; done is closed when it is over.
type healthAnswer struct {
	done   chan struct{}
	health readmodel.Health
	err    error
	until  time.Time // zero while it is read
}

func newHealthCache(base context.Context, reader HealthReader, ttl, timeout time.Duration, now func() time.Time) *healthCache {
	return &healthCache{base: base, reader: reader, ttl: ttl, timeout: timeout, now: now, answers: map[healthKey]*healthAnswer{}}
}

// read returns the health, which is at most ttl old. What it returns is shared: it
// must not be changed.
func (c *healthCache) read(ctx context.Context, scope readmodel.Scope, window time.Duration) (readmodel.Health, error) {
	k := healthKey{scope, window}
	c.mu.Lock()
	a := c.answers[k]
	if a == nil || (!a.until.IsZero() && !c.now().Before(a.until)) {
		a = &healthAnswer{done: make(chan struct{})}
		c.makeRoom()
		c.answers[k] = a
		c.mu.Unlock()
		// Its end is not that of the first who asked: the others wait for it too.
		ctx, cancel := context.WithTimeout(c.base, c.timeout)
		defer cancel()
		c.fill(ctx, k, a)
		return a.health, a.err
	}
	c.mu.Unlock()
	select {
	case <-a.done:
		return a.health, a.err
	case <-ctx.Done():
		return readmodel.Health{}, fmt.Errorf("wait for the health: %w", context.Cause(ctx))
	}
}

// fill reads the answer, and forgets it where it is an error.
func (c *healthCache) fill(ctx context.Context, k healthKey, a *healthAnswer) {
	finished := false
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !finished {
			a.err = fmt.Errorf("the health could not be read")
		}
		if a.until = c.now().Add(c.ttl); a.err != nil && c.answers[k] == a {
			delete(c.answers, k)
		}
		close(a.done)
	}()
	a.health, a.err = c.reader.Health(ctx, k.scope, k.window)
	finished = true
}

// makeRoom forgets what is old, and where that is not enough anything. Callers
// hold mu.
func (c *healthCache) makeRoom() {
	if len(c.answers) < maxHealthAnswers {
		return
	}
	now := c.now()
	for k, a := range c.answers {
		if !a.until.IsZero() && !now.Before(a.until) {
			delete(c.answers, k)
		}
	}
	for k := range c.answers {
		if len(c.answers) < maxHealthAnswers {
			return
		}
		delete(c.answers, k)
	}
}
