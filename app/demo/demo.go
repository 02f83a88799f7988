// Package demo runs demonstration tasks through the real agent, at a rate that
// can be watched: successes with progress, failures that pass and that do not,
// payments, and a provider that goes down and comes back. It fakes the work, not
// the telling of it; nothing but its tasks' executors is made up.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// Config says where the demonstration sends to and how fast it goes.
type Config struct {
	CollectorURL string
	Token        string
	Namespace    string
	// Rate is how many tasks begin a second.
	Rate     float64
	SpoolDir string
	Logger   *slog.Logger
}

// maxRunning bounds the tasks that run at once: a slow machine falls behind
// instead of filling up.
const maxRunning = 64

// Run starts tasks until ctx ends, then waits for those that run.
func Run(ctx context.Context, cfg Config) (err error) {
	a, err := agent.New(agent.Config{
		Name: "demo-worker", Namespace: cfg.Namespace, CollectorURL: cfg.CollectorURL, Token: cfg.Token, SpoolDir: cfg.SpoolDir,
		Retry:   retry.Policy{MaxAttempts: 4, Base: time.Second, Cap: 10 * time.Second},
		Breaker: breaker.Config{OpenFor: 10 * time.Second},
		Logger:  cfg.Logger,
	})
	if err != nil {
		return err
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

	var running sync.WaitGroup
	defer running.Wait()
	room := make(chan struct{}, maxRunning)
	tick := time.NewTicker(time.Duration(float64(time.Second) / cfg.Rate))
	defer tick.Stop()
	began := time.Now()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		running.Go(func() {
			defer func() { <-room }()
			t := newTask(began, n)
			// What became of the task is on its timeline; nobody waits for it here.
			_, _ = a.Do(ctx, t.task, t.execute)
		})
	}
}

// task is one demonstration task and how it behaves.
type task struct {
	task  agent.Task
	began time.Time
	plan  string
}

var plans = []string{
	"success", "success", "progress", "success", "retry_then_success", "progress",
	"success", "permanent", "retry_after", "bank", "bank", "exhausted", "bank", "panic",
}

func newTask(began time.Time, n int) task {
	plan := plans[n%len(plans)]
	types := []string{"payment", "send_email", "resize_image", "withdrawal", "sync_contacts"}
	t := timeline.Task{
		ID:   fmt.Sprintf("demo-%s-%06d", began.UTC().Format("20060102T150405"), n),
		Type: types[n%len(types)], Queue: "default", Runner: "demo", UserID: fmt.Sprintf("user-%d", n%5), Provider: "demo-" + plan,
	}
	if timeline.IsMoneyMovement(t.Type) {
		t.Queue, t.Currency, t.Amount = "money", "USD", fmt.Sprintf("%d.%02d", 5+rand.IntN(295), rand.IntN(100))
	}
	t.Input = timeline.Payload(fmt.Sprintf(`{"number":%d,"plan":%q}`, n, plan))
	return task{task: agent.Task{Task: t}, began: began, plan: plan}
}

// bankPeriod and bankDown: the bank is away for the first part of each period.
const (
	bankPeriod = 90 * time.Second
	bankDown   = 30 * time.Second
)

func (t task) execute(ctx context.Context, _ agent.Task) (agent.Result, error) {
	attempt, _ := agent.AttemptFrom(ctx)
	if err := pause(ctx, time.Duration(50+rand.IntN(400))*time.Millisecond); err != nil {
		return agent.Result{}, err
	}
	switch {
	case t.plan == "progress":
		const steps = 20
		for i := 1; i <= steps; i++ {
			if err := pause(ctx, 300*time.Millisecond); err != nil {
				return agent.Result{}, err
			}
			agent.Progress(ctx, float64(i), steps, fmt.Sprintf("step %d of %d", i, steps))
		}
	case t.plan == "retry_then_success" && attempt.Number < 3:
		return agent.Result{}, &failure.HTTPError{Status: 503}
	case t.plan == "retry_after" && attempt.Number < 2:
		return agent.Result{}, agent.RetryAfter(3*time.Second, errors.New("the service asked to come back later"))
	case t.plan == "permanent":
		return agent.Result{}, agent.Permanent(errors.New("the address is not deliverable"))
	case t.plan == "exhausted":
		return agent.Result{}, errors.New("connection to the mail server was refused")
	case t.plan == "panic":
		panic("demonstration of a handler that panics")
	case t.plan == "bank" && time.Since(t.began)%bankPeriod < bankDown:
		return agent.Result{}, &failure.HTTPError{Status: 502}
	}
	return agent.Result{Output: []byte(`{"ok":true}`)}, nil
}

// pause waits, or ends with the attempt.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
