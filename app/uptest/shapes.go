package uptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// Then is what happens to a task from outside once it has come so far.
type Then string

// What may happen.
const (
	ThenNothing Then = ""
	// ThenRetry: an operator retries its dead letter.
	ThenRetry Then = "retry"
	// ThenCancel: an operator cancels it, while it runs or while it waits.
	ThenCancel Then = "cancel"
	// ThenKill: its worker is killed under it, and started again once that is on
	// record.
	ThenKill Then = "kill"
	// ThenRetryUnserved: an operator retries it while no worker is there, and what
	// Redis held is lost before one comes.
	ThenRetryUnserved Then = "retry_unserved"
)

// Shape is a life that a task can lead under any runner: the same events in the
// same order, whatever the runner.
type Shape struct {
	Name  string
	Input ShapeInput
	// Delay is how long the runner keeps it before its first attempt.
	Delay time.Duration
	Then  Then
	// Patch edits the input of the retry.
	Patch string
	Life  []string
	// Proof is how it stopped, where it is cancelled.
	Proof string
}

// ShapeInput is the payload of a shape's task.
type ShapeInput struct {
	// Plans say for each run what each of its attempts does: ok, fail, permanent,
	// or hang until its context ends. The last of each holds for all that follow.
	Plans       [][]string `json:"plans"`
	MaxAttempts int        `json:"max_attempts,omitempty"`
}

var errUnwell = errors.New("the service is not well")

// Shapes are the lives that every runner's tasks can lead.
func Shapes(t testing.TB) []Shape {
	known := Lives(t)
	retried := []string{
		"r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success",
		"r2 task_completed", "r2 dlq_resolved",
	}
	return []Shape{
		{Name: "success", Input: plans("ok"), Life: known["success"]},
		{Name: "retry then success", Input: ShapeInput{Plans: [][]string{{"fail", "ok"}}}, Life: known["retry_then_success"]},
		{
			Name: "exhausted, then retried", Input: ShapeInput{Plans: [][]string{{"fail"}, {"ok"}}, MaxAttempts: 2}, Then: ThenRetry,
			Life: slices.Concat(known["exhausted_after_2"], retried),
		},
		{Name: "permanent", Input: plans("permanent"), Life: known["permanent"]},
		{
			Name: "permanent, then edited and retried", Input: plans("permanent"), Then: ThenRetry, Patch: `{"plans":[["ok"]]}`,
			Life: known["manual_retry_succeeds"],
		},
		{
			Name: "cancelled while running", Input: plans("hang"), Then: ThenCancel, Proof: "stopped",
			Life: known["cancelled_while_running"],
		},
		{
			Name: "cancelled while waiting", Input: plans("ok"), Delay: time.Hour, Then: ThenCancel, Proof: "not_running",
			Life: []string{"r1 task_created", "r1 cancel_requested", "r1 task_cancelled"},
		},
		{
			Name: "worker died, then resumed", Input: ShapeInput{Plans: [][]string{{"hang", "ok"}}}, Then: ThenKill,
			Life: known["worker_died_then_resumed"],
		},
		{
			Name: "Redis lost in the middle of a retry", Input: plans("permanent", "ok"), Then: ThenRetryUnserved,
			Life: known["manual_retry_succeeds"],
		},
	}
}

// plans makes an input whose runs do one thing each.
func plans(runs ...string) ShapeInput {
	var in ShapeInput
	for _, r := range runs {
		in.Plans = append(in.Plans, []string{r})
	}
	return in
}

// ShapeType is the type of the shapes' tasks.
const ShapeType = "payment"

// ShapeTask is what a task of a shape is about; for a runner's Describe.
func ShapeTask(input []byte) agent.Task {
	var in ShapeInput
	if json.Unmarshal(input, &in) != nil {
		return agent.Task{}
	}
	return agent.Task{Task: timeline.Task{MaxAttempts: in.MaxAttempts, UserID: "user-7", Amount: "120.00", Currency: "USD"}}
}

// ShapeAgent is the configuration of an agent for the shapes: it waits little, and
// no provider's breaker opens.
func ShapeAgent(collector, token, spool string) agent.Config {
	return agent.Config{
		Name: "shapes", CollectorURL: collector, Token: token, SpoolDir: spool,
		Retry:   retry.Policy{Base: 100 * time.Millisecond, Cap: 200 * time.Millisecond},
		Breaker: breaker.Config{FailureRate: -1, ConsecutiveFailures: -1},
	}
}

// Planned is the word for an attempt; for runners whose handler is no Go function.
func Planned(input []byte, run, attempt int) (string, error) {
	var in ShapeInput
	if err := json.Unmarshal(input, &in); err != nil {
		return "", err
	}
	if run < 1 || attempt < 1 || len(in.Plans) == 0 {
		return "", fmt.Errorf("attempt %d of run %d of %s: nothing to do", attempt, run, input)
	}
	plan := in.Plans[min(run, len(in.Plans))-1]
	return plan[min(attempt, len(plan))-1], nil
}

// Act does what the plan says for the attempt of ctx; for a runner's handler.
func Act(ctx context.Context, input []byte) error {
	at, _ := agent.AttemptFrom(ctx)
	word, err := Planned(input, at.Run, at.Number)
	if err != nil {
		return agent.Permanent(err)
	}
	switch word {
	case "ok":
		return nil
	case "permanent":
		return agent.Permanent(errUnwell)
	case "hang":
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return errUnwell
}
