package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/timeline"
)

// TestMain is the worker that dies, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "dies" {
		fmt.Fprintln(os.Stderr, Die(context.Background(), os.Stdin))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// lifePlans says which plan shows which life.
var lifePlans = map[string]string{
	"success": planSuccess, "retry_then_success": planRetryAfter, "exhausted_after_2": planExhausted, "permanent": planPanic, "missing_callback": planNoCallback,
	"trips_the_breaker": planBank, "arrives_while_open_then_recovers": planBank, "manual_retry_succeeds": planMailbox, "cancelled_while_running": planUnwanted,
	"worker_shut_down_then_resumed": planRestart, "worker_died_then_resumed": planDies,
}

// byOthers are the events that an agent does not write: operators and the collector
// do.
var byOthers = []string{"dlq_retry_requested", "cancel_requested", "task_lost", "dlq_resolved"}

// Every usual life of a task is shown by some task, as far as the agent tells of
// it; operators' doings among them.
func TestEveryUsualLifeIsShown(t *testing.T) {
	data, err := os.ReadFile("../../timeline/testdata/lives.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Lives map[string][]string `json:"lives"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	c := agenttest.NewCollector(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Reason string }
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/tasks/"), "/")
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Reason == "" || len(parts) != 2 ||
			r.Header.Get("Authorization") != "Bearer token" || r.URL.Query().Get("namespace") != "demo" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		events := c.Events(parts[0])
		cmd := timeline.Command{
			ID: timeline.DeriveID(r.URL.Path), Kind: timeline.CommandCancel, Task: events[0].Task, Run: 1,
			Operator: &timeline.Operator{Actor: "demo", Reason: body.Reason}, RequestedAt: time.Now(),
		}
		if parts[1] == "retry" {
			cmd.Kind, cmd.Run, cmd.Reason, cmd.Input = timeline.CommandRetry, 2, timeline.RetryManual, events[0].Input
		}
		c.Send(cmd)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer api.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{
			CollectorURL: c.URL(), Token: "token", Namespace: "demo", Rate: 8, SpoolDir: t.TempDir() + "/spool", Logger: slog.New(slog.DiscardHandler),
			APIURL: api.URL, Worker: []string{os.Args[0], "dies"}, Redeliver: time.Millisecond,
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	if len(file.Lives) != len(lifePlans) {
		t.Errorf("%d lives, %d of them shown", len(file.Lives), len(lifePlans))
	}
	missing := file.Lives
	proctest.Eventually(t, 90*time.Second, "every life is shown", func() (bool, string) {
		shown := map[string]map[string][]string{} // by plan and task
		for _, e := range c.Events("") {
			plan := e.Metadata[planKey]
			if shown[plan] == nil {
				shown[plan] = map[string][]string{}
			}
			if shown[plan][e.Task.ID] == nil {
				shown[plan][e.Task.ID] = agenttest.Life(c.Events(e.Task.ID))
			}
		}
		for name, script := range missing {
			want := slices.DeleteFunc(slices.Clone(script), func(line string) bool {
				return slices.Contains(byOthers, line[strings.LastIndexByte(line, ' ')+1:])
			})
			if name == "arrives_while_open_then_recovers" {
				want = want[:4] // it recovers when the bank is back
			}
			for _, life := range shown[lifePlans[name]] {
				// Which attempt trips the breaker is as the bank's other tasks go.
				trips := name == "trips_the_breaker" && strings.Contains(strings.Join(life, " "), "circuit_breaker_opened r1 task_failed r1 moved_to_dlq")
				if slices.Equal(life, want) || trips {
					delete(missing, name)
				}
			}
		}
		var names []string
		for name := range missing {
			lives := map[string]int{}
			for _, life := range shown[lifePlans[name]] {
				lives[fmt.Sprint(life)]++
			}
			names = append(names, fmt.Sprint(name, ": ", lives))
		}
		return len(missing) == 0, strings.Join(names, "\n")
	})
}
