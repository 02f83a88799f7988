package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// shopAgent is an agent whose runner starts what it is handed at once, and fails the
// first run of every task.
type shopAgent struct {
	t *testing.T
	*agent.Agent

	mu   sync.Mutex
	runs []string // id, run, input and idempotency key of each execution
}

func (a *shopAgent) execute(ctx context.Context, t agent.Task) (agent.Result, error) {
	at, _ := agent.AttemptFrom(ctx)
	a.mu.Lock()
	a.runs = append(a.runs, fmt.Sprintf("%s r%d %s %s", t.ID, at.Run, t.Input, at.IdempotencyKey))
	a.mu.Unlock()
	if at.Run == 1 {
		return agent.Result{}, agent.Permanent(errors.New("the account is closed"))
	}
	return agent.Result{}, nil
}

// ran are the executions of one task.
func (a *shopAgent) ran(id string) (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.runs {
		if strings.HasPrefix(r, id+" ") {
			out = append(out, r)
		}
	}
	return out
}

func startAgent(t *testing.T, u *uptest.Up, dir string, queues ...string) *shopAgent {
	t.Helper()
	own, err := agent.New(agent.Config{CollectorURL: u.Collector(), Token: u.Token, SpoolDir: dir, Name: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	a := &shopAgent{t: t, Agent: own}
	for _, q := range queues {
		a.HandleQueue(q, func(ctx context.Context, c timeline.Command) error {
			go a.Step(context.WithoutCancel(ctx), agent.Task{Task: c.Task, Edits: c.InputEdits}, agent.Delivery{Run: c.Run, Attempt: 1, Created: true}, a.execute)
			return nil
		})
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// stop ends the agent; what it took and did not answer comes again.
func (a *shopAgent) stop() {
	a.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := a.Close(ctx); err != nil {
		a.t.Error(err)
	}
}

// fail runs the first run of a task.
func (a *shopAgent) fail(id, queue string) {
	_, _ = a.Do(a.t.Context(), agent.Task{
		Task:        timeline.Task{ID: id, Type: "payment", Queue: queue, Runner: "shop", Input: timeline.Payload(`{"order":4711}`)},
		Requeueable: true,
	}, a.execute)
}

func lives(t *testing.T, u *uptest.Up, id string, want []string) {
	t.Helper()
	proctest.Eventually(t, time.Minute, id+" lived as planned", func() (bool, string) {
		life, err := u.Life(id)
		return err == nil && slices.Equal(life, want), fmt.Sprintf("%q, %v; want %q", life, err, want)
	})
}

type answer struct {
	Run    int   `json:"run"`
	Served *bool `json:"served"`
}

func retry(t *testing.T, u *uptest.Up, id, body string, want int) answer {
	t.Helper()
	var a answer
	if status, err := u.Call("POST", "/tasks/"+id+"/retry", body, &a); status != want {
		t.Fatalf("retry %s: %d, %v; want %d", id, status, err, want)
	}
	return a
}

// What was accepted is carried out once, whatever becomes of Redis.
func TestARetryOutlivesRedis(t *testing.T) {
	redis := livetest.Start(t)
	u := uptest.Start(t, "--redis-url", redis.URL())
	dir := t.TempDir()
	a := startAgent(t, u, dir, "bank")
	failed := uptest.Lives(t)["permanent"]
	want := uptest.Lives(t)["manual_retry_succeeds"]
	for _, id := range []string{"away", "middle"} {
		a.fail(id, "bank")
		lives(t, u, id, failed)
	}

	// With Redis away the only collector there is decides who was first.
	redis.Stop()
	retry(t, u, "away", `{"reason":"the bank is back"}`, http.StatusAccepted)
	retry(t, u, "away", "", http.StatusConflict)
	redis.RestartEmpty()
	lives(t, u, "away", want)

	// In the middle: it stands in Redis, nobody has taken it, and Redis forgets it.
	a.stop()
	retry(t, u, "middle", "", http.StatusAccepted)
	proctest.Eventually(t, 20*time.Second, "the command stands in Redis", func() (bool, string) {
		n, err := redis.Client().XLen(t.Context(), "tasktrail:commands:default:bank").Result()
		return err == nil && n == 1, fmt.Sprint(n, err)
	})
	redis.Stop()
	redis.RestartEmpty()
	if n := redis.Client().DBSize(t.Context()).Val(); n > 20 {
		t.Fatalf("%d keys outlived the restart", n)
	}
	b := startAgent(t, u, dir, "bank")
	defer b.stop()
	lives(t, u, "middle", want)
	for id, by := range map[string]*shopAgent{"away": a, "middle": b} {
		if ran := by.ran(id); ran[len(ran)-1] != id+` r2 {"order":4711} default/`+id || len(slices.DeleteFunc(ran, func(r string) bool { return strings.Contains(r, " r1 ") })) != 1 {
			t.Errorf("%s ran as %q, want run 2 once", id, ran)
		}
	}
}

// An operator mends the input of a dead letter: what runs is the edited original,
// under a key of its own, and the timeline keeps who, why and both hashes.
func TestEditAndRetry(t *testing.T) {
	u := uptest.Start(t)
	a := startAgent(t, u, t.TempDir(), "bank")
	defer a.stop()
	a.fail("edited", "bank")
	lives(t, u, "edited", uptest.Lives(t)["permanent"])
	retry(t, u, "edited", `{"reason":"a wrong number","input_patch":{"order":4712,"note":"by hand"}}`, http.StatusAccepted)
	lives(t, u, "edited", uptest.Lives(t)["manual_retry_succeeds"])
	if ran := a.ran("edited"); len(ran) != 2 || ran[0] != `edited r1 {"order":4711} default/edited` || ran[1] != `edited r2 {"note":"by hand","order":4712} default/edited/e1` {
		t.Errorf("ran as %q", ran)
	}
	var page struct {
		Data []timeline.Event `json:"data"`
	}
	if _, err := u.Call("GET", "/tasks/edited/timeline?run=2", "", &page); err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Data[:2] { // asked for, and taken
		op := e.Operator
		if op == nil || op.Actor == "" || op.Reason != "a wrong number" || len(op.InputBefore) != 64 || len(op.InputAfter) != 64 || op.InputBefore == op.InputAfter {
			t.Errorf("%s by %+v", e.Type, op)
		}
	}
	if before, after := page.Data[0].Operator, page.Data[1].Operator; before.InputBefore != after.InputBefore || before.InputAfter != after.InputAfter {
		t.Errorf("the hashes differ: %+v, %+v", before, after)
	}
}

// A queue that nobody serves: the answer says so, and the retry waits where it is
// seen, until somebody comes.
func TestARetryWaitsVisiblyForAnAgent(t *testing.T) {
	u := uptest.Start(t)
	dir := t.TempDir()
	a := startAgent(t, u, dir)
	a.fail("waits", "night")
	lives(t, u, "waits", uptest.Lives(t)["permanent"])
	a.stop()
	if got := retry(t, u, "waits", "", http.StatusAccepted); got.Served == nil || *got.Served || got.Run != 2 {
		t.Errorf("answered %+v", got)
	}
	var task timeline.Snapshot
	if _, err := u.Call("GET", "/tasks/waits", "", &task); err != nil || task.State != timeline.StateRetrying || task.RetryRequestedAt.IsZero() {
		t.Errorf("%s since %v, %v", task.State, task.RetryRequestedAt, err)
	}
	proctest.Eventually(t, 20*time.Second, "health shows the retry that waits", func() (bool, string) {
		var health struct {
			Waiting int64     `json:"waiting_retries"`
			Since   time.Time `json:"oldest_waiting_retry_at"`
		}
		_, err := u.Call("GET", "/tasks/monitoring/health", "", &health)
		b, _ := json.Marshal(health)
		return err == nil && health.Waiting == 1 && health.Since.Equal(task.RetryRequestedAt), fmt.Sprint(string(b), err)
	})
	b := startAgent(t, u, dir, "night")
	defer b.stop()
	lives(t, u, "waits", uptest.Lives(t)["manual_retry_succeeds"])
	if got := b.ran("waits"); len(got) != 1 {
		t.Errorf("ran as %q", got)
	}
	b.fail("served", "night")
	lives(t, u, "served", uptest.Lives(t)["permanent"])
	if got := retry(t, u, "served", "", http.StatusAccepted); got.Served == nil || !*got.Served {
		t.Errorf("answered %+v", got)
	}
	lives(t, u, "served", uptest.Lives(t)["manual_retry_succeeds"])
}
