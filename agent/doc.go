// Package agent wraps the executors of a task runner: it tells retryable errors
// from permanent ones, retries with backoff, spares providers whose circuit
// breaker is open, and records every attempt, error, wait and recovery as events
// of the task's timeline, on disk before the task goes on and from there to a
// collector. It speaks to OpenTelemetry's API for spans, metrics and logs, with
// whatever providers the program has.
//
// It is not a task runner: it keeps no queue, and under a runner that waits by
// itself (see [Agent.Step]) it does not wait either. No failure of its own fails
// a task.
//
// # A tour
//
//	a, err := agent.New(agent.Config{})
//	if err != nil { … }
//	a.Start(ctx)
//	defer a.Close(ctx)
//
//	res, err := a.Do(ctx, agent.Task{Task: timeline.Task{
//		ID: "order-17", Type: "payment", Queue: "money", Provider: "bank",
//		Amount: "120.00", Currency: "USD",
//	}}, func(ctx context.Context, t agent.Task) (agent.Result, error) {
//		return charge(ctx, t) // retried while that can help
//	})
//
// An executor steers by what it returns: [Permanent] ends the run, [RetryAfter]
// sets the least wait, anything else is classified by package failure. Inside,
// [AttemptFrom] tells which attempt it is and [Progress] how far it is.
package agent
