package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

func TestMain(m *testing.M) { uptest.Main(m) }

func newAgent(t *testing.T, u *uptest.Up, cfg agent.Config) *agent.Agent {
	t.Helper()
	cfg.CollectorURL, cfg.Token = u.Collector(), u.Token
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = t.TempDir()
	}
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Errorf("close the agent: %v", err)
		}
	})
	return a
}

var plannedLives = []string{"success", "success", "retry_then_success", "exhausted_after_2", "permanent"}

func planned(life string) agent.Func {
	return func(ctx context.Context, _ agent.Task) (agent.Result, error) {
		n, _ := agent.AttemptFrom(ctx)
		switch {
		case life == "permanent":
			return agent.Result{}, agent.Permanent(errors.New("no such account"))
		case life == "exhausted_after_2", life == "retry_then_success" && n.Number == 1:
			return agent.Result{}, errors.New("the service is not well")
		}
		return agent.Result{Output: []byte(`{"ok":true}`)}, nil
	}
}

// Whatever is killed and whenever: afterwards every event of every task is there,
// once.
func TestKillNineLosesNothing(t *testing.T) {
	u := uptest.Start(t)
	lives := uptest.Lives(t)
	a := newAgent(t, u, agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: 20 * time.Millisecond, Cap: 50 * time.Millisecond}})

	const tasks, workers = 400, 8
	numbers := make(chan int)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for i := range numbers {
				life := plannedLives[i%len(plannedLives)]
				_, _ = a.Do(t.Context(), agent.Task{Task: timeline.Task{
					ID: fmt.Sprintf("kill-%s-%d", life, i), Type: "payment", Queue: "money", Provider: fmt.Sprintf("p-%d", i), Amount: "120.00", Currency: "USD",
				}}, planned(life))
			}
		})
	}
	killAt := map[int]string{}
	for _, what := range []string{"everything", "tasktrail alone", "everything"} {
		killAt[20+rand.IntN(tasks-40)] = what
	}
	for i := range tasks {
		numbers <- i
		switch killAt[i] {
		case "everything":
			t.Logf("kill -9 of everything at task %d", i)
			u.Process.Kill()
			u.Restart()
		case "tasktrail alone":
			t.Logf("kill -9 of tasktrail at task %d", i)
			u.Process.KillAlone()
			u.Restart()
		}
	}
	close(numbers)
	working.Wait()

	want := 0
	for i := range tasks {
		life := plannedLives[i%len(plannedLives)]
		want += len(lives[life])
		id := fmt.Sprintf("kill-%s-%d", life, i)
		proctest.Eventually(t, 30*time.Second, id+" has its life", func() (bool, string) {
			got, err := u.Life(id)
			return err == nil && slices.Equal(got, lives[life]), fmt.Sprint(got, err)
		})
	}
	counts, err := u.SQL("SELECT count(), uniqExact(event_id) FROM events FINAL WHERE task_id LIKE 'kill-%' FORMAT TSV")
	if err != nil {
		t.Fatal(err)
	}
	if counts != fmt.Sprintf("%d\t%d", want, want) {
		t.Errorf("the store holds (rows, different events) %q, want %d of both", counts, want)
	}
	if out, err := u.Run("verify"); err != nil {
		t.Errorf("tasktrail verify: %v\n%s", err, out)
	}
}
