package riverrunner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/timeline"
)

type ChargeArgs struct {
	Order  string `json:"order"`
	Amount string `json:"amount"`
}

func (ChargeArgs) Kind() string { return "payment" }

type ChargeWorker struct {
	river.WorkerDefaults[ChargeArgs]
	charged chan string
}

// An ordinary worker, which knows nothing of Tasktrail but may ask which attempt
// it is.
func (w *ChargeWorker) Work(ctx context.Context, job *river.Job[ChargeArgs]) error {
	if at, _ := agent.AttemptFrom(ctx); at.Number == 1 {
		return errors.New("the bank is not well")
	}
	w.charged <- job.Args.Order
	return nil
}

// A worker and its client with Tasktrail around them: the three lines are those
// that speak of riverrunner.
func Example() {
	ctx := context.Background()
	pool, collector, spool, end := exampleWorld(ctx)
	defer end()

	a, err := agent.New(agent.Config{
		CollectorURL: collector, SpoolDir: spool,
		Retry: retry.Policy{Base: 50 * time.Millisecond}, // of production it is 1 s
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer a.Close(ctx)

	worker := &ChargeWorker{charged: make(chan string)}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)

	r, err := riverrunner.New(a, riverrunner.Config{Queues: []string{river.QueueDefault}, DB: pool})
	if err != nil {
		log.Fatal(err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), r.Configure(&river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
		Workers: workers,
	}))
	if err != nil {
		log.Fatal(err)
	}
	r.Attach(client) // retries and cancels of the queues come back through it

	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer client.Stop(ctx)

	if _, err := client.Insert(ctx, ChargeArgs{Order: "order-17", Amount: "120.00"}, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("charged", <-worker.charged)
	// Output: charged order-17
}

// What a task is about, beside what River knows: who is charged how much, and by
// whom.
func ExampleDescribe() {
	describe := func(job *rivertype.JobRow) agent.Task {
		var args ChargeArgs
		if err := json.Unmarshal(job.EncodedArgs, &args); err != nil {
			return agent.Task{} // the worker fails on it, and that is recorded
		}
		return agent.Task{Task: timeline.Task{Provider: "bank", Amount: args.Amount, Currency: "USD"}}
	}
	t := describe(&rivertype.JobRow{EncodedArgs: []byte(`{"order":"order-17","amount":"120.00"}`)})
	fmt.Println(t.Provider, t.Amount, t.Currency)
	// Output: bank 120.00 USD
}

// Inserts in a transaction that may be rolled back: the job is on record once it
// is committed.
func ExampleRunner_Hold() {
	insert := func(ctx context.Context, r *riverrunner.Runner, pool *pgxpool.Pool, client *river.Client[pgx.Tx]) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback(ctx)

		held, jobs := r.Hold(ctx)
		if _, err := client.InsertTx(held, tx, ChargeArgs{Order: "order-18", Amount: "80.00"}, nil); err != nil {
			return err
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		jobs.Record()
		return nil
	}
	_ = insert
}

// exampleWorld is a migrated database, a collector that takes everything, and a
// folder.
func exampleWorld(ctx context.Context) (pool *pgxpool.Pool, collector, spool string, end func()) {
	url, err := postgres.Database(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if pool, err = pgxpool.New(ctx, url); err != nil {
		log.Fatal(err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		log.Fatal(err)
	}
	if spool, err = os.MkdirTemp("", "spool-"); err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return pool, srv.URL, spool, func() {
		srv.Close()
		pool.Close()
		_ = os.RemoveAll(spool)
	}
}
