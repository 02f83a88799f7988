// Command asynqworker is the worker on asynq of the tests under faults: it works
// through a queue of a real Redis, calls the tests' receiver, and enqueues what it
// is asked to over HTTP, until it is stopped or killed. It is in a module of its
// own, so that asynq stays out of the product's.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/chaos/orders"
	"github.com/tasktrail/tasktrail/timeline"
)

// settings come as JSON in the one argument.
type settings struct {
	// Redis holds the queue; Listen takes the tasks.
	Redis, Listen                     string
	Spool, Collector, Token, Receiver string
	MaxAttempts                       int
}

const (
	queue    = "chaos-asynq"
	taskType = "payment"
)

func main() {
	var s settings
	err := errors.New("settings, as JSON, are the one argument")
	if len(os.Args) == 2 {
		err = json.Unmarshal([]byte(os.Args[1]), &s)
	}
	if err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "asynqworker:", err)
		os.Exit(1)
	}
}

func run(s settings) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := agent.New(agent.Config{
		Name: "chaos-asynq", CollectorURL: s.Collector, Token: s.Token, SpoolDir: s.Spool,
		Retry:   retry.Policy{MaxAttempts: s.MaxAttempts, Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond},
		Breaker: breaker.Config{FailureRate: -1, ConsecutiveFailures: -1}, Timeout: 20 * time.Second,
	})
	if err != nil {
		return err
	}
	opt := asynq.RedisClientOpt{Addr: s.Redis}
	client, inspector, numbers := asynq.NewClient(opt), asynq.NewInspector(opt), redis.NewClient(&redis.Options{Addr: s.Redis})
	defer func() { err = errors.Join(err, client.Close(), inspector.Close(), numbers.Close()) }()
	r, err := asynqrunner.New(a, asynqrunner.Config{
		Client: client, Inspector: inspector, Redis: numbers, Queues: []string{queue}, Describe: describe,
	})
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = errors.Join(err, r.Wait(closing), a.Close(closing))
	}()
	mux := asynq.NewServeMux()
	mux.Use(r.Middleware())
	mux.HandleFunc(taskType, func(ctx context.Context, t *asynq.Task) error { return call(ctx, s.Receiver, t) })
	server := asynq.NewServer(opt, r.Configure(asynq.Config{
		Concurrency: 8, Queues: map[string]int{queue: 1}, TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 20 * time.Millisecond,
		ShutdownTimeout: 5 * time.Second, LogLevel: asynq.ErrorLevel,
	}))
	// Redis may be away at the moment: a worker waits for it, as its supervisor would.
	for server.Ping() != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := server.Start(mux); err != nil {
		return err
	}
	defer server.Shutdown()
	return orders.Serve(ctx, s.Listen, func(ctx context.Context, id string) error {
		payload, err := json.Marshal(map[string]string{"order": id})
		if err != nil {
			return err
		}
		_, err = r.EnqueueContext(ctx, client, asynq.NewTask(taskType, payload), asynq.TaskID(id), asynq.Queue(queue), asynq.Retention(24*time.Hour))
		if errors.Is(err, asynq.ErrTaskIDConflict) { // it was taken before
			return nil
		}
		return err
	})
}

// describe has each task call a provider of its own.
func describe(t *asynq.Task) agent.Task {
	var p struct{ Order string }
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return agent.Task{} // the handler fails on it, and that is recorded
	}
	return agent.Task{Task: timeline.Task{Provider: p.Order, UserID: "user-7", Amount: "120.00", Currency: "USD"}, Requeueable: true}
}

// call has the receiver do the task's work.
func call(ctx context.Context, receiver string, t *asynq.Task) error {
	var p struct{ Order string }
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return agent.Permanent(err)
	}
	_, err := orders.Call(ctx, receiver, p.Order, t.Payload())
	return err
}
