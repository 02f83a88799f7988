// Package agenttest lets tests assert on what an agent recorded: a real agent,
// and a collector in memory that takes its events. It is for tests alone.
package agenttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/agent"
	"github.com/tasktrail/tasktrail/timeline"
	"github.com/tasktrail/tasktrail/timeline/wire"
)

// Recorder is an agent and what it recorded.
type Recorder struct {
	*agent.Agent
	collector *Collector
	tb        testing.TB
}

// New starts an agent of the given configuration on a spool of the test's own,
// with a collector in memory. Both end with the test.
func New(tb testing.TB, cfg agent.Config) *Recorder {
	tb.Helper()
	c := NewCollector(tb)
	cfg.CollectorURL = c.URL()
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = tb.TempDir()
	}
	a, err := agent.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := a.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		if err := a.Close(ctx); err != nil {
			tb.Errorf("close the agent: %v", err)
		}
	})
	return &Recorder{Agent: a, collector: c, tb: tb}
}

// Collector is the collector in memory.
func (r *Recorder) Collector() *Collector { return r.collector }

// Events returns the events of a task so far, in timeline order.
func (r *Recorder) Events(taskID string) []timeline.Event {
	r.tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	if err := r.Flush(ctx); err != nil {
		r.tb.Fatal(err)
	}
	return r.collector.Events(taskID)
}

// Life returns the events of a task as words: "r1 a2 attempt_failed".
func (r *Recorder) Life(taskID string) []string {
	r.tb.Helper()
	return Life(r.Events(taskID))
}

// Types returns the types of a task's events so far, in timeline order.
func (r *Recorder) Types(taskID string) []timeline.Type {
	r.tb.Helper()
	events := r.Events(taskID)
	types := make([]timeline.Type, len(events))
	for i := range events {
		types[i] = events[i].Type
	}
	return types
}

// Life puts events into words: run, attempt where there is one, type.
func Life(events []timeline.Event) []string {
	life := make([]string, len(events))
	for i := range events {
		e := &events[i]
		life[i] = fmt.Sprintf("r%d ", e.Run)
		if e.Attempt > 0 {
			life[i] += fmt.Sprintf("a%d ", e.Attempt)
		}
		life[i] += e.Type.String()
	}
	return life
}

// Collector takes events over OTLP/HTTP into memory.
type Collector struct {
	srv *httptest.Server

	mu     sync.Mutex
	events []timeline.Event
	answer func(w http.ResponseWriter, body []byte) (taken bool)
	live   []byte
	queues chan timeline.Command
	closed chan struct{}
}

// NewCollector starts a collector that ends with the test.
func NewCollector(tb testing.TB) *Collector {
	c := &Collector{queues: make(chan timeline.Command, 16), closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/logs", c.logs)
	mux.HandleFunc("POST /v1/agent/live", c.takeLive)
	mux.HandleFunc("GET /v1/agent/commands", c.commands)
	c.srv = httptest.NewServer(mux)
	tb.Cleanup(func() {
		close(c.closed)
		c.srv.Close()
	})
	return c
}

// URL is where it listens.
func (c *Collector) URL() string { return c.srv.URL }

// Answer replaces how requests are answered: the function answers and says
// whether the events count as taken. Nil takes everything.
func (c *Collector) Answer(f func(w http.ResponseWriter, body []byte) (taken bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// Events returns the events of a task, in timeline order; those of every task, in
// the order they came and with repeats, for "".
func (c *Collector) Events(taskID string) []timeline.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if taskID == "" {
		return append([]timeline.Event(nil), c.events...)
	}
	var own []timeline.Event
	for _, e := range c.events {
		if e.Task.ID == taskID {
			own = append(own, e)
		}
	}
	return timeline.Ordered(own)
}

// Live returns the last heartbeat, as JSON; nil before the first.
func (c *Collector) Live() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live
}

func (c *Collector) logs(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer != nil && !c.answer(w, body) {
		return
	}
	frame := wire.AppendFrame(nil, wire.Envelope{IngestedAt: time.Now(), Namespace: timeline.DefaultNamespace, AnyNamespace: true}, body)
	var rec wire.Record
	err = wire.ScanFrame(frame, &rec, func(rec *wire.Record) error {
		var e timeline.Event
		rec.Event(&e)
		c.events = append(c.events, e)
		return nil
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (c *Collector) takeLive(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = body
}
