package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasktrail/tasktrail/alerting"
	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/alerting/channel/channeltest"
	"github.com/tasktrail/tasktrail/collector"
	"github.com/tasktrail/tasktrail/live"
	"github.com/tasktrail/tasktrail/live/livetest"
	"github.com/tasktrail/tasktrail/timeline"
)

// alertPath is a collector whose log alerting and the live view follow, over a
// real Redis; nothing else.
type alertPath struct {
	collector *collector.Collector
	alerting  *alerting.Alerting
	live      *live.Live
}

func newAlertPath(tb testing.TB, redisURL, hook string) *alertPath {
	tb.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	live.RouteClientLog(quiet)
	p := &alertPath{}
	fail := func(err error) {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	var err error
	p.live, err = live.Open(live.Config{URL: redisURL, PingEvery: 100 * time.Millisecond, Timeout: 500 * time.Millisecond, Logger: quiet})
	fail(err)
	tb.Cleanup(func() { _ = p.live.Close() })
	fail(p.live.Start(tb.Context()))
	p.alerting, err = alerting.New(alerting.Config{Dir: tb.TempDir(), Logger: quiet, Channels: []channel.Config{{
		Name: "hook", Type: channel.Webhook, URL: hook, Secrets: []string{channeltest.SecretA}, AllowPrivate: true, Parallel: 16,
	}}}, alerting.Deps{Publisher: p.live, Fleet: p.live})
	fail(err)
	tb.Cleanup(func() { _ = p.alerting.Close() })
	fail(p.alerting.Start(tb.Context()))
	p.collector, err = collector.New(collector.Config{HTTPAddr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", Dir: tb.TempDir(), AllowAnonymous: true, Logger: quiet},
		collector.Deps{Sinks: []collector.SinkSpec{{Sink: p.live.Publisher(), LossyAfter: 10 * time.Second}, {Sink: p.alerting}}})
	fail(err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.collector.Stop(ctx)
	})
	fail(p.collector.Start(tb.Context()))
	return p
}

func failed(task string) timeline.Event {
	return timeline.Event{
		ID: timeline.DerivedEventID("default", task, 1, 0, timeline.MovedToDLQ), Type: timeline.MovedToDLQ, Severity: timeline.MovedToDLQ.Severity(),
		Task: timeline.Task{Namespace: "default", ID: task, Type: "payment", Queue: "payments", Amount: "5", Currency: "USD"},
		Run:  1, OccurredAt: time.Now().UTC(), Reason: timeline.FailExhausted, Attempts: 5,
		DeadLetter: &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", task, 1)},
	}
}

func within(tb testing.TB, d time.Duration, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(d); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s: not within %v", what, d)
		}
	}
}

// A Redis that is down, hangs, is full or comes back empty holds up no call, and
// what it missed of alerts is told to it when it is back.
func TestRedisInTroubleHoldsUpNoCall(t *testing.T) {
	hook := channeltest.New(t, channeltest.SecretA)
	r := livetest.Start(t, "--maxmemory", "3mb")
	p := newAlertPath(t, r.URL(), hook.URL)
	within(t, 15*time.Second, "ready", p.live.Ready)
	n := 0
	call := func(trouble string) {
		t.Helper()
		n++
		if err := p.collector.WriteEvents(t.Context(), "default", []timeline.Event{failed(fmt.Sprint("t", n))}); err != nil {
			t.Fatalf("%s: %v", trouble, err)
		}
		within(t, 10*time.Second, "the call while Redis "+trouble, func() bool { return len(hook.Alerts()) == n })
	}
	told := func(trouble string) {
		t.Helper()
		within(t, 40*time.Second, "Redis, which "+trouble+", is told", func() bool {
			c := p.alerting.Stats().Channels[0]
			return c.Queued == 0 && c.Delivered == uint64(n)
		})
	}
	call("is well")
	told("is well")
	r.Pause()
	call("hangs")
	r.Resume()
	told("hung")
	r.Stop()
	call("is down")
	r.RestartEmpty()
	told("came back empty")
	for i := range 200 { // until it is full
		if r.Client().Set(t.Context(), fmt.Sprint("fill", i), make([]byte, 64<<10), 0).Err() != nil {
			break
		}
	}
	call("is full")
	told("is full") // publishing takes no memory
	hook.Check(t)
}

// BenchmarkAlertLatency is the time from an accepted event to its Redis message
// and to the first attempt of its call, at 5 000 events a second of which one in
// a hundred is an exhausted task.
func BenchmarkAlertLatency(b *testing.B) {
	const rate, every, batch = 5_000, 100, 50
	var mu sync.Mutex
	accepted, calls, messages := map[string]time.Time{}, map[string]time.Duration{}, map[string]time.Duration{}
	var early []func()
	note := func(into map[string]time.Duration, task string, now time.Time) {
		mu.Lock()
		defer mu.Unlock()
		if into[task] == 0 && !accepted[task].IsZero() {
			into[task] = now.Sub(accepted[task])
		} else if into[task] == 0 {
			early = append(early, func() { into[task] = 1 }) // before the answer was
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		now := time.Now()
		var c channeltest.Call
		if err := json.NewDecoder(req.Body).Decode(&c); err == nil {
			note(calls, c.Data.TaskID, now)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	r := livetest.Start(b)
	p := newAlertPath(b, r.URL(), srv.URL)
	within(b, 15*time.Second, "ready", p.live.Ready)
	sub := r.Client().Subscribe(b.Context(), "alerts:high")
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(b.Context()); err != nil {
		b.Fatal(err)
	}
	ch := sub.Channel()
	go func() {
		for m := range ch {
			now := time.Now()
			var a live.AlertMessage
			if json.Unmarshal([]byte(m.Payload), &a) == nil {
				note(messages, a.Alert.TaskID, now)
			}
		}
	}()
	n, alerts := 0, 0
	tick := time.NewTicker(time.Second * batch / rate)
	defer tick.Stop()
	for b.Loop() {
		// A second of load.
		for range rate / batch {
			<-tick.C
			events := make([]timeline.Event, 0, batch)
			var marked []string
			for range batch {
				n++
				if n%every == 0 {
					e := failed(fmt.Sprint("f", n))
					marked = append(marked, e.Task.ID)
					events = append(events, e)
					continue
				}
				e := failed(fmt.Sprint("t", n))
				e.Type, e.Reason, e.DeadLetter = timeline.AttemptStarted, "", nil
				e.ID = timeline.DerivedEventID("default", e.Task.ID, 1, 1, e.Type)
				events = append(events, e)
			}
			if err := p.collector.WriteEvents(b.Context(), "default", events); err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			mu.Lock()
			for _, task := range marked {
				accepted[task] = now
				alerts++
			}
			mu.Unlock()
		}
	}
	within(b, 30*time.Second, "all are told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range early {
			f()
		}
		early = nil
		return len(calls) == alerts && len(messages) == alerts
	})
	for name, got := range map[string]map[string]time.Duration{"redis": messages, "webhook": calls} {
		var all []time.Duration
		for _, d := range got {
			all = append(all, d)
		}
		slices.Sort(all)
		for _, q := range []int{50, 99} {
			b.ReportMetric(float64(all[min(len(all)*q/100, len(all)-1)].Microseconds())/1000, fmt.Sprintf("ms_%s_p%d", name, q))
		}
	}
}
