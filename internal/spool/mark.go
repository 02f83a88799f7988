package spool

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// mark wakes those who wait for a position to be passed. Raising it costs one
// atomic load while nobody waits for a position that low.
type mark struct {
	lowest atomic.Uint64 // the lowest position that is waited for
	mu     sync.Mutex
	ch     chan struct{}
}

func newMark() *mark {
	s := &mark{}
	s.lowest.Store(math.MaxUint64)
	return s
}

// arm returns a channel that is closed when the position is passed, or earlier.
// The caller looks again at what it waits for between arm and the channel.
func (s *mark) arm(after Position) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	if uint64(after) < s.lowest.Load() {
		s.lowest.Store(uint64(after))
	}
	return s.ch
}

// raise tells that at was reached.
func (s *mark) raise(at Position) {
	if uint64(at) > s.lowest.Load() {
		s.wakeAll()
	}
}

func (s *mark) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
	s.lowest.Store(math.MaxUint64)
}

// wait returns when reached says so, with its error, or with the context's
// cause, or with ErrClosed after done. What is reached already wins.
func (s *mark) wait(ctx context.Context, done <-chan struct{}, after Position, reached func() (bool, error)) error {
	for {
		if ok, err := reached(); ok || err != nil {
			return err
		}
		ch := s.arm(after)
		if ok, err := reached(); ok || err != nil {
			return err
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-done:
			if ok, err := reached(); ok || err != nil {
				return err
			}
			return ErrClosed
		}
	}
}
