package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/app/uptest"
	"github.com/tasktrail/tasktrail/internal/proctest"
	"github.com/tasktrail/tasktrail/store/storetest"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

func TestMain(m *testing.M) {
	storetest.ChildMain()
	if os.Getenv(collectorEnv) != "" {
		collectorMain()
	}
	uptest.Main(m)
}

// What a running task says of itself, and what an operator asks of it, over all
// the parts: progress down to the API, a cancel up to the executor.
func TestProgressAndCancel(t *testing.T) {
	u := uptest.Start(t)
	a, err := agent.New(agent.Config{CollectorURL: u.Collector(), Token: u.Token, SpoolDir: t.TempDir(), Name: "worker-1"})
	if err != nil {
		t.Fatal(err)
	}
	a.HandleQueue("slow", func(context.Context, timeline.Command) error { return nil })
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := a.Do(context.Background(), agent.Task{Task: timeline.Task{ID: "long", Type: "report", Queue: "slow"}},
			func(ctx context.Context, _ agent.Task) (agent.Result, error) {
				agent.Progress(ctx, 3, 12, "reading")
				<-ctx.Done()
				return agent.Result{}, context.Cause(ctx)
			})
		ended <- err
	}()
	proctest.Eventually(t, 20*time.Second, "the API shows the progress", func() (bool, string) {
		var s timeline.Snapshot
		_, err := u.Call("GET", "/tasks/long", "", &s)
		b, _ := json.Marshal(s)
		return err == nil && s.State == timeline.StateInProgress && s.Progress != nil && s.Progress.Fraction == 0.25, fmt.Sprint(string(b), err)
	})
	// What the runner's own counters say of tasks that have no event yet.
	oldest := time.Now().Add(-time.Minute).UTC().Round(time.Millisecond)
	a.ReportDepths(func(context.Context) ([]timeline.LiveQueueDepth, error) {
		return []timeline.LiveQueueDepth{{Queue: "slow", Pending: 7, OldestAt: oldest}, {Queue: "unseen", Pending: 2}, {Queue: "idle"}}, nil
	})
	proctest.Eventually(t, 20*time.Second, "health shows what waits in the runner", func() (bool, string) {
		var h readmodel.Health
		_, err := u.Call("GET", "/tasks/monitoring/health", "", &h)
		return err == nil && h.QueueDepth == 10 && len(h.Queues) == 2 && h.Queues[0].InProgress == 1 && h.Queues[0].Pending == 7 &&
			h.Queues[0].OldestPendingAt.Equal(oldest) && h.Queues[1].Queue == "unseen" && h.Queues[1].Pending == 2, fmt.Sprintf("%+v %v", h, err)
	})
	if code, err := u.Call("POST", "/tasks/long/cancel", `{"reason":"asked for twice"}`, nil); err != nil {
		t.Fatalf("cancel: %d, %v", code, err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), agent.ErrCancelled.Error()) {
			t.Errorf("the executor ended with %v, want the cancellation", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the cancel did not reach the executor")
	}
	want := uptest.Lives(t)["cancelled_while_running"]
	proctest.Eventually(t, 20*time.Second, "the timeline shows the proof", func() (bool, string) {
		life, err := u.Life("long")
		return err == nil && fmt.Sprint(life) == fmt.Sprint(want), fmt.Sprint(life, err)
	})
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
}
