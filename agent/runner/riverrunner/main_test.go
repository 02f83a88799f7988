package riverrunner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner"
	"github.com/tasktrail/tasktrail/agent/runner/riverrunner/pgtest"
	"github.com/tasktrail/tasktrail/internal/proctest"
)

var postgres *pgtest.Server

func TestMain(m *testing.M) {
	var err error
	if postgres, err = pgtest.New(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := errors.Join(postgres.Close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var quick = agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: 20 * time.Millisecond, Cap: 40 * time.Millisecond}}

// planArgs say what each attempt does, the last word for all that follow.
type planArgs struct {
	Plan []string `json:"plan"`
}

func (planArgs) Kind() string { return "plan" }

var errUnwell = errors.New("the service is not well")

// world is a River on a database of its own, with an agent around its jobs.
type world struct {
	t       *testing.T
	url     string
	pool    *pgxpool.Pool
	rec     *agenttest.Recorder
	runner  *riverrunner.Runner
	client  *river.Client[pgx.Tx]
	started chan struct{} // of attempts that hang
	key     atomic.Value  // the idempotency key of the latest attempt
}

// options of a world; the zero value is the usual one.
type options struct {
	agent    agent.Config
	config   riverrunner.Config
	url      string // of the database, for another worker of the same
	noWorker bool
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, url: o.url, started: make(chan struct{}, 100)}
	var err error
	if w.url == "" {
		if w.url, err = postgres.Database(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if w.pool, err = pgxpool.New(t.Context(), w.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	migrator, err := rivermigrate.New(riverpgxv5.New(w.pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	if o.agent.Retry == (retry.Policy{}) {
		o.agent.Retry = quick.Retry
	}
	w.rec = agenttest.New(t, o.agent)
	if o.config.Queues == nil {
		o.config.Queues = []string{"default"}
	}
	o.config.DB = w.pool
	if w.runner, err = riverrunner.New(w.rec.Agent, o.config); err != nil {
		t.Fatal(err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(w.work))
	w.client, err = river.NewClient(riverpgxv5.New(w.pool), w.runner.Configure(&river.Config{
		Queues: map[string]river.QueueConfig{"default": {MaxWorkers: 10}}, Workers: workers, TestOnly: true,
		FetchCooldown: 10 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.runner.Attach(w.client)
	if !o.noWorker {
		w.start()
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	if err := w.client.Start(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.stop)
}

func (w *world) stop() {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := w.client.StopAndCancel(ctx); err != nil {
		w.t.Errorf("stop the client: %v", err)
	}
}

func (w *world) work(ctx context.Context, job *river.Job[planArgs]) error {
	at, ok := agent.AttemptFrom(ctx)
	if !ok {
		return errors.New("no attempt in the context")
	}
	w.key.Store(at.IdempotencyKey)
	step := "ok"
	if n := len(job.Args.Plan); n > 0 {
		step = job.Args.Plan[min(at.Number, n)-1]
	}
	switch step {
	case "ok":
		return nil
	case "permanent":
		return agent.Permanent(errUnwell)
	case "cancel":
		return river.JobCancel(errUnwell)
	case "snooze":
		return river.JobSnooze(10 * time.Millisecond)
	case "panic":
		panic("out of cheese")
	case "hang":
		w.started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return errUnwell
}

// insert inserts a job and returns its task's id.
func (w *world) insert(opts *river.InsertOpts, plan ...string) (string, int64) {
	w.t.Helper()
	res, err := w.client.Insert(w.t.Context(), planArgs{plan}, opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("river:default:%d", res.Job.ID), res.Job.ID
}

func (w *world) job(id int64) *rivertype.JobRow {
	w.t.Helper()
	job, err := w.client.JobGet(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

func (w *world) wantState(id int64, state rivertype.JobState) *rivertype.JobRow {
	w.t.Helper()
	var job *rivertype.JobRow
	eventually(w.t, fmt.Sprintf("job %d is %s", id, state), func() (bool, string) {
		job = w.job(id)
		return job.State == state, string(job.State)
	})
	return job
}

func (w *world) wantLife(id string, life []string) {
	w.t.Helper()
	eventually(w.t, id+" lived "+strings.Join(life, ", "), func() (bool, string) {
		got := w.rec.Life(id)
		return slices.Equal(got, life), strings.Join(got, ", ")
	})
}

func (w *world) waitStarted() {
	w.t.Helper()
	select {
	case <-w.started:
	case <-time.After(20 * time.Second):
		w.t.Fatal("the attempt did not begin")
	}
}

// eventually polls, since what it waits for happens in the runner without a signal.
func eventually(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	proctest.Eventually(t, 20*time.Second, what, holds)
}

func lives(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../../timeline/testdata/lives.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Lives map[string][]string }
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Lives
}
