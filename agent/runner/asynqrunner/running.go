package asynqrunner

import (
	"context"
	"sync"
)

// running counts the handlers that have not returned, those among them that asynq
// has given up on.
type running struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again; nil while nobody waits
}

func (r *running) begin() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n--
		if r.n == 0 && r.idle != nil {
			close(r.idle)
			r.idle = nil
		}
	}
}

// Wait returns when no handler runs any more, or with ctx's error. It is for after
// the server's Shutdown, which does not wait for the handlers it has interrupted.
func (r *Runner) Wait(ctx context.Context) error {
	r.running.mu.Lock()
	if r.running.n == 0 {
		r.running.mu.Unlock()
		return nil
	}
	if r.running.idle == nil {
		r.running.idle = make(chan struct{})
	}
	idle := r.running.idle
	r.running.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
