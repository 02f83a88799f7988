package agenttest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/timeline"
)

// A test of a program: its executor runs under a real agent, and the test looks at
// the life of the task.
func TestTheRecorderShowsALife(t *testing.T) {
	rec := agenttest.New(t, agent.Config{Retry: retry.Policy{Base: time.Millisecond}})

	_, err := rec.Do(t.Context(), agent.Task{Task: timeline.Task{ID: "order-17", Type: "payment"}},
		func(ctx context.Context, _ agent.Task) (agent.Result, error) {
			if at, _ := agent.AttemptFrom(ctx); at.Number == 1 {
				return agent.Result{}, errors.New("connection reset")
			}
			return agent.Result{}, nil
		})
	if err != nil {
		t.Fatal(err)
	}

	want := []string{
		"r1 task_created", "r1 task_started",
		"r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried",
		"r1 a2 attempt_started", "r1 a2 attempt_success", "r1 task_completed",
	}
	if life := rec.Life("order-17"); !slices.Equal(life, want) {
		t.Errorf("the task's life is %q, want %q", life, want)
	}
}

// ExampleNew is a test of a program that uses the agent.
func ExampleNew() {
	_ = func(t *testing.T) { // func TestADeclinedCardIsNotRetried
		rec := agenttest.New(t, agent.Config{})
		_, _ = rec.Do(t.Context(), agent.Task{Task: timeline.Task{ID: "order-18", Type: "payment"}},
			func(context.Context, agent.Task) (agent.Result, error) {
				return agent.Result{}, agent.Permanent(errors.New("card declined"))
			})
		types := rec.Types("order-18")
		if types[len(types)-1] != timeline.MovedToDLQ {
			t.Errorf("the task ended with %v", types)
		}
	}
}
