package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/query/querytest"
	"github.com/tasktrail/tasktrail/timeline"
)

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestStreamSnapshotThenUpdates(t *testing.T) {
	h := start(t)
	h.fill()
	s := h.stream("task:running,tasks", "reader")
	var snap struct{ Topics []topicSnapshot }
	s.next("snapshot").json(t, &snap)
	if len(snap.Topics) != 2 || snap.Topics[0].Task.State != timeline.StateInProgress || len(snap.Topics[1].Tasks) != 1 {
		t.Fatalf("snapshot %+v", snap)
	}
	l := querytest.NewLife(timeline.Task{ID: "running", Type: "payment", UserID: "u1", Input: timeline.Payload(`{"secret":1}`)}, at.Add(time.Hour))
	l.Event(timeline.AttemptSuccess, 1, 1).Event(timeline.TaskCompleted, 1, 0)
	h.broker.PublishEvent("task:running", l.Events[0])
	var u update
	e := s.next("update")
	e.json(t, &u)
	if u.Topic != "task:running" || u.TaskID != "running" || len(u.Events) != 1 || u.Events[0].Event.ID != l.Events[0].ID || e.id == "" || u.Events[0].TaskType != "payment" {
		t.Errorf("update %s %+v", e.id, u)
	}
	if strings.Contains(e.data, "secret") {
		t.Errorf("the stream shows a payload: %s", e.data)
	}
	h.broker.PublishEvent("tasks", l.Events[1])
	s.next("update").json(t, &u)
	if u.Topic != "tasks" {
		t.Errorf("update %+v", u)
	}
	// Neither unreadable messages nor those of others are shown.
	h.broker.Publish("tasks", []byte("nonsense"))
	foreign := l.Events[1]
	foreign.Namespace = "other"
	h.broker.PublishEvent("tasks", foreign)
	h.broker.PublishEvent("tasks", querytest.NewLife(timeline.Task{ID: "x"}, at).Started().Events[0])
	s.next("update").json(t, &u)
	if u.TaskID != "x" {
		t.Errorf("update %+v", u)
	}
}

func TestStreamCoalesces(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.StreamInterval = 200 * time.Millisecond })
	s := h.stream("tasks", "reader")
	s.next("snapshot")
	l := querytest.NewLife(timeline.Task{ID: "busy"}, at)
	for range 30 {
		l.Event(timeline.TaskRetried, 1, 1)
	}
	began := time.Now()
	for _, e := range l.Events {
		h.broker.PublishEvent("tasks", e)
	}
	var u update
	events, updates := 0, 0
	for events < 30 {
		s.next("update").json(t, &u)
		events += len(u.Events)
		updates++
	}
	if most := int(time.Since(began)/(200*time.Millisecond)) + 1; updates > most {
		t.Errorf("%d updates in %s, want %d at most", updates, time.Since(began), most)
	}
}

func TestStreamResumes(t *testing.T) {
	h := start(t)
	h.fill()
	l := querytest.NewLife(timeline.Task{ID: "t", UserID: "u1"}, at.Add(time.Hour))
	l.Started().Event(timeline.AttemptSuccess, 1, 1).Event(timeline.TaskCompleted, 1, 0)
	h.store.Add(l.Events[:2]...)
	lastID := h.server.streamID(&l.Events[2])
	// The store does not show the last event yet: the stream waits for it.
	s := h.stream("task:t", "user", "Last-Event-ID", lastID)
	h.store.Add(l.Events[2:]...)
	var u update
	s.next("update").json(t, &u)
	if len(u.Events) != 2 || u.Events[0].Event.ID != l.Events[3].ID || u.Events[1].Event.ID != l.Events[4].ID || u.Row == nil || u.Row.State != timeline.StateCompleted {
		t.Errorf("update %+v", u)
	}
	h.broker.PublishEvent("task:t", l.Events[4])
	s.next("update")

	s = h.stream("user_dashboard:u1", "user", "Last-Event-ID", lastID)
	s.next("update").json(t, &u)
	if u.Topic != "user_dashboard:u1" || u.TaskID != "t" || u.Row.State != timeline.StateCompleted {
		t.Errorf("update %+v", u)
	}
	s.close()
	s = h.stream("task:t", "user", "Last-Event-ID", "forged")
	s.next("reset")
	s.next("snapshot")
	// An event of another user's task is covered by nothing the reader sees.
	theirs := querytest.NewLife(timeline.Task{ID: "theirs"}, at).Started().Events[0]
	s = h.stream("task:t", "user", "Last-Event-ID", h.server.streamID(&theirs))
	s.next("reset")
	s.next("snapshot")
}

func TestStreamsOfUsers(t *testing.T) {
	h := start(t)
	h.fill()
	h.get("/stream?topics=task:theirs", "user").want(404)
	h.get("/stream?topics=user_dashboard:u2", "user").want(404)
	s := h.stream("tasks,alerts", "user")
	s.next("snapshot")
	mine := querytest.NewLife(timeline.Task{ID: "mine", UserID: "u1"}, at).Started().Events[0]
	theirs := querytest.NewLife(timeline.Task{ID: "theirs", UserID: "u2"}, at).Started().Events[0]
	alert := func(user string) []byte {
		b, err := json.Marshal(map[string]any{"v": 1, "topic": "alerts:critical", "alert": timeline.Alert{Namespace: "default", UserID: user, TaskID: user}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	h.broker.PublishEvent("tasks", theirs)
	h.broker.PublishEvent("user_dashboard:u1", theirs) // wrongly published there
	h.broker.PublishEvent("user_dashboard:u1", mine)
	var u update
	s.next("update").json(t, &u)
	if u.Topic != "tasks" || u.TaskID != "mine" || len(u.Events) != 1 {
		t.Errorf("update %+v", u)
	}
	h.broker.Publish("alerts:critical", alert("u2"))
	h.broker.Publish("alerts:critical", alert("u1"))
	var a alertUpdate
	s.next("alert").json(t, &a)
	if a.Alert.UserID != "u1" {
		t.Errorf("alert %+v", a)
	}
}

func TestStreamAfterTheBrokerBroke(t *testing.T) {
	h := start(t)
	h.fill()
	s := h.stream("tasks", "reader")
	s.next("snapshot")
	h.broker.Break()
	s.next("reset")
	s.next("snapshot")
	h.broker.PublishEvent("tasks", querytest.NewLife(timeline.Task{ID: "x"}, at).Started().Events[0])
	s.next("update")
}

func TestStreamHeartbeatAndEnd(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.StreamHeartbeat = 20 * time.Millisecond; c.MaxStreamsPerToken = 1 })
	s := h.stream("tasks", "reader")
	s.next("snapshot")
	s.next(":")
	h.get("/stream?topics=tasks", "reader").want(429, codeRateLimited)
	s.close()
	eventually(t, "the subscription ends with its reader", func() bool { return h.broker.Subscribers() == 0 })
	eventually(t, "the token may open another stream", func() bool {
		h.server.streams.mu.Lock()
		defer h.server.streams.mu.Unlock()
		return h.server.streams.open == 0
	})
	s = h.stream("tasks", "reader")
	s.next("snapshot")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	s.ended()
}

// TestSlowReader does not read while much is published: it loses its own alone,
// is told so, and others lose nothing.
func TestSlowReader(t *testing.T) {
	h := start(t, func(c *Config, _ *Deps) { c.StreamPending, c.StreamInterval = 4, time.Millisecond })
	quick := h.stream("tasks", "reader")
	quick.next("snapshot")
	conn, err := net.Dial("tcp", h.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s/stream?topics=tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer reader\r\n\r\n", base)
	eventually(t, "two subscriptions", func() bool { return h.broker.Subscribers() == 2 })
	big := strings.Repeat("x", 8<<10)
	missed := 0
	for i := range 2_000 {
		e := querytest.NewLife(timeline.Task{ID: fmt.Sprint(i), Metadata: map[string]string{"k": big}}, at).Started().Events[0]
		h.broker.PublishEvent("tasks", e)
		for got := 0; got < 1; {
			select {
			case m := <-quick.events:
				switch m.kind {
				case "update":
					got++
				case "missed":
					missed++
					got++
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("the quick reader got no update %d", i)
			}
		}
	}
	if missed > 0 {
		t.Errorf("the quick reader missed %d", missed)
	}
	buf := make([]byte, 1<<20)
	var text strings.Builder
	for !strings.Contains(text.String(), "event: missed") {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("the slow reader is not told: %v", err)
		}
		text.Write(buf[:n])
		if text.Len() > 64<<20 {
			t.Fatal("the slow reader is not told")
		}
	}
}

func TestInboxIsBounded(t *testing.T) {
	b := newInbox(time.Second, 3)
	for i := range 10 {
		e := querytest.NewLife(timeline.Task{ID: fmt.Sprint(i)}, at).Started().Events[0]
		b.put("tasks", viewEvent(e, false), nil)
		b.putAlert(alertUpdate{Topic: "alerts"})
	}
	due, alerts, missed, _ := b.takeDue(at)
	if len(due) != 3 || len(alerts) != 3 || missed != 14 {
		t.Errorf("%d updates, %d alerts, %d missed", len(due), len(alerts), missed)
	}
	for range maxEventsPerUpdate + 5 {
		b.put("tasks", viewEvent(querytest.NewLife(timeline.Task{ID: "one"}, at).Started().Events[1], false), nil)
	}
	due, _, missed, next := b.takeDue(at.Add(2 * time.Second))
	if len(due) != 1 || len(due[0].Events) != maxEventsPerUpdate || missed != 5 || next != time.Hour {
		t.Errorf("%d updates, %d missed, next in %s", len(due), missed, next)
	}
	b.put("tasks", due[0].Events[0], nil)
	if due, _, _, next := b.takeDue(at.Add(2500 * time.Millisecond)); len(due) != 0 || next != 500*time.Millisecond {
		t.Errorf("%d updates too early, next in %s", len(due), next)
	}
}

func TestTopicsAreSplit(t *testing.T) {
	for in, want := range map[string]string{
		"tasks": "tasks", "tasks,alerts": "tasks|alerts", "task:a,b": "task:a,b", "task:a,task:b": "task:a|task:b",
		"task:a,b,tasks": "task:a,b|tasks", "user_dashboard:u,1,alerts,tasks": "user_dashboard:u,1|alerts|tasks", "task:a,tasksome": "task:a,tasksome",
	} {
		if got := strings.Join(splitTopics([]string{in}), "|"); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
