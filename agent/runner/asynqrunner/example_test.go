package asynqrunner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/retry"
	"github.com/tasktrail/tasktrail/agent/runner/asynqrunner"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

type Charge struct {
	Order  string `json:"order"`
	Amount string `json:"amount"`
}

// A worker and its client with Tasktrail around them: the three lines are those
// that speak of asynqrunner, or of r.
func Example() {
	ctx := context.Background()
	redis, collector, spool, end := exampleWorld()
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

	client, inspector := asynq.NewClient(redis), asynq.NewInspector(redis)
	defer client.Close()
	defer inspector.Close()

	r, err := asynqrunner.New(a, asynqrunner.Config{Client: client, Inspector: inspector, Queues: []string{"default"}})
	if err != nil {
		log.Fatal(err)
	}
	charged := make(chan string)
	mux := asynq.NewServeMux()
	mux.Use(r.Middleware())
	mux.HandleFunc("payment", func(ctx context.Context, t *asynq.Task) error {
		// An ordinary handler, which knows nothing of Tasktrail but may ask which
		// attempt it is.
		if at, _ := agent.AttemptFrom(ctx); at.Number == 1 {
			return errors.New("the bank is not well")
		}
		var c Charge
		if err := json.Unmarshal(t.Payload(), &c); err != nil {
			return agent.Permanent(err)
		}
		charged <- c.Order
		return nil
	})
	server := asynq.NewServer(redis, r.Configure(asynq.Config{
		Concurrency: 10, LogLevel: asynq.ErrorLevel,
		DelayedTaskCheckInterval: 50 * time.Millisecond, // asynq's default is 5 s
	}))
	if err := server.Start(mux); err != nil {
		log.Fatal(err)
	}
	defer func() {
		server.Shutdown()
		if err := r.Wait(ctx); err != nil { // for what Shutdown interrupted
			log.Print(err)
		}
	}()

	task := asynq.NewTask("payment", []byte(`{"order":"order-17","amount":"120.00"}`))
	if _, err := r.EnqueueContext(ctx, client, task, asynq.TaskID("order-17")); err != nil {
		log.Fatal(err)
	}
	fmt.Println("charged", <-charged)
	// Output: charged order-17
}

// What a task is about, beside what asynq knows: who is charged how much, and by
// whom.
func ExampleDescribe() {
	describe := func(t *asynq.Task) agent.Task {
		var c Charge
		if err := json.Unmarshal(t.Payload(), &c); err != nil {
			return agent.Task{} // the handler fails on it, and that is recorded
		}
		return agent.Task{Task: timeline.Task{Provider: "bank", Amount: c.Amount, Currency: "USD"}}
	}
	t := describe(asynq.NewTask("payment", []byte(`{"order":"order-17","amount":"120.00"}`)))
	fmt.Println(t.Provider, t.Amount, t.Currency)
	// Output: bank 120.00 USD
}

// exampleWorld is a Redis, a collector that takes everything, and a folder.
func exampleWorld() (redis asynq.RedisClientOpt, collector, spool string, end func()) {
	spool, err := os.MkdirTemp("", "spool-")
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	example.redis = livetest.Start(&example)
	opt := asynq.RedisClientOpt{Addr: example.redis.Addr(), Password: livetest.Password}
	return opt, srv.URL, spool, func() {
		srv.Close()
		_ = os.RemoveAll(spool)
	}
}

// example stands for the test that an Example is not given, until TestMain ends
// it.
var example outside

type outside struct {
	testing.TB
	redis *livetest.Redis
	ends  []func()
}

func (*outside) Helper()                   {}
func (*outside) Fatal(args ...any)         { log.Fatal(args...) }
func (*outside) Fatalf(f string, a ...any) { log.Fatalf(f, a...) }
func (o *outside) Cleanup(f func())        { o.ends = append(o.ends, f) }
func (o *outside) TempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	o.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (o *outside) end() {
	for _, f := range slices.Backward(o.ends) {
		f()
	}
}
