package alerting

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasktrail/tasktrail/timeline"
)

func TestOneAlertForAnExhaustedTask(t *testing.T) {
	r := newRecorder()
	a := start(t, Config{}, r)
	first := dead("t1", 1, timeline.FailExhausted)
	write(t, a, first)
	write(t, a, first, first) // read again
	al := firing(a)
	if len(al) != 1 {
		t.Fatalf("%d alerts", len(al))
	}
	got := al[0]
	if got.ID != timeline.TaskAlertID("default", "t1") || got.Severity != timeline.AlertHigh || got.State != timeline.AlertFiring ||
		got.Title != "payment t1 failed: exhausted after 3 attempts" || got.Text != "try later" || got.Runs != 1 || got.Run != 1 ||
		got.DeadLetterID != first.DeadLetter.ID || got.Error.Stack != "" || got.Reason != timeline.FailExhausted {
		t.Errorf("alert %+v", got)
	}
	// A later run that fails updates it, a completion resolves it.
	write(t, a, dead("t1", 2, timeline.FailPermanent))
	if al = firing(a); len(al) != 1 || al[0].Runs != 2 || al[0].Run != 2 || !al[0].StartsAt.Equal(got.StartsAt) || al[0].Reason != timeline.FailPermanent {
		t.Errorf("after the second run: %+v", al)
	}
	write(t, a, event(timeline.TaskCompleted, "t1", 3))
	if al = firing(a); len(al) != 0 {
		t.Errorf("after the completion: %+v", al)
	}
	if al = a.Alerts("default", false); len(al) != 1 || al[0].State != timeline.AlertResolved || al[0].EndsAt.IsZero() {
		t.Errorf("resolved: %+v", al)
	}
	// The whole log again changes nothing.
	write(t, a, first, dead("t1", 2, timeline.FailPermanent), event(timeline.TaskCompleted, "t1", 3))
	if len(firing(a)) != 0 {
		t.Error("an old failure fires again")
	}
	eventually(t, "delivered", func() bool { return a.Stats().Channels[0].Queued == 0 })
	ids := map[timeline.ID]bool{}
	for _, al := range r.Alerts() {
		ids[al.ID] = true
	}
	if got := r.Alerts(); len(ids) != 1 || got[len(got)-1].State != timeline.AlertResolved {
		t.Errorf("published %+v", got)
	}
}

func TestSeverity(t *testing.T) {
	a := open(t, Config{}, nil)
	for i, c := range []struct {
		typ, amount, currency string
		said, want            timeline.AlertSeverity
	}{
		{"payment", "99.99", "USD", 0, timeline.AlertHigh},
		{"payment", "100", "USD", 0, timeline.AlertCritical},
		{"send_email", "", "", 0, timeline.AlertMedium},
		{"send_email", "150", "XXX", 0, timeline.AlertCritical},
		{"send_email", "", "", timeline.AlertHigh, timeline.AlertHigh},
		{"payment", "5000", "JPY", 0, timeline.AlertHigh},
	} {
		e := dead(string(rune('a'+i)), 1, timeline.FailPermanent)
		e.Task.Type, e.Amount, e.Currency, e.DeadLetter.AlertSeverity = c.typ, c.amount, c.currency, c.said
		write(t, a, e)
		if got := a.state.alerts[timeline.TaskAlertID("default", e.Task.ID)].Severity; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestWhatCallsNobody(t *testing.T) {
	a := open(t, Config{}, nil)
	write(t, a, dead("cancelled", 1, timeline.FailCancelled), event(timeline.TaskFailed, "failed", 1), event(timeline.TaskCompleted, "done", 1),
		dead("waits", 1, timeline.FailCircuitOpen),
		// Its retry completed before the failure was heard of, over another collector.
		event(timeline.TaskCompleted, "late", 2), dead("late", 1, timeline.FailExhausted))
	if al := firing(a); len(al) != 0 {
		t.Errorf("alerts %+v", al)
	}
	if n := a.Stats().Tasks; n != 2 {
		t.Errorf("%d tasks are followed, want the one that waits and the one that completed a retry", n)
	}
}

func TestACircuitOpenTaskIsGivenItsRecoveries(t *testing.T) {
	t.Run("15 minutes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := start(t, Config{}, nil)
			defer a.Close()
			began := time.Now()
			write(t, a, dead("t1", 1, timeline.FailCircuitOpen))
			time.Sleep(10 * time.Minute) // of the bubble's clock
			write(t, a, recovery("t1", 2), dead("t1", 2, timeline.FailCircuitOpen))
			time.Sleep(4*time.Minute + 59*time.Second)
			synctest.Wait()
			if al := firing(a); len(al) != 0 {
				t.Fatalf("before its time: %+v", al)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			al := firing(a)
			if len(al) != 1 || !al[0].StartsAt.Equal(began.Add(10*time.Minute).UTC()) || al[0].Runs != 2 {
				t.Fatalf("after 15 min: %+v", al)
			}
			write(t, a, event(timeline.TaskCompleted, "t1", 3))
			if len(firing(a)) != 0 {
				t.Error("not resolved")
			}
		})
	})
	t.Run("three runs", func(t *testing.T) {
		a := open(t, Config{}, nil)
		write(t, a, dead("t1", 1, timeline.FailCircuitOpen))
		for run := 2; run <= 4; run++ {
			if len(firing(a)) != 0 {
				t.Fatalf("before run %d", run)
			}
			write(t, a, recovery("t1", run), recovery("t1", run), dead("t1", run, timeline.FailCircuitOpen))
		}
		if al := firing(a); len(al) != 1 || al[0].Runs != 4 {
			t.Errorf("after three recoveries: %+v", al)
		}
	})
	t.Run("by hand does not count", func(t *testing.T) {
		a := open(t, Config{}, nil)
		for run := 1; run <= 6; run++ {
			write(t, a, dead("t1", run, timeline.FailCircuitOpen))
		}
		if al := firing(a); len(al) != 0 {
			t.Errorf("alerts %+v", al)
		}
	})
	t.Run("not available", func(t *testing.T) {
		a := open(t, Config{}, nil)
		e := dead("t1", 1, timeline.FailCircuitOpen)
		e.DeadLetter.Requeueable = false
		f := dead("t2", 1, timeline.FailCircuitOpen)
		f.DeadLetter.AutoRecover = false
		write(t, a, e, f)
		if al := firing(a); len(al) != 2 {
			t.Errorf("alerts %+v", al)
		}
	})
	t.Run("another reason", func(t *testing.T) {
		a := open(t, Config{}, nil)
		write(t, a, dead("t1", 1, timeline.FailCircuitOpen), recovery("t1", 2), dead("t1", 2, timeline.FailExhausted))
		if al := firing(a); len(al) != 1 || al[0].Reason != timeline.FailExhausted {
			t.Errorf("alerts %+v", al)
		}
	})
	t.Run("read long after", func(t *testing.T) {
		a := open(t, Config{}, nil)
		e := dead("t1", 1, timeline.FailCircuitOpen)
		e.OccurredAt = e.OccurredAt.Add(-time.Hour)
		write(t, a, e)
		if al := firing(a); len(al) != 1 {
			t.Errorf("alerts %+v", al)
		}
	})
	t.Run("recovered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := start(t, Config{}, nil)
			defer a.Close()
			write(t, a, dead("t1", 1, timeline.FailCircuitOpen), recovery("t1", 2), event(timeline.TaskCompleted, "t1", 2))
			time.Sleep(time.Hour)
			synctest.Wait()
			if al := a.Alerts("", false); len(al) != 0 {
				t.Errorf("alerts %+v", al)
			}
		})
	})
}

func TestADiscardedDeadLetterCallsNoMore(t *testing.T) {
	a := open(t, Config{}, nil)
	write(t, a, dead("t1", 1, timeline.FailExhausted))
	e := event(timeline.DLQDiscarded, "t1", 1)
	e.DeadLetter = &timeline.DeadLetterRef{ID: timeline.DeadLetterID("default", "t1", 1)}
	e.Operator = &timeline.Operator{Actor: "ann"}
	write(t, a, e)
	if al := a.Alerts("", false); len(al) != 1 || al[0].State != timeline.AlertResolved || al[0].Text != "the dead letter was discarded by ann" {
		t.Errorf("alerts %+v", al)
	}
}

func breaker(typ timeline.Type, source string, at time.Time, until time.Duration) timeline.Event {
	e := event(typ, "t1", 1)
	e.SourceID, e.OccurredAt = source, at.UTC()
	e.ID = timeline.DeriveID("test", source, typ.String(), at.String())
	e.Breaker = &timeline.Breaker{Provider: "bank", State: timeline.BreakerOpen, Why: "failure_rate", Calls: 10, Failures: 7}
	if until > 0 {
		e.Breaker.OpenUntil = at.Add(until).UTC()
	}
	return e
}

func TestAnOpenBreakerCalls(t *testing.T) {
	now := time.Now()
	opened := func(source string, after time.Duration) timeline.Event {
		return breaker(timeline.CircuitBreakerOpened, source, now.Add(after), 30*time.Second)
	}
	closed := func(source string, after time.Duration) timeline.Event {
		return breaker(timeline.CircuitBreakerClosed, source, now.Add(after), 0)
	}
	a := open(t, Config{}, nil)
	write(t, a, opened("a", 0), opened("b", 1))
	al := firing(a)
	if len(al) != 1 || al[0].Severity != timeline.AlertCritical || al[0].Provider != "bank" || al[0].Text != "failure rate: 7 of 10 calls failed" {
		t.Fatalf("alerts %+v", al)
	}
	id := al[0].ID
	write(t, a, breaker(timeline.CircuitBreakerHalfOpened, "a", now.Add(2), 0), closed("a", 3))
	if al = firing(a); len(al) != 1 || al[0].ID != id {
		t.Errorf("one is still open: %+v", al)
	}
	write(t, a, closed("b", 4))
	if al = firing(a); len(al) != 0 {
		t.Errorf("all are closed: %+v", al)
	}
	write(t, a, opened("a", 0), opened("b", 1), closed("a", 3)) // read again
	if al = firing(a); len(al) != 0 {
		t.Errorf("an old opening fires again: %+v", al)
	}
	write(t, a, opened("a", 10))
	if al = firing(a); len(al) != 1 || al[0].ID == id {
		t.Errorf("the next incident: %+v", al)
	}
}

func TestABreakerWhoseProcessIsGoneExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, Config{}, nil)
		defer a.Close()
		write(t, a, breaker(timeline.CircuitBreakerOpened, "a", time.Now(), 30*time.Second))
		time.Sleep(5*time.Minute + 28*time.Second)
		synctest.Wait()
		if len(firing(a)) != 1 {
			t.Fatal("expired early")
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if al := a.Alerts("", false); len(al) != 1 || al[0].State != timeline.AlertResolved {
			t.Errorf("alerts %+v", al)
		}
		// Its opening, read long after, calls nobody.
		write(t, a, breaker(timeline.CircuitBreakerOpened, "c", time.Now().Add(-time.Hour), 30*time.Second))
		if len(firing(a)) != 0 {
			t.Error("an opening of an hour ago fires")
		}
	})
}

func TestStateIsBounded(t *testing.T) {
	a := open(t, Config{MaxTasks: 100, MaxAlerts: 100}, nil)
	for i := range 500 {
		id := string(rune('a'+i%26)) + time.Duration(i).String()
		if i%2 == 0 {
			write(t, a, dead(id, 1, timeline.FailExhausted))
		} else {
			write(t, a, breaker(timeline.CircuitBreakerOpened, id, time.Now(), 0))
		}
	}
	if s := a.Stats(); s.Tasks > 100 || s.Firing > 100 || s.Forgotten == 0 {
		t.Errorf("stats %+v", s)
	}
	for _, b := range a.state.breakers {
		if len(b.Sources) > maxSources {
			t.Errorf("%d sources", len(b.Sources))
		}
	}
}
