package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMessagesAreAsTheirReadersKnowThem(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.UTC)
	e := timeline.Event{
		ID: timeline.DeriveID("golden"), SourceID: "src", SourceSeq: 9, Type: timeline.MovedToDLQ, Severity: timeline.SeverityWarning,
		Task: timeline.Task{Namespace: "default", ID: "pay-1", Type: "payment", Queue: "payments", UserID: "ann", Amount: "120.00",
			Currency: "USD", Input: timeline.Payload(`{"secret":1}`), Output: timeline.Payload("secret")},
		Run: 1, Seq: 7, OccurredAt: at, IngestedAt: at.Add(time.Millisecond), Reason: timeline.FailExhausted, Attempts: 2,
		Error:      &timeline.Error{Class: timeline.ClassRetryable, Kind: "http_503", Message: "try later", HTTPStatus: 503},
		DeadLetter: &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", "pay-1", 1), AlertSeverity: timeline.AlertCritical, Sealed: []byte("secret")},
		Operator:   &timeline.Operator{Actor: "ann", InputPatch: json.RawMessage(`{"secret":2}`)},
	}
	b, err := eventBody(&e, TaskState{Type: "payment", State: timeline.StateFailed, Run: 1, Attempt: 2, Progress: &timeline.Progress{Done: 1, Total: 4, Fraction: 0.25}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.on(TaskTopic("default", "pay-1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(m, []byte("secret")) {
		t.Errorf("a message holds a payload: %s", m)
	}
	if len(e.Input) == 0 || e.DeadLetter.Sealed == nil || e.Operator.InputPatch == nil {
		t.Error("the event itself was changed")
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, m, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	const golden = "testdata/message.json"
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(indented.Bytes(), want) {
		t.Errorf("got\n%s\nwant\n%s", indented.Bytes(), want)
	}
}

func TestEventsReachTheirTopics(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		l := start(t, Config{URL: url})
		task, err := l.Subscribe(t.Context(), TaskTopic("", "t1"))
		if err != nil {
			t.Fatal(err)
		}
		user, err := l.Subscribe(t.Context(), UserTopic("", "ann"))
		if err != nil {
			t.Fatal(err)
		}
		all, err := l.Subscribe(t.Context(), TasksTopic(""))
		if err != nil {
			t.Fatal(err)
		}
		p := l.Publisher()
		write(t, p, event(timeline.TaskCreated, "t1", 1, 0), event(timeline.TaskStarted, "t1", 1, 0),
			event(timeline.AttemptStarted, "t1", 1, 1), event(timeline.AttemptFailed, "t1", 1, 1),
			event(timeline.TaskFailed, "t1", 1, 0), event(timeline.MovedToDLQ, "t1", 1, 0), event(timeline.TaskCreated, "other", 1, 0))
		types := func(s *Subscription, n int) (got []string) {
			for range n {
				var m EventMessage
				raw := receive(t, s.C())
				if err := json.Unmarshal(raw.Payload, &m); err != nil {
					t.Fatal(err)
				}
				if m.V != 1 || m.Topic != raw.Topic {
					t.Errorf("version %d, topic %q on %q", m.V, m.Topic, raw.Topic)
				}
				got = append(got, m.Event.Type.String()+"→"+string(m.Task.State))
			}
			return got
		}
		if got, want := strings.Join(types(task, 6), " "), "task_created→pending task_started→in_progress attempt_started→in_progress"+
			" attempt_failed→in_progress task_failed→failed moved_to_dlq→failed"; got != want {
			t.Errorf("the task's topic: %s\nwant %s", got, want)
		}
		if got, want := strings.Join(types(user, 5), " "), "task_created→pending task_started→in_progress task_failed→failed moved_to_dlq→failed"+
			" task_created→pending"; got != want {
			t.Errorf("the user's topic: %s\nwant %s", got, want)
		}
		if got := len(types(all, 5)); got != 5 {
			t.Errorf("the operators' topic: %d messages", got)
		}
		nothing(t, task.C(), 20*time.Millisecond)
		if s := l.Stats(); s.Published != 7+5+5 || s.PublishSkipped != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOldEventsAreNotPublished(t *testing.T) {
	l := start(t, Config{URL: startEmbedded(t).URL()})
	p := l.Publisher()
	if err := p.Write(t.Context(), batch(time.Now().Add(-11*time.Second), event(timeline.TaskStarted, "t1", 1, 0))); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Published != 0 || s.PublishOld != 1 {
		t.Errorf("stats %+v", s)
	}
	// It still counts for the state of what follows.
	sub, err := l.Subscribe(t.Context(), TaskTopic("", "t1"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, p, event(timeline.CancelRequested, "t1", 1, 0))
	var m EventMessage
	if err := json.Unmarshal(receive(t, sub.C()).Payload, &m); err != nil || m.Task.State != timeline.StateInProgress {
		t.Errorf("state %q, %v", m.Task.State, err)
	}
}

func TestAStateDoesNotFollowArrival(t *testing.T) {
	s := newSnapshots(10)
	fold := func(e timeline.Event) timeline.State { return s.fold(&e).State }
	fold(event(timeline.TaskCompleted, "t", 2, 0))
	if got := fold(event(timeline.AttemptStarted, "t", 2, 1)); got != timeline.StateCompleted {
		t.Errorf("a late attempt of the run: %s", got)
	}
	if got := fold(event(timeline.TaskFailed, "t", 1, 0)); got != timeline.StateCompleted {
		t.Errorf("a late end of an earlier run: %s", got)
	}
	if got := fold(event(timeline.DLQRetryRequested, "t", 3, 0)); got != timeline.StateRetrying {
		t.Errorf("the next run: %s", got)
	}
	for i := range 100 {
		fold(event(timeline.TaskCreated, fmt.Sprint(i), 1, 0))
	}
	if n := len(s.young) + len(s.old); n > 10 {
		t.Errorf("%d tasks are remembered, the bound is 10", n)
	}
}

func TestRedisAwayDelaysNothing(t *testing.T) {
	r := livetest.Start(t)
	l := start(t, Config{URL: r.URL(), Timeout: 200 * time.Millisecond})
	sub, err := l.Subscribe(t.Context(), TaskTopic("", "t1"))
	if err != nil {
		t.Fatal(err)
	}
	p := l.Publisher()
	took := func() time.Duration {
		began := time.Now()
		var events []timeline.Event
		for i := range 5_000 {
			events = append(events, event(timeline.TaskStarted, fmt.Sprint("x", i), 1, 0))
		}
		write(t, p, events...)
		return time.Since(began)
	}
	base := took()
	t.Run("paused", func(t *testing.T) {
		r.Pause()
		if d := took(); d > base+3*time.Second {
			t.Errorf("a paused Redis held the publisher up for %v", d)
		}
		eventually(t, "its loss is noticed", func() bool { return !l.Ready() })
		began := time.Now()
		if _, err := l.ClaimRun(t.Context(), "", "t1", 2, "me"); !errors.Is(err, ErrUnavailable) {
			t.Errorf("claim: %v", err)
		}
		if _, err := l.Subscribe(t.Context(), TaskTopic("", "t2")); err != nil {
			t.Errorf("subscribe: %v", err)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("a claim and a subscription took %v", d)
		}
		r.Resume()
		eventually(t, "its return is noticed", l.Ready)
	})
	t.Run("stopped", func(t *testing.T) {
		r.Stop()
		eventually(t, "its loss is noticed", func() bool { return !l.Ready() })
		if d := took(); d > base+2*time.Second {
			t.Errorf("a stopped Redis held the publisher up for %v", d)
		}
		if l.Stats().PublishSkipped == 0 {
			t.Error("nothing was counted as left out")
		}
	})
	t.Run("back", func(t *testing.T) {
		r.RestartEmpty()
		began := time.Now()
		eventually(t, "its return is noticed", l.Ready)
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("its return was noticed after %v", d)
		}
		gap := false
		for got := false; !got; {
			write(t, p, event(timeline.TaskStarted, "t1", 1, 0))
			select {
			case m := <-sub.C():
				gap = gap || m.Gap
				got = m.Topic == "task:t1"
			case <-time.After(50 * time.Millisecond):
			}
		}
		if !gap {
			t.Error("the subscription was not told of the gap")
		}
	})
}

func TestASlowSubscriberLosesTheOldestAndIsTold(t *testing.T) {
	l := start(t, Config{URL: startEmbedded(t).URL(), SubscriberBuffer: 3})
	slow, err := l.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	fast, err := l.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if !l.publish(t.Context(), []outgoing{{"x", []byte(fmt.Sprint(i))}}) {
			t.Fatal("not published")
		}
		receive(t, fast.C())
	}
	var got []string
	missed := 0
	for range 3 {
		m := receive(t, slow.C())
		got = append(got, string(m.Payload))
		missed += m.Missed
	}
	if !slices.Equal(got, []string{"7", "8", "9"}) || missed != 7 || l.Stats().Dropped != 7 {
		t.Errorf("got %v, told %d, counted %d", got, missed, l.Stats().Dropped)
	}
	slow.Close()
	slow.Close()
	if _, open := <-slow.C(); open {
		t.Error("the channel is open after Close")
	}
	fast.Close()
	eventually(t, "the topic is gone", func() bool { return l.Stats().Topics == 0 })
}

func TestAFollowerEndsAtAGap(t *testing.T) {
	r := livetest.Start(t)
	l := start(t, Config{URL: r.URL()})
	c, err := l.Follower().Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t.Context(), []outgoing{{"x", []byte("1")}})
	if got := receive(t, c); string(got) != "1" {
		t.Errorf("got %s", got)
	}
	r.RestartEmpty()
	eventually(t, "closed", func() bool {
		select {
		case _, open := <-c:
			return !open
		default:
			return false
		}
	})
}

func TestTopicsOfNamespacesDoNotMeet(t *testing.T) {
	names := []string{"default", "a", "a:task", "task", "tasks", "alerts", "user_dashboard", "a:task:b", "%74ask", "{a}"}
	ids := []string{"x", "task:x", "b:task:x", "a:task:x", "tasks"}
	seen := map[string]string{}
	for _, ns := range names {
		topics := map[string]string{TasksTopic(ns): "tasks", AlertsTopic(ns, timeline.AlertHigh): "alerts"}
		for _, id := range ids {
			topics[TaskTopic(ns, id)] = "task " + id
			topics[UserTopic(ns, id)] = "user " + id
			topics[keysOf(ns, id).stream] = "stream " + id
		}
		for topic, what := range topics {
			if before, dup := seen[topic]; dup {
				t.Errorf("%q is both %s of %s and %s", topic, what, ns, before)
			}
			seen[topic] = what + " of " + ns
		}
	}
	if TaskTopic("default", "pay-1") != "task:pay-1" || UserTopic("acme", "ann") != "acme:user_dashboard:ann" ||
		AlertsTopic("", timeline.AlertCritical) != "alerts:critical" || keysOf("", "mail").stream != "tasktrail:commands:default:mail" {
		t.Error("a name of the contract changed")
	}
}

func TestLifecycle(t *testing.T) {
	l, err := Open(Config{URL: "redis://127.0.0.1:1", Timeout: 100 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	eventually(t, "an error", func() bool { return l.LastError() != "" })
	sub, err := l.Subscribe(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, open := <-sub.C(); open {
		t.Error("a subscription outlived its Live")
	}
	if err := l.Start(t.Context()); err == nil {
		t.Error("started after close")
	}
	if _, open := <-l.Commands(t.Context(), "s", "", []string{"q"}); open {
		t.Error("commands after close")
	}
}

func TestConfigNamesAllItsFaultsAndNoSecret(t *testing.T) {
	err := Config{URL: "http://u:hunter2@h", Timeout: -1, PoolSize: -2}.Validate()
	for _, want := range []string{"URL", "Timeout", "PoolSize"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("the error holds the password: %v", err)
	}
	for url, ok := range map[string]bool{
		"redis://h:1": true, "rediss://u:p@h:1/2": true, "unix:///tmp/r.sock": true, "": false, "h:1": false, "redis://h:1?nonsense=1": false,
		"redis://h:1?addr=g:2": false, "redis://h:1?addr=g:2&cluster=true": true, "redis://h:1?cluster=maybe": false,
		"redis://s:1?addr=g:2&master_name=m": true, "redis://h:1/3?cluster=true": false, "redis://h:1?cluster=true&master_name=m": false,
		"redis://h:1/\x7f": false,
	} {
		if err := (Config{URL: url}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for name, url := range map[string]string{"redis": livetest.Start(b).URL(), "embedded": startEmbedded(b).URL()} {
		b.Run(name, func(b *testing.B) {
			l := start(b, Config{URL: url})
			p := l.Publisher()
			const n = 1_000
			var events []timeline.Event
			for i := range n {
				events = append(events, event(timeline.TaskStarted, fmt.Sprint("task-", i), 1, 0))
			}
			bt := batch(time.Now().Add(time.Hour), events...)
			b.ResetTimer()
			for b.Loop() {
				if err := p.Write(b.Context(), bt); err != nil {
					b.Fatal(err)
				}
			}
			s := l.Stats()
			if s.PublishSkipped > 0 {
				b.Fatalf("%d messages were left out", s.PublishSkipped)
			}
			b.ReportMetric(float64(s.Published)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkLatency measures from the moment a sink gets an event to the moment a
// subscriber of another connection has its message, at 5 000 events a second.
func BenchmarkLatency(b *testing.B) {
	l := start(b, Config{URL: livetest.Start(b).URL(), SubscriberBuffer: 100_000})
	sub, err := l.Subscribe(b.Context(), TasksTopic(""))
	if err != nil {
		b.Fatal(err)
	}
	p := l.Publisher()
	const each = 25
	var took []time.Duration
	pace := time.NewTicker(each * time.Second / 5_000)
	defer pace.Stop()
	for b.Loop() {
		<-pace.C
		var events []timeline.Event
		for i := range each {
			events = append(events, event(timeline.TaskStarted, fmt.Sprint("task-", i), 1, 0))
		}
		bt := batch(time.Now(), events...)
		began := time.Now()
		if err := p.Write(b.Context(), bt); err != nil {
			b.Fatal(err)
		}
		for range each {
			receive(b, sub.C())
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
