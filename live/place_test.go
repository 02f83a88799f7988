package live

import (
	"context"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

// heldBy is a retry of a task that one source alone can start.
func heldBy(source, task string) timeline.Event {
	e := retryRequest(task, 2)
	e.DeadLetter.SourceID = source
	return e
}

func TestATaskOfASidecarGoesToThatSidecarAlone(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		other := l.Commands(t.Context(), "sidecar-2", "default", []string{"payments"})
		write(t, l.CommandSink(), heldBy("sidecar-1", "t1"))
		nothing(t, other, 600*time.Millisecond) // three times RedeliverAfter
		first, stop := context.WithCancel(t.Context())
		own := l.Commands(first, "sidecar-1", "default", []string{"payments"})
		got := receive(t, own)
		if got.Task.ID != "t1" || got.SourceID != "sidecar-1" || string(got.Input) != `{"card":"tok_1"}` {
			t.Errorf("command %+v", got)
		}
		if again := receive(t, own); again.ID != got.ID { // no answer
			t.Errorf("command %+v", again)
		}
		stop()
		for range own {
		}
		// It is there again: it gets what it did not answer, at once.
		own = l.Commands(t.Context(), "sidecar-1", "default", []string{"payments"})
		if again := receive(t, own); again.ID != got.ID {
			t.Errorf("command %+v", again)
		}
		write(t, l.CommandSink(), event(timeline.TaskRetried, "t1", 2, 0))
		if n := l.Stats().CommandsAnswered; n != 1 {
			t.Errorf("%d answered", n)
		}
		k := keysOf("default", "payments")
		if n := clientOf(t, url).Exists(t.Context(), k.ownedKey("sidecar-1"), placeKey(got.ID.String())).Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		if err := l.Redeliver(t.Context(), []timeline.Event{heldBy("sidecar-1", "t1")}); err != nil {
			t.Fatal(err)
		}
		nothing(t, other, 300*time.Millisecond)
	})
}

func TestATaskOfALostSidecarGoesToAnother(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		cfg := quick(url)
		cfg.LostAfter = 300 * time.Millisecond
		l := start(t, cfg)
		seen, stop := context.WithCancel(t.Context())
		own := l.Commands(seen, "sidecar-1", "default", nil)
		stop()
		for range own {
		}
		if err := l.AgentLive(t.Context(), timeline.AgentLive{SourceID: "sidecar-1", Agent: "sidecar", Queues: []string{"payments"}}); err != nil {
			t.Fatal(err)
		}
		write(t, l.CommandSink(), heldBy("sidecar-1", "t1"))
		other := l.Commands(t.Context(), "sidecar-2", "default", []string{"payments"})
		// Its silence is not long yet.
		if err := l.Redeliver(t.Context(), []timeline.Event{heldBy("sidecar-1", "t1")}); err != nil {
			t.Fatal(err)
		}
		nothing(t, other, 100*time.Millisecond)
		eventually(t, "lost", func() bool {
			at, err := l.LastSeen(t.Context(), "sidecar-1")
			return err == nil && time.Since(at) > cfg.LostAfter
		})
		if err := l.Redeliver(t.Context(), []timeline.Event{heldBy("sidecar-1", "t1")}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, other); got.Task.ID != "t1" || got.SourceID != "" {
			t.Errorf("command %+v", got)
		}
		// The one that comes back finds nothing to do twice.
		nothing(t, l.Commands(t.Context(), "sidecar-1", "default", []string{"mail", "payments"}), 50*time.Millisecond)
	})
}

func TestWhatNoAgentCanStartWaitsForTheURL(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		agent := l.Commands(t.Context(), "agent-1", "default", []string{"payments"})
		request := retryRequest("t1", 2)
		request.DeadLetter.SourceID = timeline.RequeueURLSource
		write(t, l.CommandSink(), request)
		nothing(t, agent, 300*time.Millisecond)
		for range 2 {
			one, stop := context.WithCancel(t.Context())
			c := l.URLCommands(one, "collector-1", "default", "payments")
			if got := receive(t, c); got.Task.ID != "t1" {
				t.Errorf("command %+v", got)
			}
			stop()
			for range c {
			}
		}
		write(t, l.CommandSink(), event(timeline.TaskFailed, "t1", 2, 0))
		if n := l.Stats().CommandsAnswered; n != 1 {
			t.Errorf("%d answered", n)
		}
		if n := clientOf(t, url).XLen(t.Context(), keysOf("default", "payments").forURL().stream).Val(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}

func TestAServedQueueIsKnown(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, quick(url))
		served := func(queue string, url bool) bool {
			yes, err := l.Served(t.Context(), "default", queue, url)
			if err != nil {
				t.Fatal(err)
			}
			return yes
		}
		if served("mail", false) {
			t.Error("a queue is served before anybody came")
		}
		l.Commands(t.Context(), "agent-1", "default", []string{"mail"})
		l.URLCommands(t.Context(), "collector-1", "default", "shop")
		eventually(t, "served", func() bool { return served("mail", false) && served("shop", true) })
		if served("mail", true) || served("shop", false) || served("payments", false) {
			t.Error("more is served than there is")
		}
		if at, err := l.LastSeen(t.Context(), "agent-1"); err != nil || time.Since(at) > time.Minute {
			t.Errorf("the agent was seen at %v, %v", at, err)
		}
	})
}
