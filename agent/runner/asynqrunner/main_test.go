package asynqrunner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if example.redis != nil {
		example.end()
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var quick = agent.Config{Retry: retry.Policy{MaxAttempts: 2, Base: 20 * time.Millisecond, Cap: 40 * time.Millisecond}}

var errUnwell = errors.New("the service is not well")

// payload says what each attempt does, the last word for all that follow.
type payload struct {
	Plan []string `json:"plan"`
}

// world is an asynq on a Redis of its own, with an agent around its tasks.
type world struct {
	t         *testing.T
	redis     *livetest.Redis
	opt       asynq.RedisConnOpt
	rec       *agenttest.Recorder
	runner    *asynqrunner.Runner
	client    *asynq.Client
	inspector *asynq.Inspector
	numbers   *redis.Client
	server    *asynq.Server
	started   chan struct{} // of attempts that hang
	key       atomic.Value  // the idempotency key of the latest attempt
}

// options of a world; the zero value is the usual one.
type options struct {
	agent    agent.Config
	config   asynqrunner.Config
	redis    *livetest.Redis // for another worker of the same
	noWorker bool
}

func newWorld(t *testing.T, o options) *world {
	t.Helper()
	w := &world{t: t, redis: o.redis, started: make(chan struct{}, 100)}
	if w.redis == nil {
		w.redis = livetest.Start(t)
	}
	w.opt = asynq.RedisClientOpt{Addr: w.redis.Addr(), Password: livetest.Password}
	w.numbers = redis.NewClient(&redis.Options{Addr: w.redis.Addr(), Password: livetest.Password})
	o.config.Redis = w.numbers
	w.client, w.inspector = asynq.NewClient(w.opt), asynq.NewInspector(w.opt)
	t.Cleanup(func() {
		if err := errors.Join(w.client.Close(), w.inspector.Close(), w.numbers.Close()); err != nil {
			t.Error(err)
		}
	})
	if o.agent.Retry == (retry.Policy{}) {
		o.agent.Retry = quick.Retry
	}
	w.rec = agenttest.New(t, o.agent)
	o.config.Client, o.config.Inspector = w.client, w.inspector
	if o.config.Queues == nil {
		o.config.Queues = []string{"default"}
	}
	var err error
	if w.runner, err = asynqrunner.New(w.rec.Agent, o.config); err != nil {
		t.Fatal(err)
	}
	if !o.noWorker {
		w.start()
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	mux := asynq.NewServeMux()
	mux.Use(w.runner.Middleware())
	mux.HandleFunc("plan", w.work)
	w.server = asynq.NewServer(w.opt, w.runner.Configure(asynq.Config{
		Concurrency: 10, TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 20 * time.Millisecond,
		ShutdownTimeout: 50 * time.Millisecond, LogLevel: asynq.FatalLevel,
	}))
	if err := w.server.Start(mux); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.stop)
}

func (w *world) stop() {
	if w.server == nil {
		return
	}
	w.server.Shutdown()
	w.server = nil
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := w.runner.Wait(ctx); err != nil {
		w.t.Errorf("wait for the handlers: %v", err)
	}
}

func (w *world) work(ctx context.Context, t *asynq.Task) error {
	var p payload
	if err := json.Unmarshal(t.Payload(), &p); err != nil {
		return agent.Permanent(err)
	}
	at, ok := agent.AttemptFrom(ctx)
	if !ok {
		return errors.New("no attempt in the context")
	}
	w.key.Store(at.IdempotencyKey)
	switch p.Plan[min(at.Number, len(p.Plan))-1] {
	case "ok":
		return nil
	case "permanent":
		return agent.Permanent(errUnwell)
	case "skip":
		return errors.Join(errUnwell, asynq.SkipRetry)
	case "revoke":
		return errors.Join(errUnwell, asynq.RevokeTask)
	case "panic":
		panic("out of cheese")
	case "hang":
		w.started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return errUnwell
}

func task(plan ...string) *asynq.Task {
	b, err := json.Marshal(payload{plan})
	if err != nil {
		panic(err) // strings are always JSON
	}
	return asynq.NewTask("plan", b)
}

func (w *world) enqueue(t *asynq.Task, opts ...asynq.Option) string {
	w.t.Helper()
	info, err := w.runner.EnqueueContext(w.t.Context(), w.client, t, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return info.ID
}

func (w *world) wantState(id string, state asynq.TaskState) *asynq.TaskInfo {
	w.t.Helper()
	var info *asynq.TaskInfo
	eventually(w.t, id+" is "+state.String(), func() (bool, string) {
		var err error
		if info, err = w.inspector.GetTaskInfo("default", id); err != nil {
			return false, err.Error()
		}
		return info.State == state, info.State.String()
	})
	return info
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
