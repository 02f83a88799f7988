package collector

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// budget bounds the memory of all requests being handled together.
type budget struct {
	sem  *semaphore.Weighted
	size int64
	used atomic.Int64
	wait time.Duration // how long a new request waits for room
	back time.Duration // what a refused one is told to wait
}

func newBudget(size int64, wait, back time.Duration) *budget {
	return &budget{sem: semaphore.NewWeighted(size), size: size, wait: wait, back: back}
}

var errTooMuchInFlight = errors.New("too many requests are being handled")

// lease is what one request holds of the budget.
type lease struct {
	b    *budget
	held int64
}

// open takes the first bytes for a request, waiting a while for room.
func (b *budget) open(ctx context.Context, n int64) (*lease, error) {
	n = min(n, b.size)
	if !b.sem.TryAcquire(n) {
		ctx, cancel := context.WithTimeout(ctx, b.wait)
		defer cancel()
		if err := b.sem.Acquire(ctx, n); err != nil {
			return nil, &OverloadError{RetryAfter: b.back, Cause: errTooMuchInFlight}
		}
	}
	b.used.Add(n)
	return &lease{b: b, held: n}, nil
}

// resize makes the lease hold n bytes. Growing never waits: two requests that
// wait for each other's memory would do so for long.
func (l *lease) resize(n int64) error {
	n = min(n, l.b.size)
	switch more := n - l.held; {
	case more > 0:
		if !l.b.sem.TryAcquire(more) {
			return &OverloadError{RetryAfter: l.b.back, Cause: errTooMuchInFlight}
		}
		l.b.used.Add(more)
	case more < 0:
		l.b.sem.Release(-more)
		l.b.used.Add(more)
	}
	l.held = n
	return nil
}

func (l *lease) close() { _ = l.resize(0) } // shrinking can't fail

// maxPooled is the largest buffer that is kept for the next request.
const maxPooled = 4 << 20

// buffers are byte slices used again from request to request.
type buffers struct{ pool sync.Pool }

func (p *buffers) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func (p *buffers) put(b []byte) {
	if cap(b) > 0 && cap(b) <= maxPooled {
		p.pool.Put(&b)
	}
}
