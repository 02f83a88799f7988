package agent_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/agent/agenttest"
	"github.com/tasktrail/tasktrail/timeline"
)

// nobody is an address that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String()
}

// A short-lived process is not held up by a collector that is away: what it
// recorded waits for the next one.
func TestCloseDoesNotWaitForNobody(t *testing.T) {
	dir := t.TempDir()
	a, err := agent.New(agent.Config{SpoolDir: dir, CollectorURL: nobody(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), task("brief", ""), succeeding); err != nil {
		t.Fatal(err)
	}
	// By then the agent waits between two tries, which closing cuts short.
	until(t, "a try in vain", func() bool { return a.Stats().ShipErrors > 0 })
	began := time.Now()
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second { // its bound is 10 s
		t.Errorf("closing took %v", took)
	}

	c := agenttest.NewCollector(t)
	if a, err = agent.New(agent.Config{SpoolDir: dir, CollectorURL: c.URL()}); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(c.Events("brief")); got != 5 {
		t.Errorf("%d events arrived from the next process, want 5", got)
	}
}

// Code of the program that does not look at its context does not keep it alive.
func TestCloseLeavesAHandlerBehindThatDoesNotReturn(t *testing.T) {
	c := agenttest.NewCollector(t)
	a, err := agent.New(agent.Config{SpoolDir: t.TempDir(), CollectorURL: c.URL()})
	if err != nil {
		t.Fatal(err)
	}
	called, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	a.HandleQueue("money", func(context.Context, timeline.Command) error {
		defer close(left)
		close(called)
		<-leave
		return nil
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Send(timeline.Command{
		ID: timeline.CommandID("default", "stuck", 2), Kind: timeline.CommandRetry, Task: task("stuck", "").Task, Run: 2, RequestedAt: time.Now(),
	})
	<-called
	closed := make(chan error, 1)
	go func() { closed <- a.Close(context.Background()) }()
	select {
	case err := <-closed:
		if err == nil {
			t.Error("that a handler was left behind is not said")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Close waits for a handler that does not return")
	}
	// It returns after all, into an agent that is gone.
	close(leave)
	<-left
}
