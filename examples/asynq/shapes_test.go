package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

// Variables that make this test binary a worker.
const (
	envRedis     = "EXAMPLE_WORKER_REDIS"
	envCollector = "EXAMPLE_WORKER_COLLECTOR"
	envSpool     = "EXAMPLE_WORKER_SPOOL"
	envToken     = "EXAMPLE_WORKER_TOKEN"
)

// The usual lives of a task, under asynq on a real Redis, with workers that are
// processes and a `tasktrail up` on another Redis, which is emptied.
func TestShapes(t *testing.T) {
	queue, nerve := livetest.Start(t), livetest.Start(t)
	u := uptest.Start(t, "--redis-url", nerve.URL(), "--lost-after", "5s")
	opt, err := asynq.ParseRedisURI(queue.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := asynq.NewClient(opt)
	a, err := agent.New(uptest.ShapeAgent(u.Collector(), u.Token, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	r, err := asynqrunner.New(a, asynqrunner.Config{Describe: describeShape})
	if err != nil {
		t.Fatal(err)
	}
	spool := t.TempDir()
	uptest.RunShapes(t, u, nerve.RestartEmpty, &shapesRunner{r, client, []string{
		envRedis + "=" + queue.URL(), envCollector + "=" + u.Collector(), envSpool + "=" + spool, envToken + "=" + u.Token,
	}})
}

func describeShape(t *asynq.Task) agent.Task { return uptest.ShapeTask(t.Payload()) }

type shapesRunner struct {
	runner *asynqrunner.Runner
	client *asynq.Client
	env    []string
}

func (s *shapesRunner) Enqueue(t testing.TB, shape uptest.Shape) string {
	t.Helper()
	payload, err := json.Marshal(shape.Input)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.runner.EnqueueContext(t.Context(), s.client, asynq.NewTask(uptest.ShapeType, payload), asynq.ProcessIn(shape.Delay))
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

func (s *shapesRunner) Work(t testing.TB) *proctest.Process {
	t.Helper()
	return proctest.Start(t, s.env, os.Args[0])
}

// work is a worker, until it is killed.
func work() error {
	opt, err := asynq.ParseRedisURI(os.Getenv(envRedis))
	if err != nil {
		return err
	}
	a, err := agent.New(uptest.ShapeAgent(os.Getenv(envCollector), os.Getenv(envToken), os.Getenv(envSpool)))
	if err != nil {
		return err
	}
	if err := a.Start(context.Background()); err != nil {
		return err
	}
	r, err := asynqrunner.New(a, asynqrunner.Config{
		Describe: describeShape, Client: asynq.NewClient(opt), Inspector: asynq.NewInspector(opt), Queues: []string{"default"},
	})
	if err != nil {
		return err
	}
	mux := asynq.NewServeMux()
	mux.Use(r.Middleware())
	mux.HandleFunc(uptest.ShapeType, func(ctx context.Context, t *asynq.Task) error { return uptest.Act(ctx, t.Payload()) })
	return asynq.NewServer(opt, r.Configure(asynq.Config{
		Concurrency: 10, TaskCheckInterval: 50 * time.Millisecond, DelayedTaskCheckInterval: 100 * time.Millisecond,
	})).Run(mux)
}

func TestMain(m *testing.M) {
	if os.Getenv(envRedis) != "" {
		fmt.Fprintln(os.Stderr, "the worker ended:", work())
		os.Exit(1)
	}
	uptest.Main(m)
}
