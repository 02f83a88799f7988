package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner/pgtest"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

// Variables that make this test binary a worker.
const (
	envDatabase  = "EXAMPLE_WORKER_DATABASE"
	envCollector = "EXAMPLE_WORKER_COLLECTOR"
	envSpool     = "EXAMPLE_WORKER_SPOOL"
	envToken     = "EXAMPLE_WORKER_TOKEN"
)

// shapeArgs are the arguments of a shape's job.
type shapeArgs struct{ uptest.ShapeInput }

func (shapeArgs) Kind() string { return uptest.ShapeType }

// database makes a server and a database with River's tables, which end with the
// test.
func database(t *testing.T) (string, *pgxpool.Pool) {
	t.Helper()
	server, err := pgtest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	url, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	return url, pool
}

// The usual lives of a task, under River on a real PostgreSQL, with workers that
// are processes and a `tasktrail up` on a Redis that is emptied.
func TestShapes(t *testing.T) {
	url, pool := database(t)
	nerve := livetest.Start(t)
	u := uptest.Start(t, "--redis-url", nerve.URL(), "--lost-after", "5s")
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
	})
	r, err := riverrunner.New(a, riverrunner.Config{Describe: describeShape})
	if err != nil {
		t.Fatal(err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{Logger: slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	spool := t.TempDir()
	uptest.RunShapes(t, u, nerve.RestartEmpty, &shapesRunner{client, []string{
		envDatabase + "=" + url, envCollector + "=" + u.Collector(), envSpool + "=" + spool, envToken + "=" + u.Token,
	}})
}

func describeShape(job *rivertype.JobRow) agent.Task { return uptest.ShapeTask(job.EncodedArgs) }

type shapesRunner struct {
	client *river.Client[pgx.Tx]
	env    []string
}

func (s *shapesRunner) Enqueue(t testing.TB, shape uptest.Shape) string {
	t.Helper()
	var opts river.InsertOpts
	if shape.Delay > 0 {
		opts.ScheduledAt = time.Now().Add(shape.Delay)
	}
	res, err := s.client.Insert(t.Context(), shapeArgs{shape.Input}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("river:default:%d", res.Job.ID)
}

func (s *shapesRunner) Work(t testing.TB) *proctest.Process {
	t.Helper()
	return proctest.Start(t, s.env, os.Args[0])
}

type shapeWorker struct {
	river.WorkerDefaults[shapeArgs]
}

func (*shapeWorker) Work(ctx context.Context, job *river.Job[shapeArgs]) error {
	input, err := json.Marshal(job.Args)
	if err != nil {
		return err
	}
	return uptest.Act(ctx, input)
}

// work is a worker, until it is killed.
func work() error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv(envDatabase))
	if err != nil {
		return err
	}
	a, err := agent.New(uptest.ShapeAgent(os.Getenv(envCollector), os.Getenv(envToken), os.Getenv(envSpool)))
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	r, err := riverrunner.New(a, riverrunner.Config{Describe: describeShape, Queues: []string{river.QueueDefault}, DB: pool})
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &shapeWorker{})
	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}}, Workers: workers,
		FetchPollInterval: 100 * time.Millisecond, FetchCooldown: 50 * time.Millisecond,
		// So that the job of a worker that died is not for an hour that worker's.
		JobTimeout: 30 * time.Second, RescueStuckJobsAfter: 31 * time.Second, TestOnly: true,
	}))
	if err != nil {
		return err
	}
	r.Attach(client)
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-client.Stopped()
	return errors.New("the client stopped")
}

func TestMain(m *testing.M) {
	if os.Getenv(envDatabase) != "" {
		fmt.Fprintln(os.Stderr, "the worker ended:", work())
		os.Exit(1)
	}
	uptest.Main(m)
}
