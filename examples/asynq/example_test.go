package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// The whole way: asynq on a real Redis, a service that fails in every way, the
// agent, a `tasktrail up` that is killed in the middle, the API, and a retry that
// goes back through asynq.
func TestWorkerThroughKills(t *testing.T) {
	redisServer := livetest.Start(t)
	u := uptest.Start(t)
	addr := proctest.FreeAddrs(t, 1)[0]
	const tasks = 150
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- run(ctx, options{
			redis: redisServer.URL(), collector: u.Collector(), token: u.Token, prefix: "e2e", service: addr,
			spool: t.TempDir(), tasks: tasks, serve: true, within: 3 * time.Minute,
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-result; err != nil {
			t.Errorf("the worker: %v", err)
		}
	})

	// In the middle: some tasks have ended, others have not.
	proctest.Eventually(t, time.Minute, "some tasks are on record", func() (bool, string) {
		n, err := u.SQL("SELECT uniqExact(task_id) FROM events FORMAT TSV")
		return err == nil && len(n) > 1, fmt.Sprint(n, err)
	})
	u.Process.Kill()
	u.Restart()

	planned := plan("e2e", "http://"+addr+"/work", tasks)
	lives := uptest.Lives(t)
	lives["retry_twice_then_success"] = []string{
		"r1 task_created", "r1 task_started", "r1 a1 attempt_started", "r1 a1 attempt_failed", "r1 a1 task_retried",
		"r1 a2 attempt_started", "r1 a2 attempt_failed", "r1 a2 task_retried", "r1 a3 attempt_started", "r1 a3 attempt_success", "r1 task_completed",
	}
	skipped := 0
	for _, p := range planned {
		if p.Life == "circuit_open" {
			// Which of them trips the breaker and which find it open is up to the queue.
			proctest.Eventually(t, 90*time.Second, p.ID+" is a dead letter", func() (bool, string) {
				life, err := u.Life(p.ID)
				if len(life) > 4 && slices.Equal(life[:4], lives["arrives_while_open_then_recovers"][:4]) || slices.Equal(life, lives["arrives_while_open_then_recovers"][:4]) {
					skipped++
					return true, ""
				}
				return err == nil && slices.Contains(life, "r1 moved_to_dlq"), fmt.Sprint(life, err)
			})
			continue
		}
		proctest.Eventually(t, 90*time.Second, p.ID+" lived as planned", func() (bool, string) {
			life, err := u.Life(p.ID)
			return err == nil && slices.Equal(life, lives[p.Life]), fmt.Sprint(life, err)
		})
	}
	if skipped == 0 {
		t.Error("no task was skipped by the open breaker")
	}

	// Every exhausted one is among the dead letters, as loud as its amount.
	th := timeline.DefaultThresholds()
	var exhausted failure
	for _, p := range planned {
		if p.Life != "exhausted_after_2" {
			continue
		}
		var page struct {
			Data []timeline.DeadLetter `json:"data"`
		}
		if _, err := u.Call("GET", "/failed-tasks?task_id="+url.QueryEscape(p.ID), "", &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Data) != 1 || page.Data[0].AlertSeverity != th.Classify(p.Type, p.Amount, p.Currency) || page.Data[0].Status != timeline.DeadLetterPending {
			t.Errorf("%s (%s, %s %s): dead letters %+v", p.ID, p.Type, p.Amount, p.Currency, page.Data)
			continue
		}
		exhausted = failure{p.ID, page.Data[0].ID.String()}
	}

	// Seen live, as anybody with redis-cli would.
	opt, err := redis.ParseURL(u.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opt)
	defer client.Close()
	sub := client.Subscribe(t.Context(), "task:"+exhausted.task)
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}

	// The service is mended; the retry runs through asynq again and completes.
	resp, err := http.Post("http://"+addr+"/heal", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var accepted struct {
		Run int `json:"run"`
	}
	code, err := u.Call("POST", "/failed-tasks/"+exhausted.letter+"/retry", `{"reason":"the service is well again"}`, &accepted)
	if err != nil || code != http.StatusAccepted || accepted.Run != 2 {
		t.Fatalf("retry: %d, run %d, %v", code, accepted.Run, err)
	}
	if code, _ := u.Call("POST", "/failed-tasks/"+exhausted.letter+"/retry", "", nil); code != http.StatusConflict {
		t.Errorf("a second retry of the same dead letter answered %d, want 409", code)
	}
	want := slices.Concat(lives["exhausted_after_2"], []string{
		"r2 dlq_retry_requested", "r2 task_retried", "r2 task_started", "r2 a1 attempt_started", "r2 a1 attempt_success",
		"r2 task_completed", "r2 dlq_resolved",
	})
	proctest.Eventually(t, time.Minute, "the retry completes", func() (bool, string) {
		life, err := u.Life(exhausted.task)
		return err == nil && slices.Equal(life, want), fmt.Sprint(life, err)
	})
	for _, word := range []string{"dlq_retry_requested", "attempt_started", "task_completed"} {
		for found := false; !found; {
			wait, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			m, err := sub.ReceiveMessage(wait)
			cancel()
			if err != nil {
				t.Fatalf("%s did not come over pub/sub: %v", word, err)
			}
			found = strings.Contains(m.Payload, `"`+word+`"`)
		}
	}

	// The breaker closes by itself, and its dead letters come back.
	for _, p := range planned {
		if p.Life != "circuit_open" {
			continue
		}
		proctest.Eventually(t, 2*time.Minute, p.ID+" recovers by itself", func() (bool, string) {
			life, err := u.Life(p.ID)
			return err == nil && len(life) > 0 && strings.HasSuffix(life[len(life)-1], "dlq_resolved"), fmt.Sprint(life, err)
		})
	}

	counts, err := u.SQL("SELECT count() = uniqExact(event_id) FROM events FINAL FORMAT TSV")
	if err != nil || counts != "1" {
		t.Errorf("some event is stored twice: %q, %v", counts, err)
	}
}

type failure struct{ task, letter string }
