package app

import (
	"context"
	"time"
)

// An accepted retry that no agent took is offered again after redeliverAfter,
// looked for every reconcileEvery. It is derived from ClickHouse, so that it
// outlives a Redis that was lost and a restart of everything.
const (
	redeliverAfter = 30 * time.Second
	reconcileEvery = 10 * time.Second
)

// startReconcile begins to look for accepted retries without an answer.
func (a *App) startReconcile(ctx context.Context) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(reconcileEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := a.redeliver(ctx, redeliverAfter); err != nil && ctx.Err() == nil {
					a.log.Warn("look for accepted retries without an answer", "error", err)
				}
			}
		}
	}()
	a.undo.pushFunc("reconciliation", func() { stop(); <-done })
	return nil
}

// redeliver offers the retries that were accepted at least so long ago and have
// no answer.
func (a *App) redeliver(ctx context.Context, atLeast time.Duration) error {
	unanswered, err := a.store.UnansweredRetries(ctx, atLeast)
	if err != nil {
		return err
	}
	return a.live.Redeliver(ctx, unanswered)
}
