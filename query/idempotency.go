package query

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Errors of an [IdempotencyStore].
var (
	// ErrKeyReused: the key stands for another request.
	ErrKeyReused = errors.New("the idempotency key stands for another request")
	// ErrKeyInUse: the first request with the key has not been answered yet.
	ErrKeyInUse = errors.New("a request with this idempotency key is being worked on")
)

// Answer is a remembered answer of a mutating call.
type Answer struct {
	Status   int
	Location string
	Body     []byte
}

// IdempotencyStore remembers the answers of mutating calls by their
// Idempotency-Key. It is safe for concurrent use. Keys are already those of one
// token alone.
type IdempotencyStore interface {
	// Begin reserves the key for the request the fingerprint stands for. It returns
	// the remembered answer where there is one, nil where the caller shall do the
	// work and then call Finish or Abandon, [ErrKeyReused] or [ErrKeyInUse].
	Begin(ctx context.Context, key, fingerprint string) (*Answer, error)
	// Finish remembers the answer.
	Finish(ctx context.Context, key string, a Answer) error
	// Abandon forgets the key: nothing was done.
	Abandon(ctx context.Context, key string) error
}

// MemoryIdempotency is the [IdempotencyStore] of one process.
type MemoryIdempotency struct {
	ttl time.Duration
	max int
	now func() time.Time

	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List // of *remembered, oldest first
}

type remembered struct {
	key, fingerprint string
	answer           *Answer // nil while the first request is worked on
	until            time.Time
}

// NewMemoryIdempotency remembers up to max answers for ttl each; past max the
// oldest are forgotten. now defaults to time.Now.
func NewMemoryIdempotency(ttl time.Duration, limit int, now func() time.Time) *MemoryIdempotency {
	if now == nil {
		now = time.Now
	}
	return &MemoryIdempotency{ttl: ttl, max: limit, now: now, byKey: map[string]*list.Element{}, order: list.New()}
}

// Begin implements [IdempotencyStore].
func (m *MemoryIdempotency) Begin(_ context.Context, key, fingerprint string) (*Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for e := m.order.Front(); e != nil && (!now.Before(e.Value.(*remembered).until) || m.order.Len() >= m.max); e = m.order.Front() {
		m.remove(e)
	}
	if e, ok := m.byKey[key]; ok {
		r := e.Value.(*remembered)
		switch {
		case r.fingerprint != fingerprint:
			return nil, ErrKeyReused
		case r.answer == nil:
			return nil, ErrKeyInUse
		default:
			return r.answer, nil
		}
	}
	m.byKey[key] = m.order.PushBack(&remembered{key: key, fingerprint: fingerprint, until: now.Add(m.ttl)})
	return nil, nil
}

// Finish implements [IdempotencyStore].
func (m *MemoryIdempotency) Finish(_ context.Context, key string, a Answer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		e.Value.(*remembered).answer = &a
	}
	return nil
}

// Abandon implements [IdempotencyStore].
func (m *MemoryIdempotency) Abandon(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byKey[key]; ok {
		m.remove(e)
	}
	return nil
}

func (m *MemoryIdempotency) remove(e *list.Element) {
	m.order.Remove(e)
	delete(m.byKey, e.Value.(*remembered).key)
}
