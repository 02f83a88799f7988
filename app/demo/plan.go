package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/failure"
	"github.com/tasktrail/tasktrail/agent/runner/httprunner"
	"github.com/tasktrail/tasktrail/timeline"
)

// The queues of the demonstration, and how long a task waits in them.
const (
	queueDefault = "default"
	queueMoney   = "money"
	backlog      = 700 * time.Millisecond
)

// bankPeriod and bankDown: the bank is away for the first part of each period.
const (
	bankPeriod = 90 * time.Second
	bankDown   = 30 * time.Second
)

// planKey is where a task's metadata say its plan.
const planKey = "plan"

// The plans: how a task's work behaves.
const (
	planSuccess    = "success"
	planProgress   = "progress"           // tells how far it is
	planLong       = "long"               // can be cancelled
	planDeaf       = "deaf"               // does not look at its context
	planFlaky      = "flaky"              // the first two attempts fail
	planRetryAfter = "retry_after"        // the service says when to come back
	planMailbox    = "bad_address"        // permanent, until a retry finds the address mended
	planExhausted  = "mail_down"          // every attempt of the first run fails
	planPanic      = "panic"              // a bug: every run fails
	planBank       = "bank"               // a provider that goes away and comes back
	planDeadline   = "out_of_time"        // the deadline passes before the retry could
	planLongWait   = "come_back_tomorrow" // a Retry-After that is too long
	planNoCallback = "no_callback"        // nobody said whom to call
	planUnwanted   = "unwanted"           // somebody cancels it
	planRestart    = "restart"            // its worker is shut down, and is back soon
	planDies       = "worker_dies"        // its worker dies: lost, then delivered again
)

// plans is the order in which tasks follow one another.
var plans = []string{
	planSuccess, planProgress, planBank, planFlaky, planSuccess, planMailbox, planBank, planLong, planRetryAfter,
	planSuccess, planBank, planExhausted, planProgress, planPanic, planBank, planDeaf, planSuccess, planDeadline, planFlaky, planLongWait,
	planRestart, planNoCallback, planUnwanted, planDies,
}

// input is what a demonstration task is given.
type input struct {
	Number int    `json:"number"`
	Plan   string `json:"plan"`
}

func newTask(began time.Time, n int) agent.Task {
	plan := plans[n%len(plans)]
	types := []string{"payment", "send_email", "resize_image", "withdrawal", "sync_contacts", "monthly_report", "webhook"}
	t := timeline.Task{
		ID:   fmt.Sprintf("demo-%s-%06d", began.UTC().Format("20060102T150405"), n),
		Type: types[n%len(types)], Queue: queueDefault, Runner: "demo", UserID: fmt.Sprintf("user-%d", n%5), Provider: provider(plan, n),
		Metadata: map[string]string{planKey: plan},
	}
	if timeline.IsMoneyMovement(t.Type) {
		t.Queue, t.Currency, t.Amount = queueMoney, "USD", fmt.Sprintf("%d.%02d", 5+rand.IntN(295), rand.IntN(100))
		t.Metadata["payment_reference"] = fmt.Sprintf("INV-%04d", n/len(types))
	}
	t.Input, _ = json.Marshal(input{Number: n, Plan: plan}) // two plain fields: it cannot fail
	if plan == planExhausted {
		t.MaxAttempts = 2
	}
	task := agent.Task{Task: t}
	if plan == planDeadline {
		task.Deadline = time.Now().Add(backlog + 800*time.Millisecond)
	}
	return task
}

// provider keeps the plans from tripping one another's breakers.
func provider(plan string, n int) string {
	switch plan {
	case planFlaky:
		return fmt.Sprintf("crm-%d", n%7)
	case planBank:
		return "bank"
	case planExhausted, planMailbox:
		return "mail-" + plan
	case planSuccess, planProgress, planLong, planDeaf, planUnwanted, planRestart, planDies:
		return "internal"
	default:
		return plan
	}
}

// execute does the work of a task, running the demonstration's plan for it; age
// is how long the demonstration has been running, and end is done when it ends.
func execute(ctx, end context.Context, t agent.Task, age time.Duration) (agent.Result, error) {
	var in input
	if err := json.Unmarshal(t.Input, &in); err != nil {
		return agent.Result{}, agent.Permanent(fmt.Errorf("input: %w", err))
	}
	attempt, _ := agent.AttemptFrom(ctx)
	if err := pause(ctx, time.Duration(50+rand.IntN(400))*time.Millisecond); err != nil {
		return agent.Result{}, err
	}
	switch {
	case in.Plan == planProgress:
		return steps(ctx, 20, 300*time.Millisecond)
	case in.Plan == planUnwanted && attempt.Run == 1:
		return steps(ctx, 30, time.Second)
	case in.Plan == planRestart && attempt.Number == 1 && attempt.Run == 1:
		return steps(ctx, 5, time.Second)
	case in.Plan == planNoCallback:
		caller := httprunner.New(httprunner.Config{})
		defer caller.Close()
		return caller.Func("")(ctx, t)
	case in.Plan == planLong:
		return steps(ctx, 60, time.Second)
	case in.Plan == planDeaf:
		return steps(end, 20, time.Second) // and not on ctx
	case in.Plan == planFlaky && attempt.Number < 3:
		return agent.Result{}, &failure.HTTPError{Status: 503}
	case in.Plan == planRetryAfter && attempt.Number < 2:
		return agent.Result{}, agent.RetryAfter(3*time.Second, errors.New("the service asked to come back later"))
	case in.Plan == planLongWait && attempt.Run == 1:
		return agent.Result{}, agent.RetryAfter(24*time.Hour, errors.New("the monthly quota is used up"))
	case in.Plan == planMailbox && attempt.Run == 1:
		return agent.Result{}, agent.Permanent(errors.New("the address is not deliverable"))
	case in.Plan == planExhausted && attempt.Run == 1:
		return agent.Result{}, errors.New("connection to the mail server was refused")
	case in.Plan == planDeadline && attempt.Run == 1:
		return agent.Result{}, errors.New("the printer is out of paper")
	case in.Plan == planPanic:
		panic("demonstration of a handler that panics")
	case in.Plan == planBank && age%bankPeriod < bankDown:
		return agent.Result{}, &failure.HTTPError{Status: 502}
	}
	return agent.Result{Output: []byte(`{"ok":true}`)}, nil
}

// steps is work that tells how far it is.
func steps(ctx context.Context, n int, each time.Duration) (agent.Result, error) {
	for i := 1; i <= n; i++ {
		if err := pause(ctx, each); err != nil {
			return agent.Result{}, err
		}
		agent.Progress(ctx, float64(i), float64(n), fmt.Sprintf("step %d of %d", i, n))
	}
	return agent.Result{Output: fmt.Appendf(nil, `{"ok":true,"steps":%d}`, n)}, nil
}
