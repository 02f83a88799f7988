// Command asynq is a worker as people have it: asynq on Redis, tasks that call an
// HTTP service which fails in every way services fail. The agent wraps its
// handler in three lines. It enqueues its tasks, works until each of them has
// ended, and with -serve stays to take the retries that operators ask for.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	goredis "github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

type options struct {
	redis, collector, token, prefix, service, spool string
	tasks                                           int
	serve                                           bool
	within                                          time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.redis, "redis", "redis://127.0.0.1:6379", "URL of the Redis server that asynq uses")
	flag.StringVar(&o.collector, "collector", "http://127.0.0.1:4318", "Tasktrail collector, OTLP over HTTP")
	flag.StringVar(&o.token, "token", os.Getenv("TASKTRAIL_TOKEN"), "token with the scope agent; retries need one")
	flag.StringVar(&o.prefix, "prefix", time.Now().Format("150405"), "what the ids of this round's tasks begin with")
	flag.StringVar(&o.service, "service", "127.0.0.1:9199", "where the unreliable service listens; POST /heal mends it")
	flag.StringVar(&o.spool, "spool", "", "folder of the agent's spool; the user's cache where empty")
	flag.IntVar(&o.tasks, "tasks", 1000, "how many tasks to enqueue")
	flag.BoolVar(&o.serve, "serve", false, "stay after the tasks have ended, and take retries")
	flag.DurationVar(&o.within, "within", 5*time.Minute, "how long the tasks may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	svc, err := startService(ctx, o.service)
	if err != nil {
		return err
	}
	defer svc.close()

	a, err := agent.New(agent.Config{
		Name: "example-worker", CollectorURL: o.collector, Token: o.token, SpoolDir: o.spool,
		Retry:   retry.Policy{Base: 200 * time.Millisecond, Cap: 2 * time.Second},
		Breaker: breaker.Config{OpenFor: 20 * time.Second},
		Timeout: time.Second,
	})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, a.Close(closeCtx))
	}()

	redis, err := asynq.ParseRedisURI(o.redis)
	if err != nil {
		return fmt.Errorf("-redis: %w", err)
	}
	client, inspector := asynq.NewClient(redis), asynq.NewInspector(redis)
	defer client.Close()
	defer inspector.Close()
	numbers, ok := redis.MakeRedisClient().(goredis.UniversalClient)
	if !ok {
		return errors.New("asynq's Redis is none that numbers can be kept in")
	}
	defer numbers.Close()
	r, err := asynqrunner.New(a, asynqrunner.Config{
		Describe: describe, Client: client, Inspector: inspector, Redis: numbers, Queues: []string{"default", "money"},
	})
	if err != nil {
		return err
	}
	ends := &ended{left: map[string]bool{}, done: make(chan struct{})}
	mux := asynq.NewServeMux()
	mux.Use(ends.watch, r.Middleware())
	for _, t := range taskTypes {
		mux.HandleFunc(t, callService)
	}
	server := asynq.NewServer(redis, r.Configure(asynq.Config{
		Concurrency: 32, Queues: map[string]int{"default": 1, "money": 2}, LogLevel: asynq.ErrorLevel,
		DelayedTaskCheckInterval: 100 * time.Millisecond, TaskCheckInterval: 50 * time.Millisecond, ShutdownTimeout: 5 * time.Second,
	}))
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("start the asynq server: %w", err)
	}
	defer func() {
		server.Shutdown()
		waitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, r.Wait(waitCtx))
	}()

	tasks := plan(o.prefix, svc.url()+"/work", o.tasks)
	ends.expect(tasks)
	for _, t := range tasks {
		payload, err := json.Marshal(t)
		if err != nil {
			return err
		}
		opts := []asynq.Option{asynq.TaskID(t.ID), asynq.Queue(t.Queue)}
		if _, err := r.EnqueueContext(ctx, client, asynq.NewTask(t.Type, payload), opts...); err != nil {
			return fmt.Errorf("enqueue %s: %w", t.ID, err)
		}
	}
	slog.Info("enqueued", "tasks", len(tasks), "prefix", o.prefix)

	timeout := time.NewTimer(o.within)
	defer timeout.Stop()
	select {
	case <-ends.done:
		slog.Info("every task has ended", "calls", svc.calls.Load())
	case <-timeout.C:
		return fmt.Errorf("%d tasks have not ended within %v", ends.count(), o.within)
	case <-ctx.Done():
		return nil
	}
	if o.serve {
		slog.Info("waiting for retries; mend the service with", "command", "curl -X POST "+svc.url()+"/heal")
		<-ctx.Done()
	}
	return nil
}

// describe tells the agent what a task is about.
func describe(t *asynq.Task) agent.Task {
	var p planned
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return agent.Task{} // the handler fails on it, and that is recorded
	}
	return agent.Task{Task: timeline.Task{
		Provider: p.Provider, UserID: p.User, Amount: p.Amount, Currency: p.Currency, MaxAttempts: p.MaxAttempts,
		Metadata: map[string]string{"life": p.Life},
	}}
}

var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// callService is the handler: an ordinary one, which knows nothing of retries.
func callService(ctx context.Context, t *asynq.Task) error {
	var p planned
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return agent.Permanent(fmt.Errorf("undecodable payload: %w", err))
	}
	attempt, _ := agent.AttemptFrom(ctx)
	body, err := json.Marshal(call{TaskID: p.ID, Attempt: attempt.Number, Plan: p.Plan})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return agent.Permanent(err)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := agent.CheckResponse(resp); err != nil {
		return err
	}
	var answer map[string]any
	return json.NewDecoder(resp.Body).Decode(&answer)
}

// ended notices when every task of the round has ended, for good or ill.
type ended struct {
	mu   sync.Mutex
	left map[string]bool
	done chan struct{}
}

func (e *ended) expect(tasks []planned) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, t := range tasks {
		e.left[t.ID] = true
	}
}

func (e *ended) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.left)
}

func (e *ended) watch(next asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		err := next.ProcessTask(ctx, t)
		if err == nil || errors.Is(err, asynq.SkipRetry) {
			id, _ := asynq.GetTaskID(ctx)
			e.mu.Lock()
			delete(e.left, id)
			if len(e.left) == 0 {
				select {
				case <-e.done:
				default:
					close(e.done)
				}
			}
			e.mu.Unlock()
		}
		return err
	})
}
