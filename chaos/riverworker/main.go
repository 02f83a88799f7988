// Command riverworker is the worker on River of the tests under faults: it works
// through a queue of a real PostgreSQL, calls the tests' receiver, and inserts what it
// is asked to over HTTP, until it is stopped or killed. As `riverworker postgres DIR
// PORT` it becomes that PostgreSQL. It is in a module of its own, so that River stays
// out of the product's.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/breaker"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner/pgtest"
	"github.com/tasktrail/tasktrail/chaos/orders"
	"github.com/tasktrail/tasktrail/timeline"
)

// settings come as JSON in the one argument.
type settings struct {
	// Database is PostgreSQL's URL; Listen takes the tasks.
	Database, Listen                  string
	Spool, Collector, Token, Receiver string
	MaxAttempts                       int
}

// longest is how long a call may take, and with it how soon River gives the job of a
// worker that died to another.
const longest = 20 * time.Second

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "riverworker:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "postgres":
		port, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return pgtest.Become(args[1], port)
	case len(args) == 1:
		var s settings
		if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
			return err
		}
		return run(s)
	}
	return errors.New("settings, as JSON, are the one argument")
}

func run(s settings) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pool, err := database(ctx, s.Database)
	if err != nil || pool == nil {
		return err
	}
	defer pool.Close()
	a, err := agent.New(agent.Config{
		Name: "chaos-river", CollectorURL: s.Collector, Token: s.Token, SpoolDir: s.Spool,
		Retry:   retry.Policy{MaxAttempts: s.MaxAttempts, Base: 20 * time.Millisecond, Cap: 100 * time.Millisecond},
		Breaker: breaker.Config{FailureRate: -1, ConsecutiveFailures: -1}, Timeout: longest,
	})
	if err != nil {
		return err
	}
	r, err := riverrunner.New(a, riverrunner.Config{Queues: []string{river.QueueDefault}, Describe: describe, DB: pool})
	if err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &orderWorker{receiver: s.Receiver})
	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}}, Workers: workers,
		FetchPollInterval: 100 * time.Millisecond, JobTimeout: longest, RescueStuckJobsAfter: longest + time.Second, SoftStopTimeout: 5 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}))
	if err != nil {
		return err
	}
	r.Attach(client)
	if err := a.Start(ctx); err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, a.Close(closing))
	}()
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the River client: %w", err)
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, client.Stop(stopping))
	}()
	return orders.Serve(ctx, s.Listen, func(ctx context.Context, id string) error {
		return insert(ctx, pool, client, r, id)
	})
}

// database waits for PostgreSQL, which may be away at the moment, as the worker's
// supervisor would, and makes River's tables. Without a pool the worker was stopped.
func database(ctx context.Context, url string) (*pgxpool.Pool, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	for {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		if err == nil {
			_, err = pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY)")
		}
		if err == nil {
			return pool, nil
		}
		select {
		case <-ctx.Done():
			pool.Close()
			return nil, nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type orderArgs struct {
	Order string `json:"order"`
}

func (orderArgs) Kind() string { return "payment" }

// insert inserts a task's job, once: in one transaction with a row of its name, so that
// whoever did not hear the answer may ask again.
func insert(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], r *riverrunner.Runner, id string) error {
	held, created := r.Hold(ctx)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		added, err := tx.Exec(ctx, "INSERT INTO orders VALUES ($1) ON CONFLICT DO NOTHING", id)
		if err != nil || added.RowsAffected() == 0 {
			return err
		}
		_, err = client.InsertTx(held, tx, orderArgs{id}, nil)
		return err
	})
	if err == nil {
		created.Record()
	}
	return err
}

// describe has each task be called as its order is, and call a provider of its own.
func describe(job *rivertype.JobRow) agent.Task {
	var args orderArgs
	if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
		return agent.Task{} // the worker fails on it, and that is recorded
	}
	return agent.Task{Task: timeline.Task{ID: args.Order, Provider: args.Order, UserID: "user-7", Amount: "120.00", Currency: "USD"}, Requeueable: true}
}

type orderWorker struct {
	river.WorkerDefaults[orderArgs]
	receiver string
}

// Work has the receiver do the task's work.
func (w *orderWorker) Work(ctx context.Context, job *river.Job[orderArgs]) error {
	_, err := orders.Call(ctx, w.receiver, job.Args.Order, job.EncodedArgs)
	return err
}
