package app

import (
	"context"
	"time"
)

// An accepted retry or cancel that no agent took is offered again after redeliverAfter,
// looked for every reconcileEvery. It is derived from ClickHouse, so that it
// outlives a Redis that was lost and a restart of everything.
const (
	redeliverAfter = 30 * time.Second
	reconcileEvery = 10 * time.Second
)

// startReconcile begins to look for accepted retries and cancels without an answer.
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
					a.log.Warn("look for accepted retries and cancels without an answer", "error", err)
				}
			}
		}
	}()
	a.undo.pushFunc("reconciliation", func() { stop(); <-done })
	return nil
}

// redeliver offers the retries and cancels that were accepted at least so long
// ago and have no answer.
func (a *App) redeliver(ctx context.Context, atLeast time.Duration) error {
	retries, err := a.store.UnansweredRetries(ctx, atLeast)
	if err != nil {
		return err
	}
	cancels, err := a.store.UnansweredCancels(ctx, atLeast)
	if err != nil {
		return err
	}
	return a.live.Redeliver(ctx, append(retries, cancels...))
}

// maxRestored bounds the active tasks that are told to a Redis that lost them, in
// each namespace: as many as it keeps.
const maxRestored = 100_000

// restoreActive puts the tasks that run or wait back into Redis; their progress is
// unknown until the next heartbeat.
func (a *App) restoreActive(ctx context.Context) error {
	namespaces, err := a.store.Namespaces(ctx)
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		tasks, err := a.store.ActiveTasks(ctx, ns, maxRestored)
		if err != nil {
			return err
		}
		if err := a.live.RestoreActive(ctx, ns, tasks); err != nil {
			return err
		}
	}
	return nil
}
