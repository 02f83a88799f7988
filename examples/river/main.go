// Command river is a worker as people have it: River on PostgreSQL, orders that
// are inserted in a transaction and charged at a bank that fails in its ways. The
// agent wraps its client in three lines. It inserts its orders, works until each
// of them has ended, and with -serve stays to take the retries and cancels that
// operators ask for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
)

type options struct {
	database, collector, token, spool string
	orders                            int
	serve                             bool
	within                            time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.database, "database", "postgres://127.0.0.1:5432/river", "URL of the PostgreSQL database; River's tables are made in it")
	flag.StringVar(&o.collector, "collector", "http://127.0.0.1:4318", "Tasktrail collector, OTLP over HTTP")
	flag.StringVar(&o.token, "token", os.Getenv("TASKTRAIL_TOKEN"), "token with the scope agent; retries need one")
	flag.StringVar(&o.spool, "spool", "", "folder of the agent's spool; the user's cache where empty")
	flag.IntVar(&o.orders, "orders", 100, "how many orders to charge")
	flag.BoolVar(&o.serve, "serve", false, "stay after the orders have ended, and take retries and cancels")
	flag.DurationVar(&o.within, "within", 5*time.Minute, "how long the orders may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

// run returns the ids of the orders' jobs.
func run(ctx context.Context, o options) (jobs []int64, err error) {
	pool, err := pgxpool.New(ctx, o.database)
	if err != nil {
		return nil, fmt.Errorf("-database: %w", err)
	}
	defer pool.Close()
	if err := migrate(ctx, pool); err != nil {
		return nil, fmt.Errorf("make River's tables: %w", err)
	}

	a, err := agent.New(agent.Config{
		Name: "example-river", CollectorURL: o.collector, Token: o.token, SpoolDir: o.spool,
		Retry: retry.Policy{MaxAttempts: 3, Base: 200 * time.Millisecond, Cap: 2 * time.Second},
	})
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, err
	}
	defer func() {
		closeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, a.Close(closeCtx))
	}()

	workers := river.NewWorkers()
	river.AddWorker(workers, &chargeWorker{})
	r, err := riverrunner.New(a, riverrunner.Config{Describe: describe, Queues: []string{river.QueueDefault}, DB: pool})
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 20}}, Workers: workers,
		SoftStopTimeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}))
	if err != nil {
		return nil, err
	}
	r.Attach(client)

	ended, unsubscribe := client.Subscribe(river.EventKindJobCompleted, river.EventKindJobCancelled)
	defer unsubscribe()
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("start the River client: %w", err)
	}
	defer func() { err = errors.Join(err, client.Stop(context.WithoutCancel(ctx))) }()

	if jobs, err = insert(ctx, pool, client, r, o.orders); err != nil {
		return nil, fmt.Errorf("insert the orders: %w", err)
	}
	slog.Info("inserted", "orders", len(jobs))
	timeout := time.NewTimer(o.within)
	defer timeout.Stop()
	for left := len(jobs); left > 0; left-- {
		select {
		case <-ended:
		case <-timeout.C:
			return jobs, fmt.Errorf("%d orders have not ended within %v", left, o.within)
		case <-ctx.Done():
			return jobs, nil
		}
	}
	slog.Info("every order has ended")
	if o.serve {
		slog.Info("waiting for retries and cancels: a bank that was down is well again for whoever retries")
		<-ctx.Done()
	}
	return jobs, nil
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// insert inserts every order in one transaction, and has them put on record once
// it is committed.
func insert(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], r *riverrunner.Runner, n int) ([]int64, error) {
	var jobs []int64
	held, created := r.Hold(ctx)
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for i := range n {
			res, err := client.InsertTx(held, tx, order(i), nil)
			if err != nil {
				return err
			}
			jobs = append(jobs, res.Job.ID)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	created.Record()
	return jobs, nil
}
