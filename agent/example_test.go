package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// exampleAgent is an agent on a directory of the example's own; a program writes
// agent.New(agent.Config{}).
func exampleAgent() (*agent.Agent, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	a, err := agent.New(agent.Config{SpoolDir: dir, Retry: retry.Policy{Base: time.Millisecond}})
	if err != nil {
		panic(err)
	}
	return a, func() {
		_ = a.Close(context.Background())
		_ = os.RemoveAll(dir)
	}
}

func ExampleAgent_Do() {
	a, done := exampleAgent()
	defer done()

	res, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{
		ID: "order-17", Type: "payment", Queue: "money", Provider: "bank", Amount: "120.00", Currency: "USD",
	}}, func(ctx context.Context, t agent.Task) (agent.Result, error) {
		attempt, _ := agent.AttemptFrom(ctx)
		if attempt.Number == 1 {
			return agent.Result{}, errors.New("connection reset")
		}
		return agent.Result{Output: fmt.Appendf(nil, `{"charged_with_key":%q}`, attempt.IdempotencyKey)}, nil
	})
	fmt.Println(string(res.Output), err)
	// Output: {"charged_with_key":"default/order-17"} <nil>
}

func ExampleWrap() {
	a, done := exampleAgent()
	defer done()

	type order struct{ ID string }
	charge := agent.Wrap(a,
		func(o order) agent.Task { return agent.Task{Task: timeline.Task{ID: o.ID, Type: "payment"}} },
		func(ctx context.Context, o order) (string, error) { return "receipt for " + o.ID, nil })

	receipt, err := charge(context.Background(), order{ID: "17"})
	fmt.Println(receipt, err)
	// Output: receipt for 17 <nil>
}

func ExampleTaskError() {
	a, done := exampleAgent()
	defer done()

	errNoFunds := errors.New("no funds")
	_, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{ID: "order-18", Type: "payment"}},
		func(context.Context, agent.Task) (agent.Result, error) {
			return agent.Result{}, agent.Permanent(errNoFunds)
		})

	var failed *agent.TaskError
	if errors.As(err, &failed) {
		fmt.Println(failed.Reason, failed.Attempts, failed.DeadLetterID)
	}
	fmt.Println(errors.Is(err, errNoFunds))
	// Output:
	// permanent 1 fb05764c-385d-8c36-b703-6a48d93d4126
	// true
}

func ExampleCheckResponse() {
	resp := &http.Response{Status: "503 Service Unavailable", StatusCode: http.StatusServiceUnavailable, Body: http.NoBody,
		Header: http.Header{"Retry-After": {"7"}}}
	// Inside an executor: return agent.Result{}, agent.CheckResponse(resp)
	fmt.Println(agent.CheckResponse(resp) != nil)
	// Output: true
}

// Under a runner that waits by itself, each delivery is one step.
func ExampleAgent_Step() {
	a, done := exampleAgent()
	defer done()

	task := agent.Task{Task: timeline.Task{ID: "job-1", Type: "report", Runner: "mine"}}
	for deliver := 1; ; deliver++ {
		step := a.Step(context.Background(), task, agent.Delivery{Run: 1, Attempt: deliver},
			func(ctx context.Context, _ agent.Task) (agent.Result, error) {
				if at, _ := agent.AttemptFrom(ctx); at.Number < 3 {
					return agent.Result{}, errors.New("not yet")
				}
				return agent.Result{}, nil
			})
		if step.Outcome != agent.Retrying {
			fmt.Println(step.Outcome == agent.Completed)
			return
		}
		fmt.Println("next attempt:", step.NextAttempt)
	}
	// Output:
	// next attempt: 2
	// next attempt: 3
	// true
}

// Some types of task want more patience than others.
func ExampleConfig_types() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	a, err := agent.New(agent.Config{
		SpoolDir: dir,
		Retry:    retry.Policy{MaxAttempts: 3, Base: time.Millisecond},
		Types: map[string]agent.TypePolicy{
			"payment": {Retry: retry.Policy{MaxAttempts: 8}, Timeout: 30 * time.Second},
			"report":  {Retry: retry.Policy{MaxAttempts: 1}},
		},
	})
	if err != nil {
		panic(err)
	}
	defer a.Close(context.Background())

	for _, kind := range []string{"payment", "report", "email"} {
		_, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{ID: kind + "-1", Type: kind}},
			func(context.Context, agent.Task) (agent.Result, error) { return agent.Result{}, errors.New("unwell") })
		var failed *agent.TaskError
		if errors.As(err, &failed) {
			fmt.Println(kind, failed.Attempts)
		}
	}
	// Output:
	// payment 8
	// report 1
	// email 3
}

// What an attempt knows of itself: the key makes a repeated charge one charge.
func ExampleAttemptFrom() {
	a, done := exampleAgent()
	defer done()

	charge := a.Wrap(func(ctx context.Context, t agent.Task) (agent.Result, error) {
		at, _ := agent.AttemptFrom(ctx)
		fmt.Printf("run %d, attempt %d of %d, key %s\n", at.Run, at.Number, at.MaxAttempts, at.IdempotencyKey)
		if at.Number < 2 {
			return agent.Result{}, errors.New("connection reset")
		}
		return agent.Result{}, nil
	})
	_, err := charge(context.Background(), agent.Task{Task: timeline.Task{ID: "order-20", Type: "payment"}})
	fmt.Println(err)
	// Output:
	// run 1, attempt 1 of 5, key default/order-20
	// run 1, attempt 2 of 5, key default/order-20
	// <nil>
}

// A decline is final: no attempt is left that could change it.
func ExamplePermanent() {
	a, done := exampleAgent()
	defer done()

	attempts := 0
	_, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{ID: "order-19", Type: "payment"}},
		func(context.Context, agent.Task) (agent.Result, error) {
			attempts++
			return agent.Result{}, agent.Permanent(errors.New("card declined"))
		})
	fmt.Println(attempts, err)
	// Output: 1 task failed (permanent after 1 attempts): card declined
}

// A server's wish is never undercut: jitter only adds to it.
func ExampleRetryAfter() {
	a, done := exampleAgent()
	defer done()

	step := a.Step(context.Background(), agent.Task{Task: timeline.Task{ID: "job-2", Type: "report"}}, agent.Delivery{Run: 1, Attempt: 1},
		func(context.Context, agent.Task) (agent.Result, error) {
			return agent.Result{}, agent.RetryAfter(2*time.Minute, errors.New("busy"))
		})
	fmt.Println(step.Outcome == agent.Retrying, step.Delay >= 2*time.Minute)
	// Output: true true
}

func ExampleProgress() {
	a, done := exampleAgent()
	defer done()

	res, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{ID: "job-3", Type: "export"}},
		func(ctx context.Context, _ agent.Task) (agent.Result, error) {
			const pages = 3
			for page := range pages {
				agent.Progress(ctx, float64(page+1), pages, "pages written")
			}
			return agent.Result{Output: []byte(`"export.pdf"`)}, nil
		})
	fmt.Println(string(res.Output), err)
	// Output: "export.pdf" <nil>
}
