package alerting

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/alerting/channel"
	"github.com/tasktrail/tasktrail/timeline"
)

// phone is a channel that silences and the like hold back, in a test's own time.
func phone(t testing.TB, cfg Config, change func(*deliverer)) (*Alerting, *recorder) {
	t.Helper()
	r := newRecorder()
	a := openWith(t, cfg, Deps{Publisher: r})
	d := a.channels[0]
	d.mutable, d.repeat = true, 4*time.Hour
	if change != nil {
		change(d)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, r
}

func set(kind, id string, version uint64, body any) timeline.Event {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	s := timeline.Setting{Kind: kind, ID: id, Version: version, Body: b}
	if body == nil {
		s.Deleted, s.Body = true, nil
	}
	return timeline.NewSettingEvent("default", s, timeline.Operator{Actor: "ann"}, time.Now().UTC())
}

func silenced(from, to time.Duration, match map[string]any) map[string]any {
	now := time.Now()
	return map[string]any{"match": match, "starts_at": now.Add(from), "ends_at": now.Add(to), "reason": "works"}
}

// pass lets time go by and says how many calls there were since it was last
// asked.
func pass(r *recorder, d time.Duration) int {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
	n := len(r.Alerts()) - r.counted
	r.counted += n
	return n
}

func TestASilenceHoldsCallsBackUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := phone(t, Config{}, nil)
		defer a.Close()
		write(t, a, set(timeline.SettingSilence, "s1", 1, silenced(0, time.Hour, map[string]any{"type": []string{"payment"}})))
		write(t, a, dead("t1", 1, timeline.FailExhausted))
		if n := pass(r, 50*time.Minute); n != 0 {
			t.Fatalf("%d calls", n)
		}
		v := a.Views("default", func(*View) bool { return true })
		if len(v) != 1 || len(v[0].SilencedBy) != 1 || v[0].SilencedBy[0] != "s1" {
			t.Errorf("views %+v", v)
		}
		if n := pass(r, 11*time.Minute); n != 1 {
			t.Errorf("%d calls after its end", n)
		}
		// What was told to fire is told to be over, silenced or not; what never was, is not.
		write(t, a, set(timeline.SettingSilence, "s2", 1, silenced(0, time.Hour, map[string]any{"type": "payment"})))
		write(t, a, dead("t2", 1, timeline.FailExhausted), event(timeline.TaskCompleted, "t1", 2), event(timeline.TaskCompleted, "t2", 2))
		if n := pass(r, 2*time.Minute); n != 1 || r.Alerts()[1].TaskID != "t1" || r.Alerts()[1].State != timeline.AlertResolved {
			t.Errorf("%d calls: %+v", n, r.Alerts())
		}
		// A silence that is taken back, an older version of it, another namespace's.
		write(t, a, dead("t3", 1, timeline.FailExhausted))
		write(t, a, set(timeline.SettingSilence, "s2", 3, nil), set(timeline.SettingSilence, "s2", 2, silenced(0, time.Hour, map[string]any{"type": "payment"})))
		if n := pass(r, 2*time.Second); n != 1 {
			t.Errorf("%d calls after the silence was taken back", n)
		}
		write(t, a, set(timeline.SettingSilence, "empty", 1, silenced(0, time.Hour, map[string]any{})))
		other := set(timeline.SettingSilence, "other", 1, silenced(0, time.Hour, map[string]any{"type": "payment"}))
		other.Namespace = "elsewhere"
		write(t, a, other, dead("t4", 1, timeline.FailExhausted))
		if n := pass(r, 2*time.Second); n != 1 {
			t.Errorf("%d calls with silences of nothing", n)
		}
	})
}

func TestWhatWasSetOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, r := phone(t, Config{Dir: dir}, nil)
		write(t, a, dead("t1", 1, timeline.FailExhausted), dead("t2", 1, timeline.FailExhausted))
		if n := pass(r, time.Minute); n != 2 {
			t.Fatalf("%d calls", n)
		}
		id := timeline.TaskAlertID("default", "t1").String()
		write(t, a, set(timeline.SettingAlertState, id, 1, map[string]any{"by": "ann", "at": time.Now()}),
			set(timeline.SettingSilence, "s", 1, silenced(0, 24*time.Hour, map[string]any{"task_id": "t3"})))
		if err := a.rewrite(); err != nil {
			t.Fatal(err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		a, r = phone(t, Config{Dir: dir}, nil)
		defer a.Close()
		write(t, a, dead("t3", 1, timeline.FailExhausted))
		// In three hours nothing; after four the one that nobody took on, again.
		if n := pass(r, 3*time.Hour); n != 0 {
			t.Errorf("%d calls after the restart: %+v", n, r.Alerts())
		}
		if n := pass(r, 2*time.Hour); n != 1 || r.Alerts()[0].TaskID != "t2" {
			t.Errorf("%d calls: %+v", n, r.Alerts())
		}
		// It grew worse: who took it on is called again.
		worse := dead("t1", 2, timeline.FailExhausted)
		worse.Amount = "500"
		write(t, a, worse)
		if n := pass(r, time.Minute); n != 1 || r.Alerts()[1].Severity != timeline.AlertCritical || r.Alerts()[1].AcknowledgedBy != "ann" {
			t.Errorf("%d calls: %+v", n, r.Alerts())
		}
		d, err := a.Deliveries("", RedisChannel)
		if err != nil || len(d) != 4 {
			t.Errorf("%d deliveries on record, %v", len(d), err)
		}
	})
}

func TestAnOpenBreakerStandsForItsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := phone(t, Config{}, nil)
		defer a.Close()
		write(t, a, breaker(timeline.CircuitBreakerOpened, "p", time.Now(), 30*time.Second))
		for i := range 5 {
			write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
		}
		pass(r, time.Minute)
		if got := r.Alerts(); len(got) != 1 || got[0].Rule != RuleBreakerOpen {
			t.Fatalf("%d calls: %+v", len(got), got)
		}
		if f := firing(a); len(f) != 6 || f[0].InhibitedBy.IsZero() {
			t.Errorf("firing %+v", f)
		}
		write(t, a, event(timeline.TaskCompleted, "t0", 2), breaker(timeline.CircuitBreakerClosed, "p", time.Now(), 0))
		pass(r, 5*time.Second)
		if n := len(r.Alerts()); n != 6 {
			t.Errorf("%d calls, want the beginning, the end and the four that failed all the same", n)
		}
	})
}

func TestGroupsAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var calls []channel.Notification
		c := channel.Config{GroupBy: []string{"provider"}}.WithDefaults()
		a, _ := phone(t, Config{}, func(d *deliverer) {
			d.groupBy = append(d.groupBy, 3) // provider
			d.groupWait, d.groupInterval, d.repeat = c.GroupWait.D(), c.GroupInterval.D(), 0
			d.notifier = notifierFunc(func(n channel.Notification) error {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, n)
				return nil
			})
		})
		defer a.Close()
		told := func() []channel.Notification {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(calls)
		}
		for i := range 3 {
			write(t, a, dead(fmt.Sprint("t", i), 1, timeline.FailExhausted))
			time.Sleep(time.Second)
		}
		got := told()
		if len(got) != 0 {
			t.Fatalf("%d calls at once", len(got))
		}
		time.Sleep(12 * time.Second)
		got = told()
		if len(got) != 1 || len(got[0].More) != 2 || got[0].Group != "provider=bank" {
			t.Fatalf("%d calls: %+v", len(got), got)
		}
		write(t, a, dead("t3", 1, timeline.FailExhausted), event(timeline.TaskCompleted, "t0", 2))
		time.Sleep(30 * time.Second)
		got = told()
		if len(got) != 1 {
			t.Errorf("%d calls within the interval", len(got))
		}
		time.Sleep(31 * time.Second)
		got = told()
		if len(got) != 2 || len(got[1].More) != 1 {
			t.Errorf("%d calls: %+v", len(got), got)
		}
	})
}

type notifierFunc func(channel.Notification) error

func TestAChannelThatFailsForDaysIsDisabledAndComesBackByATest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		a := openWith(t, Config{MaxAge: 100 * time.Hour}, Deps{Publisher: r})
		bad := true
		d := &deliverer{
			alerting: a, name: "bad", shown: "bad", kind: channel.Webhook, min: timeline.AlertMedium, timeout: time.Second, parallel: 2, wake: make(chan struct{}, 1),
			mutable: true, disableAfter: 2 * time.Hour,
			notifier: notifierFunc(func(channel.Notification) error {
				if bad {
					return &channel.DeliveryError{Status: 500, Err: fmt.Errorf("no")}
				}
				return nil
			}),
		}
		a.channels = append(a.channels, d)
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		write(t, a, dead("t1", 1, timeline.FailExhausted))
		pass(r, 6*time.Minute)
		rules := map[string]int{}
		for _, al := range r.Alerts() {
			rules[al.Rule]++
		}
		if rules[RuleChannelFailing] != 1 {
			t.Errorf("after five minutes the others were told %v", rules)
		}
		pass(r, 3*time.Hour)
		if s := a.Stats().Channels[1]; s.Disabled == "" || s.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
		if v, err := a.Test(t.Context(), "default", "bad"); err != nil || v.Status != DeliveryFailed || v.HTTPStatus != 500 {
			t.Errorf("%+v %v", v, err)
		}
		bad = false
		if v, err := a.Test(t.Context(), "default", "bad"); err != nil || v.Status != DeliveryDelivered {
			t.Errorf("%+v %v", v, err)
		}
		if s := a.Stats().Channels[1]; s.Disabled != "" {
			t.Errorf("stats %+v", s)
		}
		write(t, a, dead("t2", 1, timeline.FailExhausted))
		pass(r, time.Minute)
		ds, err := a.Deliveries("", "bad")
		if err != nil || len(ds) == 0 || ds[0].Status != DeliveryDelivered {
			t.Fatalf("%+v %v", ds, err)
		}
		var first Delivery
		for _, x := range ds {
			if x.Status == DeliveryDropped && x.Alert.TaskID == "t1" {
				first = x
			}
		}
		if first.Attempts < 5 || first.HTTPStatus != 500 || first.Error == "" {
			t.Errorf("the one that was given up: %+v", first)
		}
		again, err := a.Resend("default", "bad", first.ID)
		if err != nil || again.ID != first.ID || again.Status != DeliveryWaiting {
			t.Errorf("%+v %v", again, err)
		}
		pass(r, time.Second)
		if ds, _ = a.Deliveries("", "bad"); ds[0].ID != first.ID || ds[0].Status != DeliveryDelivered {
			t.Errorf("sent again: %+v", ds[0])
		}
		if _, err := a.Resend("default", "bad", timeline.DeriveID("none")); err == nil {
			t.Error("nothing was sent again")
		}
	})
}

// 10 000 open alerts and 1 000 silences of all kinds, in one round.
func BenchmarkRound(b *testing.B) {
	a := open(b, Config{}, newRecorder())
	now := time.Now()
	for i := range 1_000 {
		m := map[string]any{"task_id": fmt.Sprint("t", i)}
		switch i % 4 {
		case 1:
			m = map[string]any{"provider": fmt.Sprint("bank-", i), "type": "pay*"}
		case 2:
			m = map[string]any{"queue": fmt.Sprintf("q%d-*", i)}
		case 3:
			m = map[string]any{"rule": "task_failed", "user_id": fmt.Sprint("u", i)}
		}
		write(b, a, set(timeline.SettingSilence, fmt.Sprint(i), 1, silenced(0, 24*time.Hour, m)))
	}
	var events []timeline.Event
	for i := range 10_000 {
		e := dead(fmt.Sprint("t", i), 1, timeline.FailExhausted)
		e.Provider, e.Queue, e.UserID = fmt.Sprint("bank-", i%50), fmt.Sprintf("q%d-x", i%40), fmt.Sprint("u", i%500)
		events = append(events, e)
	}
	write(b, a, events...)
	for b.Loop() {
		a.mu.Lock()
		a.silences = nil
		a.round(now)
		a.mu.Unlock()
	}
}
