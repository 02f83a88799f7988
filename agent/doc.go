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
// sets the least wait, [CheckResponse] turns an HTTP response into an error that
// says both, anything else is classified by package failure. Inside, [AttemptFrom]
// tells which attempt it is and [Progress] how far it is. A function of a program's
// own types becomes a task by [Wrap].
//
// # When it fails
//
// The error of a run without success is a *[TaskError]: why it ended, after how
// many attempts, the id of its dead letter, and below it the executor's own error.
// A caller that cancels its context stops the attempt, which does not count, and
// leaves no dead letter. Panics and runtime.Goexit in an executor are recorded like
// any failure. While a provider's breaker is open its tasks fail at once, without
// an attempt; once it closes, those that this agent can start again come back by
// themselves (see [Agent.HandleQueue]).
//
// # Policies
//
// [Config] has one retry policy, one breaker for each provider and one budget of
// retries for each; Config.Types sets the policy of single task types, and a
// [Task] its own most attempts, timeout and deadline. What holds for a run stands
// on its task_started.
//
// # What leaves the process
//
// Inputs and outputs are redacted and cut before they are recorded (Config.Redact);
// with Config.SealKeys the original travels encrypted, so that it can be retried.
// Events wait in the spool for a collector that is away; a full spool sheds what
// matters least, counted in [Agent.Stats] and marked as a gap in the timeline.
//
// # Tests
//
// agenttest.Recorder is an agent with a collector in memory: execute tasks with it
// and look at their lives.
package agent
