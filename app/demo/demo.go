// Package demo runs demonstration tasks through the real agent, at a rate that
// can be watched: every usual life of a task, payments, a provider that goes down
// and comes back by itself, work that is cancelled, workers that are restarted and
// die, and dead letters that a retry mends. It fakes the work, not the telling of
// it; nothing but its tasks' executors, the queue they wait in and the operator who
// looks after them is made up.
package demo

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
)

// Config says where the demonstration sends to and how fast it goes.
type Config struct {
	CollectorURL string
	Token        string
	Namespace    string
	// Rate is how many tasks begin a second.
	Rate     float64
	SpoolDir string
	// APIURL is where the demonstration's operator cancels and retries tasks, with
	// Token. Defaults to none: what is left is left to you.
	APIURL string
	// Worker is a command that calls [Die]. Defaults to none: no worker dies.
	Worker []string
	// Redeliver is after how long a task whose worker died is handed out again.
	// Defaults to 90 s, by which it was declared lost.
	Redeliver time.Duration
	Logger    *slog.Logger `json:"-"`
}

func (c Config) withDefaults() Config {
	if c.Redeliver == 0 {
		c.Redeliver = 90 * time.Second
	}
	return c
}

// policy is how the demonstration retries: soon enough to be watched.
var policy = retry.Policy{MaxAttempts: 4, Base: time.Second, Cap: 10 * time.Second}

// Run starts tasks until ctx ends, then waits for those that run.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg = cfg.withDefaults()
	a, err := agent.New(agent.Config{
		Name: "demo-worker", Namespace: cfg.Namespace, CollectorURL: cfg.CollectorURL, Token: cfg.Token, SpoolDir: cfg.SpoolDir,
		Retry:       policy,
		Breaker:     breaker.Config{OpenFor: 10 * time.Second},
		CancelGrace: 5 * time.Second,
		Logger:      cfg.Logger,
	})
	if err != nil {
		return err
	}
	began := time.Now()
	q := newQueue(cfg, a, func(attempt context.Context, t agent.Task) (agent.Result, error) {
		return execute(attempt, ctx, t, time.Since(began))
	})
	for _, name := range []string{queueDefault, queueMoney} {
		a.HandleQueue(name, q.again)
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, a.Close(closeCtx))
	}()
	cfg.Logger.Info("demonstration tasks are running", "namespace", cfg.Namespace, "rate", cfg.Rate)

	op := newOperator(cfg)
	tick := time.NewTicker(time.Duration(float64(time.Second) / cfg.Rate))
	defer tick.Stop()
	defer q.wait()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		t := newTask(began, n)
		if err := q.enqueue(ctx, t); err != nil {
			cfg.Logger.Warn("a demonstration task was not recorded", "error", err)
			continue
		}
		if cfg.APIURL != "" {
			q.running.Go(func() { // ends within seconds: there are few at any rate
				if err := op.watch(ctx, t.Metadata[planKey], t.ID); err != nil && ctx.Err() == nil {
					cfg.Logger.Warn("the demonstration's operator could not do it", "error", err)
				}
			})
		}
	}
}
